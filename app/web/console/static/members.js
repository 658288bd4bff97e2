// The listed instruments of a profile: found, pasted or taken out.

import { call } from "./api.js";
import { badge, button, fill, h, number, say } from "./dom.js";
import { finder } from "./finder.js";
import { openPaste } from "./paste.js";

const PAGE = 50;
const known = new Map();

/** `changed(ids)` is called with each new list. */
export function memberEditor(given, changed, signal) {
  let ids = [...given];
  let shown = PAGE;
  let turn = 0;
  const count = h("p", { role: "status" });
  const list = h("ul", { class: "members", "aria-label": "Listed instruments" });
  const rest = h("p", {});

  function add(instruments) {
    for (const one of instruments) known.set(one.id, one);
    const fresh = [...new Set(instruments.map((one) => one.id))].filter((id) => !ids.includes(id));
    ids = [...fresh, ...ids];
    say(fresh.length ? `${fresh.length} added` : "Nothing new: it is listed already");
    changed(ids);
    show();
  }

  function take(id, place) {
    ids = ids.filter((one) => one !== id);
    changed(ids);
    show().then(() => (list.children[Math.min(place, list.children.length - 1)]?.querySelector("button") ?? list).focus());
  }

  async function show() {
    const mine = ++turn;
    const visible = ids.slice(0, shown);
    fill(count, `${number(ids.length)} ${ids.length === 1 ? "instrument" : "instruments"} listed`);
    const missing = visible.filter((id) => !known.has(id));
    if (missing.length) {
      try {
        await learn(missing);
      } catch (error) {
        if (signal.aborted) return;
        say(`Names cannot be shown: ${error.message}`);
      }
      if (mine !== turn) return; // the list is another one by now
    }
    fill(list, visible.map(member));
    fill(rest, ids.length > shown ? button(`Show more of ${number(ids.length)}`, () => {
      shown += PAGE * 4;
      show();
    }) : null);
  }

  async function learn(missing) {
    const identifiers = missing.map((value) => ({ type: "id", value }));
    const { data } = await call("/v1/instruments/lookup", { method: "POST", body: { identifiers }, signal });
    for (const [place, { matches }] of data.results.entries()) {
      if (matches?.[0]) known.set(missing[place], matches[0]);
    }
  }

  function member(id, place) {
    const one = known.get(id);
    const symbol = one?.symbol ?? id;
    return h(
      "li",
      {},
      h("span", { class: "symbol" }, symbol),
      h("span", { class: "name" }, one?.name ?? ""),
      badge(one?.mic, "venue"),
      badge(one?.currency, "currency"),
      button("Remove", () => take(id, place), { class: "small", "aria-label": `Remove ${symbol}` }),
    );
  }

  show();
  return h("div", {}, h("div", { class: "row" }, finder("Add an instrument: name, symbol, ISIN …", (one) => add([one])), button("Paste identifiers", () => openPaste(add))), count, list, rest);
}
