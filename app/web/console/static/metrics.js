// Prometheus's text format, and what can be told of two readings of it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

/** Samples by metric name: `{labels, value}` each. */
export function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const [, name, labelled = "", value] = LINE.exec(line) ?? [];
    if (!name) continue;
    const pairs = [...labelled.matchAll(LABEL)].map(([, label, raw]) => [label, unescaped(raw)]);
    if (!found.has(name)) found.set(name, []);
    const labels = Object.fromEntries(pairs);
    found.get(name).push({ labels, value: Number(value.replace("Inf", "Infinity")) });
  }
  return found;
}

function unescaped(text) {
  return text.replace(/\\[n"\\]/g, (escape) => ESCAPES[escape]);
}

export function total(samples, name, fits = () => true) {
  const values = (samples.get(name) ?? []).filter(({ labels }) => fits(labels)).map(({ value }) => value);
  return values.reduce((sum, value) => sum + value, 0);
}

/** Whether a counter is less than it was: a process began anew, and what it counted before is not known. */
export function fell(now, before, name) {
  const values = new Map((now.get(name) ?? []).map(({ labels, value }) => [JSON.stringify(labels), value]));
  return (before.get(name) ?? []).some(({ labels, value }) => !(values.get(JSON.stringify(labels)) >= value));
}

/** How many observations each bucket has, by its upper bound, ascending; cumulative as they are exported. */
export function buckets(samples, name, fits = () => true) {
  const sums = new Map();
  for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
    if (!fits(labels)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) ?? 0) + value);
  }
  return [...sums].sort(([one], [other]) => one - other);
}

/** The quantile of what was observed between two readings, linear within its bucket; null: nothing was. */
export function quantile(q, now, before) {
  const earlier = new Map(before);
  const counts = now.map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]);
  const all = counts.at(-1)?.[1] ?? 0;
  if (!(all > 0)) return null;
  const wanted = q * all;
  let [lower, below] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= wanted && bound === Infinity) return lower;
    if (count >= wanted) return lower + ((bound - lower) * (wanted - below)) / Math.max(count - below, 1e-9);
    [lower, below] = [bound, count];
  }
  return lower;
}
