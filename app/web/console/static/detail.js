// One instrument: what it is, its identifiers, where else it is listed, and what happened to it.

import { call, withQuery } from "./api.js";
import { badge, button, copyButton, fill, h, number, problemBox, time } from "./dom.js";

const NAMES = { isin: "ISIN", cusip: "CUSIP", sedol: "SEDOL", figi: "FIGI", composite_figi: "Composite FIGI", share_class_figi: "Share-class FIGI", lei: "LEI" };
const SHOWN = [
  ["Class", (one) => one.asset_class.replace("_", " ")], ["Status", (one) => one.status], ["Venue", (one) => one.mic ?? one.exchange], ["Currency", (one) => one.currency],
  ["Country", (one) => one.country], ["Sector", (one) => one.sector], ["Industry", (one) => one.industry], ["CFI", (one) => one.cfi],
  ["Primary listing", (one) => (one.primary ? "yes" : "no")], ["Also known as", (one) => one.aliases.join(", ")], ["Listed", (one) => one.listed_on], ["Delisted", (one) => one.delisted_on],
  ["Tick size", (one) => one.tick_size], ["Lot size", (one) => one.lot_size], ["Version", (one) => String(one.version)],
];

const ANY_STATUS = ["active", "suspended", "delisted"];
const COVERING = matchMedia("(max-width: 50rem)"); // as in console.css: the panel is as wide as the view

/** Opens beside what is there. `closed` is called when it closes, `chosen` for another listing. */
export function openDetail(root, id, known, closed, chosen) {
  const leaving = new AbortController();
  const title = h("h2", { id: "detail-title", tabindex: "-1" }, known ? known.symbol : id);
  const body = h("div", { class: "detail-body" });
  const panel = h(
    "aside",
    { class: "detail", "aria-labelledby": "detail-title" },
    h("header", {}, title, button("Close", () => close(), { class: "small" })),
    body,
  );
  const onKey = (event) => {
    if (event.key !== "Escape" || event.target.closest("dialog")) return;
    event.preventDefault();
    close();
  };
  document.addEventListener("keydown", onKey);
  root.append(panel);
  shade();
  COVERING.addEventListener("change", shade, { signal: leaving.signal });
  title.focus({ preventScroll: true });
  if (known) show(known);
  load();

  function close() {
    if (leaving.signal.aborted) return;
    leaving.abort();
    document.removeEventListener("keydown", onKey);
    panel.remove();
    shade();
    closed();
  }

  /** What the panel covers cannot be reached. */
  function shade() {
    const isCovered = COVERING.matches && panel.isConnected;
    for (const one of root.children) if (one !== panel) one.inert = isCovered;
  }

  async function load() {
    try {
      const { data } = await call(`/v1/instruments/${id}`, { signal: leaving.signal });
      show(data);
      const listings = h("section", {});
      const history = h("section", {});
      body.append(listings, history);
      await Promise.all([showListings(listings, data), showHistory(history)]);
    } catch (error) {
      if (error.name !== "AbortError") body.append(problemBox(error));
    }
  }

  function show(one) {
    title.textContent = one.symbol;
    const identifiers = Object.entries(one.identifiers).filter(([, value]) => value);
    const attributes = Object.entries(one.attributes ?? {});
    fill(
      body,
      h("p", { class: "detail-name" }, one.name),
      h("p", {}, badge(one.asset_class.replace("_", " "), "plain"), badge(one.mic, "venue"), badge(one.currency, "currency")),
      h("h3", {}, "Identifiers"),
      h("dl", { class: "identifiers" }, [["Registry id", one.id], ...identifiers.map(([kind, value]) => [NAMES[kind], value])].map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, h("code", {}, value), copyButton(value, label))))),
      h("h3", {}, "Facts"),
      h("dl", {}, [...SHOWN.map(([label, of]) => [label, of(one)]), ...attributes].filter(([, value]) => value).map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, text(value)))), h("div", {}, h("dt", {}, "Last changed"), h("dd", {}, time(one.updated_at)))),
      one.contract ? [h("h3", {}, "Contract"), h("dl", {}, Object.entries(one.contract).map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, text(value)))))] : null,
    );
  }

  async function showListings(section, one) {
    const { isin, share_class_figi: shareClass } = one.identifiers;
    if (!isin && !shareClass) return;
    const [type, value] = isin ? ["isin", isin] : ["share_class_figi", shareClass];
    const body = { identifiers: [{ type, value }] };
    const { data } = await call("/v1/instruments/lookup", { method: "POST", body, signal: leaving.signal });
    const [{ matches = [], total = 0, partial = false }] = data.results;
    const least = partial ? "at least " : "";
    const search = `#${withQuery("/", { q: value, status: ANY_STATUS })}`;
    const isAll = total === matches.length && !partial;
    const rest = `${least}${number(total - matches.length)} more: `;
    fill(
      section,
      h("h3", {}, `Listings of this ${NAMES[type]} (${least}${number(total)})`),
      h("ul", { class: "listings" }, matches.map((match) => listing(match, match.id === one.id))),
      isAll ? null : h("p", {}, rest, h("a", { href: search }, "search for all")),
    );
  }

  function listing(match, isShown) {
    const venue = match.mic ?? match.exchange;
    const label = `Show ${match.symbol} at ${venue ?? "no venue"}`;
    return h(
      "li",
      {},
      isShown
        ? h("b", {}, match.symbol)
        : button(match.symbol, () => chosen(match), { class: "link", "aria-label": label }),
      badge(venue, "venue"),
      badge(match.currency, "currency"),
      match.primary ? badge("primary", "plain") : null,
      match.status === "active" ? null : badge(match.status, "warn"),
    );
  }

  async function showHistory(section, before = null) {
    const { data } = await call(`/v1/instruments/${id}/history`, { query: { before }, signal: leaving.signal });
    if (before === null) fill(section, h("h3", {}, "History"), h("ol", { class: "history" }));
    section.querySelector("ol").append(...data.history.map((entry) =>
      h("li", {}, h("p", {}, h("b", {}, `Version ${entry.version}`), ` ${entry.operation} `, time(entry.changed_at), entry.actor ? ` by ${entry.actor}` : ""), changes(entry.changes)),
    ));
    if (data.next_before) {
      const older = button("Older", () => {
        older.remove();
        showHistory(section, data.next_before).catch((error) => section.append(problemBox(error)));
      }, { class: "small" });
      section.append(older);
    }
  }

  return { close };
}

export function changes(changed) {
  const item = ([name, { from, to }]) => h("li", {}, h("code", {}, name), ` ${text(from)} → ${text(to)}`);
  return h("ul", { class: "changes" }, Object.entries(changed).map(item));
}

function text(value) {
  if (value === null || value === undefined || value === "") return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
