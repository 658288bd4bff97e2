// A line chart of the last minutes, as SVG; what it shows last is said in words.

import { fill, h, svg } from "./dom.js";

const [WIDTH, HEIGHT] = [300, 100];

/** `push(values)` adds one value for each name (null: none). */
export function lineChart(title, unit, names, kept = 60) {
  const series = names.map(() => []);
  const lines = names.map((_, place) => svg("path", { class: `line line-${place}`, "vector-effect": "non-scaling-stroke" }));
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, ...lines);
  const top = h("span", { class: "top-value" });
  const values = names.map((name, place) => h("li", { class: `key key-${place}` }, `${name} –`));
  const node = h("figure", { class: "chart" }, h("figcaption", {}, title), top, drawing, h("ul", {}, values));
  drawing.setAttribute("aria-label", `${title}: nothing yet`);

  function push(given) {
    given.forEach((value, place) => {
      series[place].push(value);
      if (series[place].length > kept) series[place].shift();
    });
    const highest = Math.max(...series.flat().map((value) => value ?? 0), 0);
    const scale = highest || 1;
    fill(top, highest ? shown(highest) : "");
    series.forEach((points, place) => lines[place].setAttribute("d", path(points, scale, kept)));
    const told = names.map((name, place) => `${name} ${given[place] === null ? "–" : shown(given[place])}`);
    told.forEach((text, place) => (values[place].textContent = text));
    drawing.setAttribute("aria-label", `${title}: ${told.join(", ")}`);
  }

  function shown(value) {
    return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))}${unit}`;
  }

  return { node, push };
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
