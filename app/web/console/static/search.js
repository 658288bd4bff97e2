// Search as somebody types: facets, hits and more of them, and one of them in detail.

import { call, withQuery } from "./api.js";
import { badge, button, fill, h, marked, number, problemBox, settled } from "./dom.js";
import { can } from "./session.js";

const PATH = "/v1/instruments/search";
const FACETS = { asset_class: "Class", mic: "Venue", currency: "Currency", country: "Country", sector: "Sector" };
const FACET_VALUES = 5;
const MOST_VALUES = 100; // as many as the API tells of a facet
const SORTS = { relevance: "Best match", symbol: "Symbol", name: "Name", "-updated_at": "Last changed" };
const STATUSES = { "": "Active", "active,suspended,delisted": "Any status", suspended: "Suspended", delisted: "Delisted" };
const ALIASES = /^(aliases\.\d+|identifiers\.\w+)$/;

export function mount(root, { query }) {
  const state = read(query);
  let turn = 0;
  let asking = new AbortController();
  let hits = [];
  let next = null;
  let total = 0;
  let active = -1;
  let detail = null;
  let isCurrent = false; // whether the hits are those of what the field holds
  let isEntered = false; // whether Enter was pressed before they were
  let notes = [];
  let counts = null; // of each facet
  let within = null; // the same, of what all filters let through
  const opened = new Set(); // facets of which more is shown

  const input = h("input", {
    type: "search", id: "q", value: state.q, role: "combobox", maxlength: "200", autocomplete: "off",
    spellcheck: "false", "data-search": true, placeholder: "Name, symbol, ISIN, FIGI …",
    "aria-label": "Search instruments", "aria-controls": "hits", "aria-expanded": "true",
    "aria-autocomplete": "list",
  });
  const sort = select("Order", SORTS, state.sort || "relevance", (value) => change({ sort: value === "relevance" ? "" : value }));
  const status = select("Status", STATUSES, state.status.join(","), (value) => change({ status: value ? value.split(",") : [] }));
  const summary = h("p", { class: "summary", role: "status" });
  const notice = h("div", { class: "notice" });
  const facets = h("div", { class: "facet-groups" });
  const drawer = h("details", { class: "facets", open: matchMedia("(min-width: 50rem)").matches }, h("summary", {}, "Filters"), facets);
  const list = h("ul", { id: "hits", class: "hits", role: "listbox", tabindex: "0", "aria-label": "Instruments" });
  let rest = placeholder(true);
  const scroller = h("div", { class: "results" }, list, rest);

  const typed = settled(() => change({}));
  input.addEventListener("input", () => {
    [isCurrent, isEntered] = [false, false];
    mark(-1);
    typed();
  });
  for (const target of [input, list]) target.addEventListener("keydown", move);
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) open([...list.children].indexOf(row));
  });
  const nearEnd = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { root: scroller, rootMargin: "300px" });
  nearEnd.observe(rest);
  ask(); // before anything is drawn: the answer is on its way meanwhile
  fill(root, h("h1", { class: "hidden" }, "Search instruments"), h("div", { class: "searchbar" }, input, sort, status), summary, h("div", { class: "columns" }, drawer, scroller), notice);

  function change(changes) {
    typed.cancel();
    Object.assign(state, { q: input.value, ...changes });
    remember();
    ask();
  }

  function remember(push = false) {
    const address = addressOf(state);
    if (address !== location.hash) history[push ? "pushState" : "replaceState"](null, "", address);
  }

  function asked() {
    return { q: state.q, ...state.filters, status: state.status, sort: state.sort, highlight: "true" };
  }

  /** The first page anew. What an older question is answered is dropped. */
  async function ask() {
    const mine = ++turn;
    asking.abort();
    asking = new AbortController();
    [isCurrent, next] = [false, null];
    if (!can("instruments:read")) {
      show([], null, 0, []);
      fill(summary, "Sign in with a key that has the scope instruments:read to search.");
      return;
    }
    scroller.setAttribute("aria-busy", "true");
    try {
      const apart = Object.keys(FACETS).filter((name) => state.filters[name] || opened.has(name));
      const [{ data, headers }, ...counted] = await Promise.all([askWhole(), ...apart.map(countApart)]);
      if (mine !== turn) return;
      show(data.hits, data.next_cursor, data.total, data.highlights ?? []);
      within = data.facets ?? null;
      const recounted = apart.map((name, place) => ({ [name]: counted[place] }));
      counts = within && Object.assign({ ...within }, ...recounted);
      showFacets();
      fill(summary, h("b", {}, totalOf(data)), h("span", {}, told(headers)));
      notes = remarks(data, headers);
      fill(notice, notes);
      if (isEntered && hits.length) open(0);
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      show([], null, 0, []); // those of another question would be taken for an answer
      [counts, within, notes] = [null, null, []];
      showFacets();
      fill(summary);
      fail(error, ask);
    } finally {
      if (mine === turn) {
        isEntered = false;
        scroller.removeAttribute("aria-busy");
      }
    }
  }

  function askWhole() {
    const most = Math.max(FACET_VALUES, ...Object.values(state.filters).map((values) => values.length));
    const query = { ...asked(), facets: Object.keys(FACETS).join(","), facet_limit: most };
    return call(PATH, { signal: asking.signal, query });
  }

  /** The values of one filter, counted as if it were not set. */
  async function countApart(name) {
    const facet_limit = opened.has(name) ? MOST_VALUES : FACET_VALUES;
    const query = { ...asked(), [name]: [], highlight: "", sort: "", limit: 1, facets: name, facet_limit };
    const { data } = await call(PATH, { signal: asking.signal, query });
    return data.facets?.[name];
  }

  /** What went wrong, with a way to try again where that may help. */
  function fail(error, retry) {
    const again = () => {
      fill(notice, notes);
      list.focus({ preventScroll: true });
      retry();
    };
    const mayPass = error.status === 429 || error.status >= 500;
    fill(notice, problemBox(error), mayPass ? button("Try again", again, { class: "small" }) : null);
  }

  function show(found, cursor, count, highlights) {
    [hits, next, total, active, isCurrent] = [[], cursor, count, -1, true];
    scroller.scrollTop = 0;
    list.replaceChildren();
    add(found, highlights);
    mark(-1);
  }

  function add(found, highlights) {
    list.append(...found.map((hit, place) => row(hit, highlights[place] ?? {}, hits.length + place, total)));
    hits = hits.concat(found);
    // A new one: the old would be seen to move.
    const follows = placeholder(Boolean(next));
    nearEnd.unobserve(rest);
    rest.replaceWith(follows);
    rest = follows;
    nearEnd.observe(rest);
  }

  async function more() {
    if (!next) return;
    const [mine, cursor] = [turn, next];
    next = null;
    try {
      const { data } = await call(PATH, { signal: asking.signal, query: { ...asked(), cursor } });
      if (mine !== turn) return;
      next = data.next_cursor;
      add(data.hits, data.highlights ?? []);
      fill(notice, notes);
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      if (error.status === 410) {
        ask(); // the index was rebuilt meanwhile
        return;
      }
      next = cursor;
      fail(error, more);
    }
  }

  function showFacets() {
    const held = facets.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    fill(facets, Object.keys(FACETS).map(shownFacet));
    if (held) [...facets.querySelectorAll("button")].find((one) => one.dataset.key === held)?.focus();
  }

  function shownFacet(name) {
    const chosen = state.filters[name] ?? [];
    const isOpened = opened.has(name);
    const limit = isOpened ? MOST_VALUES : FACET_VALUES;
    const shown = valuesShown(counts?.[name], within?.[name], chosen, limit);
    const rest = othersOf(name, othersThan(shown, counts?.[name]), isOpened, expand);
    return facet(name, shown, chosen, toggle, rest);
  }

  function toggle(name, value) {
    const chosen = state.filters[name] ?? [];
    const values = chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value];
    const { [name]: _, ...others } = state.filters;
    change({ filters: values.length ? { ...others, [name]: values } : others });
  }

  function expand(name) {
    if (opened.delete(name)) {
      showFacets();
      return;
    }
    opened.add(name);
    if (isCurrent) recount(name);
    else ask(); // the answer that is on its way has less
  }

  async function recount(name) {
    const mine = turn;
    try {
      const counted = await countApart(name);
      if (mine !== turn) return;
      counts = { ...counts, [name]: counted };
      showFacets();
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      fail(error, () => recount(name));
    }
  }

  function mark(place) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = place;
    const row = list.children[active];
    row?.setAttribute("aria-selected", "true");
    row?.scrollIntoView({ block: "nearest" });
    for (const target of [input, list]) {
      if (row) target.setAttribute("aria-activedescendant", row.id);
      else target.removeAttribute("aria-activedescendant");
    }
  }

  function move(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key in steps && hits.length) {
      event.preventDefault();
      mark(Math.max(0, Math.min(hits.length - 1, active + steps[event.key])));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (active >= 0) open(active);
      else if (!isCurrent) isEntered = true;
      else if (hits.length) open(0);
    } else if (event.key === "Escape" && !detail && event.target === input && input.value) {
      input.value = "";
      change({ q: "" });
    }
  }

  function open(place) {
    mark(place);
    state.open = hits[place].id;
    remember(true);
    reveal(hits[place].id, hits[place]);
  }

  async function reveal(id, known) {
    conceal();
    const from = document.activeElement;
    const { openDetail } = await import("./detail.js");
    if (state.open !== id || !root.contains(scroller)) return;
    conceal();
    const mine = openDetail(root, id, known, () => {
      if (detail !== mine) return; // another one is shown, or another view
      detail = null;
      state.open = "";
      remember();
      (from?.isConnected && from !== document.body ? from : input).focus({ preventScroll: true });
    }, (other) => {
      state.open = other.id;
      remember(true);
      reveal(other.id, other);
    });
    detail = mine;
  }

  function conceal() {
    const shown = detail;
    detail = null;
    shown?.close();
  }

  if (!facets.children.length) showFacets();
  if (state.open) reveal(state.open, null);
  else if (matchMedia("(pointer: fine)").matches) requestAnimationFrame(() => input.focus({ preventScroll: true }));
  return {
    again: ask,
    /** Takes an address that differs in what is open alone; others are for a new search. */
    follow(path, query) {
      const wanted = read(query);
      const isSame = addressOf({ ...wanted, open: "" }) === addressOf({ ...state, open: "" });
      if (!isSame || !/^\/?$/.test(path)) return false;
      state.open = wanted.open;
      if (wanted.open) reveal(wanted.open, hits.find(({ id }) => id === wanted.open) ?? null);
      else detail?.close();
      return true;
    },
    leave() {
      turn += 1;
      typed.cancel();
      asking.abort();
      nearEnd.disconnect();
      conceal();
    },
  };
}

