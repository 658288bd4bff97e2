// A field that suggests instruments as somebody types, to choose one of them.

import { call } from "./api.js";
import { badge, fill, h, say, settled } from "./dom.js";

let count = 0;

/** `chosen(instrument)` is called for each that is picked. */
export function finder(label, chosen) {
  const id = `finder-${++count}`;
  let turn = 0;
  let asking = new AbortController();
  let found = [];
  let active = -1;
  let isStale = false; // newer text is not answered yet
  let isEntered = false; // Enter was pressed before it was
  const input = h("input", { type: "search", role: "combobox", autocomplete: "off", spellcheck: "false", maxlength: "200", "aria-label": label, placeholder: label, "aria-controls": id, "aria-expanded": "false", "aria-autocomplete": "list", "data-search": true });
  const list = h("ul", { id, role: "listbox", class: "suggestions", "aria-label": "Suggestions", hidden: true });

  const ask = settled(async () => {
    const mine = ++turn;
    asking = new AbortController();
    const q = input.value.trim();
    if (!q) return show([]);
    try {
      const { data } = await call("/v1/instruments/search", { query: { q }, signal: asking.signal });
      if (mine === turn) show(data.hits);
    } catch (error) {
      if (mine !== turn) return undefined;
      show([]);
      say(error.message);
    }
    return undefined;
  });

  /** What was asked before is not wanted any more. */
  function forget() {
    turn += 1;
    asking.abort();
    ask.cancel();
  }

  function show(instruments) {
    const isAwaited = isEntered;
    [found, isStale, isEntered] = [instruments, false, false];
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(found.length > 0));
    fill(list, found.map(suggestion));
    mark(-1);
    if (isAwaited && found.length && input.isConnected) pick(0);
  }

  function suggestion(one, place) {
    const picked = () => {
      pick(place);
      input.focus();
    };
    return h(
      "li",
      { role: "option", id: `${id}-${place}`, "aria-selected": "false", onclick: picked },
      h("span", { class: "symbol" }, one.symbol),
      h("span", { class: "name" }, one.name),
      badge(one.mic, "venue"),
      badge(one.currency, "currency"),
    );
  }

  function mark(place) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = place;
    list.children[active]?.setAttribute("aria-selected", "true");
    if (active >= 0) input.setAttribute("aria-activedescendant", `${id}-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  function pick(place) {
    chosen(found[place]);
    input.value = "";
    forget();
    show([]);
  }

  function enter() {
    if (active >= 0) pick(active);
    else if (isStale) isEntered = true;
    else if (found.length) pick(0);
  }

  input.addEventListener("input", () => {
    forget();
    [isStale, isEntered] = [true, false];
    mark(-1);
    ask();
  });
  input.addEventListener("keydown", (event) => {
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
      event.preventDefault();
      mark(Math.max(0, Math.min(found.length - 1, active + (event.key === "ArrowDown" ? 1 : -1))));
    } else if (event.key === "Enter") {
      event.preventDefault();
      enter();
    } else if (event.key === "Escape" && found.length) {
      event.preventDefault();
      event.stopPropagation();
      forget();
      show([]);
    }
  });
  return h("div", { class: "finder" }, input, list);
}
