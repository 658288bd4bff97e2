// Many identifiers at once: what each line is taken for, what was found, and what to choose between.

import { call } from "./api.js";
import { badge, button, fill, h, modal, number, problemBox } from "./dom.js";

const AT_ONCE = 1000;
const SHAPES = [
  ["id", /^ins_[1-9]\d*$/],
  ["figi", /^BBG[A-Z0-9]{9}$/i],
  ["isin", /^[A-Z]{2}[A-Z0-9]{9}\d$/i],
  ["lei", /^[A-Z0-9]{18}\d{2}$/i],
  ["cusip", /^(?=.*\d)[A-Z0-9]{8}\d$/i],
  ["sedol", /^[B-DF-HJ-NP-TV-Z0-9]{6}\d$/i],
];
const KINDS = new Set(["isin", "cusip", "sedol", "figi", "composite_figi", "share_class_figi", "lei", "symbol", "alias", "id"]);
const GUESSED = new Set(["cusip", "sedol", "lei"]);

/** What a line means: `isin:…` says it, else its shape does; `AAPL XNAS`, `AAPL,XNAS` and `XNAS:AAPL` name a venue. */
export function identifierOf(line) {
  const [, kind, rest] = /^(\w+):\s*(.+)$/.exec(line) ?? [];
  if (kind && KINDS.has(kind.toLowerCase())) return { type: kind.toLowerCase(), value: rest };
  if (kind && /^[A-Z]{4}$/.test(kind)) return { type: "symbol", value: rest, mic: kind };
  const shape = SHAPES.find(([, pattern]) => pattern.test(line));
  if (shape) return { type: shape[0], value: line };
  const [, symbol, mic] = /^(.*\S)[\s,;]+([A-Z]{4})$/.exec(line) ?? [];
  return symbol ? { type: "symbol", value: symbol, mic } : { type: "symbol", value: line };
}

/** The lines that say something, each once. */
export function linesOf(text) {
  return [...new Set(text.split(/\r?\n/).map((line) => line.trim().replace(/[,;]$/, "")).filter(Boolean))];
}

async function lookUp(identifiers) {
  const results = [];
  for (let start = 0; start < identifiers.length; start += AT_ONCE) {
    const { data } = await call("/v1/instruments/lookup", { method: "POST", body: { identifiers: identifiers.slice(start, start + AT_ONCE) } });
    results.push(...data.results);
  }
  return results;
}

/** One result for each line. What only looked like an identifier is looked up as a symbol. */
async function resolve(lines) {
  const asked = lines.map(identifierOf);
  const results = await lookUp(asked);
  const guesses = results.map((result, place) => (!result.total && GUESSED.has(asked[place].type) && !lines[place].includes(":") ? place : -1)).filter((place) => place >= 0);
  const again = await lookUp(guesses.map((place) => ({ type: "symbol", value: lines[place] })));
  guesses.forEach((place, index) => {
    if (again[index].total) [results[place], asked[place]] = [again[index], { type: "symbol", value: lines[place] }];
  });
  return lines.map((line, place) => ({ line, type: asked[place].type, ...results[place] }));
}

/** `add(instruments)` is called with what was chosen. */
export function openPaste(add) {
  const text = h("textarea", { rows: "8", "aria-label": "Identifiers, one a line", placeholder: "One a line: US0378331005\nBBG000B9XRY4\nAAPL XNAS\nXETR:SIE.DE\nsedol:2046251", spellcheck: "false" });
  const found = h("div", { class: "found" });
  const take = button("Add", () => {
    add([...chosen.values()].filter(Boolean));
    dialog.close();
  }, { class: "primary", disabled: true });
  let chosen = new Map();

  const choose = (line, instrument) => {
    chosen.set(line, instrument);
    const count = new Set([...chosen.values()].filter(Boolean).map((one) => one.id)).size;
    take.disabled = !count;
    take.textContent = `Add ${number(count)}`;
  };

  async function look() {
    const lines = linesOf(text.value);
    if (!lines.length) return fill(found, h("p", { role: "alert" }, "Paste at least one identifier."));
    try {
      fill(found, h("p", { role: "status" }, `Looking up ${number(lines.length)} …`));
      const results = await resolve(lines);
      chosen = new Map();
      const unknown = results.filter((one) => one.error || !one.total);
      const ambiguous = results.filter((one) => one.total && one.ambiguous);
      const resolved = results.filter((one) => one.total && !one.ambiguous);
      for (const one of resolved) choose(one.line, one.matches[0]);
      if (!resolved.length) choose("", null);
      return fill(
        found,
        h("p", { role: "status" }, `${number(resolved.length)} resolved, ${number(ambiguous.length)} ambiguous, ${number(unknown.length)} unknown.`),
        group("Ambiguous: choose which is meant", "ambiguous", ambiguous.map((one) => [h("code", {}, one.line), choice(one, choose, true)])),
        group("Unknown", "unknown", unknown.map((one) => [h("code", {}, one.line), one.error ? one.error.errors.map((error) => error.message).join("; ") : `no ${one.type.replaceAll("_", " ")} like that`])),
        group("Resolved", "resolved", resolved.map((one) => [h("code", {}, one.line), one.matches.length > 1 ? choice(one, choose, false) : told(one.matches[0]), one.warning ? badge(one.warning, "warn") : null])),
      );
    } catch (error) {
      return fill(found, problemBox(error));
    }
  }

  const dialog = modal("Paste identifiers", text, found, h("p", { class: "actions" }, button("Cancel", () => dialog.close()), button("Look up", look), take));
  dialog.classList.add("wide");
  text.focus();
}

function group(title, kind, lines) {
  return lines.length ? h("section", { class: `found-${kind}` }, h("h3", {}, `${title} (${number(lines.length)})`), h("ul", {}, lines.map((line) => h("li", {}, line)))) : null;
}

function choice(one, choose, open) {
  const pick = (event) => choose(one.line, one.matches.find((match) => match.id === event.target.value) ?? null);
  const label = `Which instrument is ${one.line}`;
  return h("select", { "aria-label": label, onchange: pick }, open ? h("option", { value: "" }, `choose of ${one.total} …`) : null, one.matches.map((match) => h("option", { value: match.id }, told(match))));
}

function told(one) {
  return `${one.symbol} · ${one.name} · ${[one.mic ?? one.exchange, one.currency].filter(Boolean).join(" ")}`;
}
