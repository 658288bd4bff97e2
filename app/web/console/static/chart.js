// A line chart of the last minutes, as SVG; what it shows last is said in words.

import { fill, h, svg } from "./dom.js";

const [WIDTH, HEIGHT] = [300, 100];
const STEADY = { "vector-effect": "non-scaling-stroke" };

/** `push(values)` adds one value for each name (null or missing: none), `clear()` removes all. */
export function lineChart(title, unit, names, kept = 60) {
  const series = names.map(() => []);
  const lines = names.map((_, place) => svg("path", { class: `line line-${place}`, ...STEADY }));
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const top = h("span", { class: "top-value" });
  const values = names.map((_, place) => h("li", { class: `key key-${place}` }));
  const node = h("figure", { class: "chart" }, h("figcaption", {}, title), top, drawing, h("ul", {}, values));
  drawing.append(...lines);
  draw();

  function push(given) {
    series.forEach((points, place) => {
      points.push(given[place] ?? null);
      if (points.length > kept) points.shift();
    });
    draw();
  }

  function clear() {
    for (const points of series) points.length = 0;
    draw();
  }

  function draw() {
    const highest = Math.max(0, ...series.flat());
    fill(top, highest ? shown(highest) : "");
    series.forEach((points, place) => lines[place].setAttribute("d", path(points, highest || 1, kept)));
    const told = names.map((name, place) => `${name} ${shown(series[place].at(-1) ?? null)}`);
    told.forEach((text, place) => (values[place].textContent = text));
    drawing.setAttribute("aria-label", `${title}: ${series[0].length ? told.join(", ") : "nothing yet"}`);
  }

  function shown(value) {
    if (value === null) return "–";
    return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))}${unit}`;
  }

  return { node, push, clear };
}

function path(points, scale, kept) {
  let drawn = "";
  let isDown = false;
  points.forEach((value, place) => {
    if (value === null) return (isDown = false);
    const x = ((place + kept - points.length) / (kept - 1)) * WIDTH;
    const y = HEIGHT - 2 - (value / scale) * (HEIGHT - 6);
    drawn += `${isDown ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    return (isDown = true);
  });
  return drawn;
}
