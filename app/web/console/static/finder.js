// A field that suggests instruments as somebody types, to choose one of them.

import { call } from "./api.js";
import { badge, fill, h, settled } from "./dom.js";

let count = 0;

/** `chosen(instrument)` is called for each that is picked. */
export function finder(label, chosen) {
  const id = `finder-${++count}`;
  let turn = 0;
  let asking = new AbortController();
  let found = [];
  let active = -1;
  const input = h("input", { type: "search", role: "combobox", autocomplete: "off", spellcheck: "false", maxlength: "200", "aria-label": label, placeholder: label, "aria-controls": id, "aria-expanded": "false", "aria-autocomplete": "list", "data-search": true });
  const list = h("ul", { id, role: "listbox", class: "suggestions", "aria-label": "Suggestions", hidden: true });

  const ask = settled(async () => {
    const mine = ++turn;
    asking.abort();
    asking = new AbortController();
    const q = input.value.trim();
    if (!q) return show([]);
    try {
      const { data } = await call("/v1/instruments/search", { query: { q }, signal: asking.signal });
      if (mine === turn) show(data.hits);
    } catch {
      if (mine === turn) show([]);
    }
    return undefined;
  });

  function show(instruments) {
    found = instruments;
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(found.length > 0));
    fill(list, found.map((one, place) =>
      h("li", { role: "option", id: `${id}-${place}`, "aria-selected": "false", onclick: () => pick(place) }, h("span", { class: "symbol" }, one.symbol), h("span", { class: "name" }, one.name), badge(one.mic, "venue"), badge(one.currency, "currency")),
    ));
    mark(-1);
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
    show([]);
    input.focus();
  }

  input.addEventListener("input", ask);
  input.addEventListener("keydown", (event) => {
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
      event.preventDefault();
      mark(Math.max(0, Math.min(found.length - 1, active + (event.key === "ArrowDown" ? 1 : -1))));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (found.length) pick(Math.max(0, active));
    } else if (event.key === "Escape" && found.length) {
      event.preventDefault();
      event.stopPropagation();
      show([]);
    }
  });
  return h("div", { class: "finder" }, input, list);
}