function read(query) {
  const filters = {};
  for (const name of Object.keys(FACETS)) if (query.has(name)) filters[name] = query.getAll(name);
  return { q: query.get("q") ?? "", sort: query.get("sort") ?? "", status: query.getAll("status"), open: query.get("open") ?? "", filters };
}

function addressOf({ q, sort, status, open, filters }) {
  const ordered = Object.fromEntries(Object.keys(FACETS).map((name) => [name, filters[name]]));
  return `#${withQuery("/", { q, sort, status, open, ...ordered })}`;
}

function totalOf({ total, total_is_exact: isExact }) {
  return `${isExact ? "" : "about "}${number(total)} ${total === 1 ? "instrument" : "instruments"}`;
}

/** Room for the hits that are to come. */
function placeholder(expected) {
  return h("div", { class: expected ? "rest expected" : "rest", "aria-hidden": "true" });
}

function select(label, choices, value, chosen) {
  return h("select", { "aria-label": label, onchange: (event) => chosen(event.target.value) }, Object.entries(choices).map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
}

export function row(hit, highlights, place, total) {
  const [path, spans] = Object.entries(highlights).find(([name]) => ALIASES.test(name)) ?? [];
  const [kind, key] = path?.split(".") ?? [];
  const second = path
    ? [h("span", { class: "kind" }, kind === "aliases" ? "also " : `${key.toUpperCase()} `), marked(hit[kind][key], spans)]
    : [[hit.exchange, hit.country, hit.sector].filter(Boolean).join(" · ")];
  return h(
    "li",
    { role: "option", id: `hit-${hit.id}`, class: "hit", "aria-selected": "false", "aria-posinset": place + 1, "aria-setsize": total },
    h("span", { class: "symbol" }, marked(hit.symbol, highlights.symbol)),
    h("span", { class: "name" }, marked(hit.name, highlights.name)),
    h("span", { class: "second" }, second),
    h("span", { class: "badges" }, hit.status === "active" ? null : badge(hit.status, "warn"), badge(hit.asset_class.replace("_", " "), "plain"), badge(hit.mic, "venue"), badge(hit.currency, "currency")),
  );
}

/** The most frequent values of a facet, `limit` of them, and in any case those that are chosen. */
function valuesShown(counts, within, chosen, limit) {
  const frequent = (counts?.values ?? []).slice(0, limit);
  const missing = chosen.filter((value) => !frequent.some((one) => one.value === value));
  const room = Math.max(0, limit - chosen.length);
  const unchosen = frequent.filter((one) => !chosen.includes(one.value)).slice(0, room);
  return [
    ...missing.map((value) => ({ value, count: within && countOf(value, within) })),
    ...frequent.filter((one) => chosen.includes(one.value) || unchosen.includes(one)),
  ];
}

function countOf(value, { values }) {
  return values.find((one) => one.value === value)?.count ?? 0;
}

/** How many hits have other values than those that are shown. */
function othersThan(shown, counts) {
  const sum = (values) => values.reduce((before, { count }) => before + count, 0);
  return counts ? sum(counts.values) + counts.other - sum(shown) : 0;
}

function othersOf(name, others, isOpened, expand) {
  const text = others > 0 ? `${number(others)} in others` : "";
  const more = { "data-key": `more ${name}`, "aria-expanded": String(isOpened) };
  if (isOpened) return [button("Fewer", () => expand(name), more), ` ${text}`];
  return text ? button(`More (${text})`, () => expand(name), more) : null;
}

function facet(name, shown, chosen, toggle, rest) {
  const value = (one) => h("li", {}, facetValue(name, one, chosen.includes(one.value), toggle));
  return h(
    "section",
    { class: "facet", "aria-label": FACETS[name] },
    h("h2", {}, FACETS[name]),
    h("ul", {}, shown.map(value)),
    h("p", { class: "others" }, rest),
  );
}

function facetValue(name, { value, count }, isChosen, toggle) {
  return h(
    "button",
    {
      type: "button", "data-key": `${name}=${value}`, "aria-pressed": String(isChosen),
      onclick: () => toggle(name, value),
    },
    h("span", {}, value.replace("_", " ")),
    h("span", { class: "count" }, count === null || count === undefined ? "" : number(count)),
  );
}

/** Where an answer is from, how old, and how long it took. */
function told(headers) {
  const duration = /dur=([\d.]+)/.exec(headers.get("Server-Timing") ?? "")?.[1];
  const age = headers.get("X-Index-Age");
  const generation = headers.get("X-Index-Generation");
  return [
    ` from ${headers.get("X-Search-Source")}`,
    generation === "none" ? "" : `, generation ${generation}, ${age} s old`,
    duration ? `, ${duration} ms` : "",
  ].join("");
}

function remarks(data, headers) {
  const told = [];
  if (data.did_you_mean) told.push(`Nothing is written like that. These are for “${data.did_you_mean}”.`);
  if (data.warning) told.push(data.warning);
  if (data.partial) told.push(`Not everything was looked at: ${data.partial_reason}.`);
  if (headers.get("X-Search-Source") === "postgres") told.push("The index does not answer: these are from Postgres, without facets and further pages.");
  return told.map((text) => h("p", {}, text));
}
