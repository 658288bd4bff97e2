// Elements are built node by node: what comes from the service only ever becomes text.

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "open", "max"]);
const SVG = "http://www.w3.org/2000/svg";

/** An element; `on…` functions listen, properties are set as such, all else are attributes. */
export function h(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) node[name] = value;
    else if (isGiven(value)) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

/** As `fill`, but what looks the same stays, and with it what is selected. For what listens to nothing. */
export function update(node, ...children) {
  const fresh = [...h("div", {}, children).childNodes];
  fresh.forEach((child, place) => {
    const old = node.childNodes[place];
    if (!old) node.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (node.childNodes.length > fresh.length) node.lastChild.remove();
}

function present(children) {
  return children.flat(Infinity).filter(isGiven);
}

function isGiven(value) {
  return value !== null && value !== undefined && value !== false;
}

/** A text whose spans (pairs of offsets in code points) are marked. */
export function marked(text, spans = []) {
  if (!spans.length) return [text];
  const letters = Array.from(text);
  const parts = [];
  let end = 0;
  for (const [from, to] of spans) {
    parts.push(letters.slice(end, from).join(""), h("mark", {}, letters.slice(from, to).join("")));
    end = to;
  }
  parts.push(letters.slice(end).join(""));
  return parts.filter((part) => part !== "");
}

/** Tells everybody, those who do not see the page included. */
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (said.textContent = ""), 4000);
}

export function copyButton(text, what) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(`${what} copied`);
    } catch {
      say(`The browser does not let this page copy; ${what} is ${text}`);
    }
  };
  return h("button", { type: "button", class: "small", "aria-label": `Copy ${what}`, onclick: copy }, "Copy");
}

/** `work` once `wait` ms have passed without another call. */
export function settled(work, wait = 120) {
  let timer;
  const later = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), wait);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

export function field(label, input, hint) {
  return h("label", { class: "field" }, h("span", {}, label), input, hint ? h("small", {}, hint) : null);
}

export function button(text, act, more = {}) {
  return h("button", { type: "button", onclick: act, ...more }, text);
}

/** A dialog that is removed when it closes; Esc closes it. Returns it, already open. */
export function modal(title, ...children) {
  const heading = h("h2", { id: `dialog-${(modal.count = (modal.count ?? 0) + 1)}` }, title);
  const remove = () => dialog.remove();
  const dialog = h("dialog", { "aria-labelledby": heading.id, onclose: remove }, heading, children);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Whether somebody confirms; the safe answer has the focus. */
export function confirmed(title, text, yes) {
  return new Promise((resolve) => {
    const close = (answer) => () => {
      dialog.returnValue = answer;
      dialog.close();
    };
    const no = button("Cancel", close(""));
    const go = button(yes, close("yes"), { class: "primary" });
    const dialog = modal(title, h("p", {}, text), h("p", { class: "actions" }, no, go));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
    no.focus();
  });
}

/** What went wrong, field by field. */
export function problemBox(problem) {
  const line = (error) => h("li", {}, h("code", {}, error.field), ` ${error.message}`);
  const fields = problem.errors?.length ? h("ul", {}, problem.errors.map(line)) : null;
  return h("div", { class: "problem", role: "alert" }, h("p", {}, problem.message), fields);
}

export function badge(text, kind = "") {
  return text ? h("span", { class: `badge ${kind}` }, text) : null;
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  return Number(value).toLocaleString("en").replaceAll(",", "\u202f");
}

export function time(text) {
  return text ? h("time", { datetime: text, title: text }, text.slice(0, 19).replace("T", " ")) : "–";
}

export function table(caption, heads, rows = []) {
  const head = h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name))));
  const node = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption });
  node.append(h("table", {}, head, h("tbody", {})));
  showRows(node, rows);
  return node;
}

/** Other rows in a table, which stays as far scrolled as it was. */
export function showRows(shown, rows) {
  const cells = (row) => row.map((cell) => h("td", {}, cell));
  update(shown.querySelector("tbody"), rows.map((row) => h("tr", {}, cells(row))));
}
