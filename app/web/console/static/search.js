// Search as somebody types: facets, hits and more of them, and one of them in detail.

import { call, withQuery } from "./api.js";
import { badge, fill, h, marked, number, problemBox, settled } from "./dom.js";
import { can } from "./session.js";

const PATH = "/v1/instruments/search";
const FACETS = { asset_class: "Class", mic: "Venue", currency: "Currency", country: "Country", sector: "Sector" };
const FACET_VALUES = 5;
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

  const input = h("input", {
    type: "search", id: "q", value: state.q, role: "combobox", maxlength: "200", autocomplete: "off", spellcheck: "false", "data-search": true,
    placeholder: "Name, symbol, ISIN, FIGI …   ( / )", "aria-label": "Search instruments", "aria-controls": "hits", "aria-expanded": "true", "aria-autocomplete": "list",
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

  const typed = settled(() => change({ q: input.value }));
  input.addEventListener("input", typed);
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
    Object.assign(state, changes);
    remember();
    ask();
  }

  function remember(push = false) {
    const { q, sort: order, status: statuses, open: opened, filters } = state;
    const address = `#${withQuery("/", { q, sort: order, status: statuses, open: opened, ...filters })}`;
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
    if (!can("instruments:read")) {
      show([], null, 0, []);
      fill(summary, "Sign in with a key that has the scope instruments:read to search.");
      return;
    }
    scroller.setAttribute("aria-busy", "true");
    const { signal } = asking;
    try {
      const filtered = Object.keys(state.filters);
      const whole = call(PATH, { signal, query: { ...asked(), facets: Object.keys(FACETS).join(","), facet_limit: FACET_VALUES } });
      // What else a filter would find is counted as if it were not set.
      const others = filtered.map((name) =>
        call(PATH, { signal, query: { ...asked(), [name]: [], highlight: "", sort: "", limit: 1, facets: name, facet_limit: FACET_VALUES } }),
      );
      const answers = await Promise.all([whole, ...others]);
      if (mine !== turn) return;
      const [{ data, headers }, ...counted] = answers;
      const counts = { ...data.facets };
      filtered.forEach((name, place) => (counts[name] = counted[place].data.facets?.[name] ?? counts[name]));
      show(data.hits, data.next_cursor, data.total, data.highlights ?? []);
      showFacets(data.facets ? counts : null);
      fill(summary, h("b", {}, `${data.total_is_exact ? "" : "about "}${number(data.total)} ${data.total === 1 ? "instrument" : "instruments"}`), h("span", {}, told(headers)));
      fill(notice, remarks(data, headers));
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      fill(notice, problemBox(error));
    } finally {
      if (mine === turn) scroller.removeAttribute("aria-busy");
    }
  }

  function show(found, cursor, count, highlights) {
    [hits, next, total, active] = [[], cursor, count, -1];
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
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      if (error.status === 410) ask(); // the index was rebuilt meanwhile
      else fill(notice, problemBox(error));
    }
  }

  function showFacets(counts) {
    const held = facets.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    fill(facets, Object.entries(FACETS).map(([name, label]) => facet(name, label, counts?.[name], state.filters[name] ?? [], toggle)));
    if (held) [...facets.querySelectorAll("button")].find((one) => one.dataset.key === held)?.focus();
  }

  function toggle(name, value) {
    const chosen = state.filters[name] ?? [];
    const values = chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value];
    const { [name]: _, ...others } = state.filters;
    change({ filters: values.length ? { ...others, [name]: values } : others });
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
    } else if (event.key === "Enter" && hits.length) {
      event.preventDefault();
      open(Math.max(0, active));
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
      (from?.isConnected && from !== document.body ? from : input).focus();
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

  if (!facets.children.length) showFacets(null);
  if (state.open) reveal(state.open, null);
  else if (matchMedia("(pointer: fine)").matches) requestAnimationFrame(() => input.focus({ preventScroll: true }));
  return {
    again: ask,
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

function facet(name, label, counts, chosen, toggle) {
  const values = counts?.values ?? [];
  const missing = chosen.filter((value) => !values.some((one) => one.value === value)).map((value) => ({ value, count: null }));
  const shown = [...missing, ...values].slice(0, FACET_VALUES);
  return h(
    "section",
    { class: "facet", "aria-label": label },
    h("h2", {}, label),
    h("ul", {}, shown.map(({ value, count }) =>
      h("li", {}, h("button", { type: "button", "data-key": `${name}=${value}`, "aria-pressed": String(chosen.includes(value)), onclick: () => toggle(name, value) }, h("span", {}, value.replace("_", " ")), h("span", { class: "count" }, count === null ? "" : number(count)))),
    )),
    h("p", { class: "others" }, counts?.other ? `${number(counts.other)} in others` : ""),
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
