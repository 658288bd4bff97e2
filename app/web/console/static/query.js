// The saved search of a dynamic profile, with what it finds now.

import { call } from "./api.js";
import { badge, field, fill, h, number, settled } from "./dom.js";

const CLASSES = ["equity", "etf", "fund", "index", "currency", "crypto", "money_market", "future", "option", "bond"];
const LISTS = { mic: ["Venues", "MICs, with commas: XNAS, XNYS"], currency: ["Currencies", "USD, EUR"], country: ["Countries", "US, DE"], sector: ["Sectors", "with commas"] };

/** `changed(query)` is called with each new search. */
export function queryEditor(given, changed, signal) {
  const query = structuredClone(given);
  const preview = h("div", { class: "preview", "aria-live": "polite" });
  let turn = 0;

  const put = (name, value) => {
    if (value.length) query[name] = value;
    else delete query[name];
    changed(structuredClone(query));
    look();
  };

  const look = settled(async () => {
    const mine = ++turn;
    if (!Object.keys(query).length) return fill(preview, h("p", {}, "Give a text or a filter."));
    try {
      const { data } = await call("/v1/instruments/search", { query, signal });
      if (mine !== turn) return undefined;
      return fill(
        preview,
        h("p", {}, h("b", {}, `${data.total_is_exact ? "" : "about "}${number(data.total)}`), " found now", data.hits.length < data.total ? `, of which the first ${data.hits.length}:` : ":"),
        h("ul", { class: "members" }, data.hits.map((one) => h("li", {}, h("span", { class: "symbol" }, one.symbol), h("span", { class: "name" }, one.name), badge(one.mic, "venue"), badge(one.currency, "currency")))),
      );
    } catch (error) {
      if (mine === turn && error.name !== "AbortError") fill(preview, h("p", { class: "problem" }, error.errors?.map((one) => `${one.field} ${one.message}`).join("; ") || error.message));
      return undefined;
    }
  });

  const split = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
  look();
  return h(
    "div",
    {},
    field("Text", h("input", { type: "search", name: "q", value: query.q ?? "", maxlength: "200", autocomplete: "off", oninput: (event) => put("q", event.target.value.trim()) })),
    h("div", { class: "checks", role: "group", "aria-label": "Asset classes" }, CLASSES.map((one) =>
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: [query.asset_class ?? []].flat().includes(one), onchange: (event) => put("asset_class", CLASSES.filter((name) => (name === one ? event.target.checked : [query.asset_class ?? []].flat().includes(name)))) }), ` ${one.replace("_", " ")}`),
    )),
    h("div", { class: "row" }, Object.entries(LISTS).map(([name, [label, hint]]) => field(label, h("input", { name, value: [query[name] ?? []].flat().join(", "), autocomplete: "off", oninput: (event) => put(name, split(event.target.value)) }), hint))),
    h("h2", {}, "Preview"),
    preview,
  );
}
