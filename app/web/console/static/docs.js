// Reads /openapi.json to people: every operation, what it takes and what it answers.

import { badge, fill, h, problemBox, settled } from "./dom.js";
import { offerShortcut } from "./shortcut.js";
import { offerThemes } from "./theming.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEEPEST = 6;

const view = document.getElementById("view");
offerThemes(document.getElementById("theme"));
offerShortcut(document.getElementById("shortcut"));
try {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`The service answered ${response.status} instead of its description.`);
  show(await response.json());
} catch (error) {
  fill(view, problemBox({ message: `The description cannot be read: ${error.message}` }));
}

function show(document_) {
  const followed = (value) => (value?.$ref ? followed(value.$ref.split("/").slice(1).reduce((part, step) => part[step.replaceAll("~1", "/").replaceAll("~0", "~")], document_)) : value);
  const operations = Object.entries(document_.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => ({ path, method, ...methods[method] })),
  );
  const tags = [...new Set(operations.map((one) => one.tags[0]))];
  const sections = new Map(operations.map((one) => [one, operation(one, followed)]));
  const links = new Map(operations.map((one) => [one, h("li", {}, h("a", { href: `#${one.operationId}` }, badge(one.method.toUpperCase(), `method ${one.method}`), h("span", {}, one.path)))]));
  const groups = tags.map((tag) => ({
    tag,
    ofTag: operations.filter((one) => one.tags[0] === tag),
  }));
  const label = "Find an operation";
  const wanted = h("input", {
    type: "search", "aria-label": label, placeholder: label, autocomplete: "off", "data-search": true,
    oninput: settled(narrow),
  });
  const menu = groups.map(({ tag, ofTag }) => h("section", {}, h("h2", {}, tag), h("ul", {}, ofTag.map((one) => links.get(one)))));
  const content = groups.map(({ tag, ofTag }) => h("section", {}, h("h2", { class: "tag" }, tag), ofTag.map((one) => sections.get(one))));
  fill(
    view,
    h("nav", { class: "menu", "aria-label": "Operations" }, wanted, menu),
    h("div", { class: "reference" },
      h("h1", {}, document_.info.title, " ", badge(document_.info.version, "plain")),
      h("p", {}, document_.info.description),
      h("p", {}, "The document itself: ", h("a", { href: "/openapi.json" }, "/openapi.json"), ` (OpenAPI ${document_.openapi}).`),
      h("section", {}, h("h2", {}, "Credentials"), h("dl", {}, Object.entries(document_.components.securitySchemes).map(([name, scheme]) => h("div", {}, h("dt", {}, h("code", {}, scheme.type === "http" ? "Authorization: Bearer …" : `${scheme.name}: …`)), h("dd", {}, scheme.description ?? name))))),
      content),
  );

  function narrow() {
    const words = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const one of operations) {
      const text = `${one.method} ${one.path} ${one.operationId} ${one.summary}`.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      links.get(one).hidden = sections.get(one).hidden = !fits;
    }
    for (const [place, { ofTag }] of groups.entries()) menu[place].hidden = content[place].hidden = ofTag.every((one) => sections.get(one).hidden);
  }

  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

function operation(one, followed) {
  const parameters = one.parameters.map(followed);
  const bodies = Object.entries(one.requestBody?.content ?? {});
  const scopes = [...new Set(one.security.flatMap((requirement) => Object.values(requirement).flat()))];
  const isOpen = !one.security.length || one.security.some((requirement) => !Object.keys(requirement).length);
  return h(
    "article",
    { class: "operation", id: one.operationId, "aria-label": one.summary },
    h("h3", {}, badge(one.method.toUpperCase(), `method ${one.method}`), h("code", {}, one.path)),
    h("p", {}, one.summary, ". ", scopes.map((scope) => badge(scope, "plain")), isOpen ? badge("no key needed", "good") : null),
    parameters.length ? part("Parameters", h("ul", { class: "schema" }, parameters.map((parameter) => h("li", {}, h("code", {}, parameter.name), h("span", { class: "muted" }, ` ${parameter.in}, ${typeOf(parameter.schema, followed)}${parameter.required ? ", required" : ""}`), h("p", {}, parameter.description ?? ""), facts(parameter.schema))))) : null,
    bodies.map(([type, { schema }]) => part(`Body (${type})`, shape(schema, followed))),
    part("Answers", Object.entries(one.responses).map(([status, reference]) => answer(status, followed(reference), followed))),
    part("With curl", h("pre", { tabindex: "0", "aria-label": "Command" }, h("code", {}, curl(one, bodies, followed, isOpen)))),
  );
}

function part(title, ...content) {
  return h("div", { class: "part" }, h("h4", {}, title), content);
}

function answer(status, response, followed) {
  const headers = Object.entries(response.headers ?? {});
  const bodies = Object.entries(response.content ?? {});
  return lazily([badge(status, status < "400" ? "good" : "warn"), ` ${response.description}`], () => [
    headers.length ? h("ul", { class: "schema" }, headers.map(([name, reference]) => h("li", {}, h("code", {}, name), h("span", { class: "muted" }, ` header${followed(reference).required ? "" : ", perhaps"}`), h("p", {}, followed(reference).description ?? "")))) : null,
    bodies.map(([type, { schema }]) => [h("p", { class: "muted" }, type), shape(schema, followed)]),
  ]);
}

function nameOf(schema) {
  return schema?.$ref?.split("/").pop() ?? "";
}

function typeOf(schema, followed) {
  if (!schema) return "anything";
  if (schema.$ref) return nameOf(schema);
  const several = schema.anyOf ?? schema.oneOf;
  if (several && !schema.type) return several.map((one) => typeOf(one, followed)).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items, followed)}`;
  return [schema.type, schema.format].filter(Boolean).join(" ") || "anything";
}

function facts(schema) {
  const told = ["default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"].filter((word) => schema?.[word] !== undefined).map((word) => `${word} ${JSON.stringify(schema[word])}`);
  const examples = schema?.examples?.map((one) => JSON.stringify(one)) ?? [];
  const text = [...told, examples.length ? `for example ${examples.join(" or ")}` : ""].filter(Boolean).join(", ");
  return text ? h("p", { class: "muted" }, text) : null;
}

/** The fields of a schema; those of others that it names are shown when they are opened. */
function shape(schema, followed, depth = 0) {
  const whole = followed(schema);
  if (!whole || depth > DEEPEST) return null;
  if (whole.type === "array") return shape(whole.items, followed, depth);
  const several = whole.anyOf ?? whole.oneOf;
  if (several && !whole.properties) return several.map((one) => shape(one, followed, depth + 1));
  const required = new Set(whole.required ?? []);
  const rows = Object.entries(whole.properties ?? {}).map(([name, one]) => {
    const inner = nested(one, followed);
    return h(
      "li",
      {},
      h("code", {}, name),
      h("span", { class: "muted" }, ` ${typeOf(one, followed)}${required.has(name) ? ", required" : ""}`),
      h("p", {}, one.description ?? ""),
      facts(one),
      inner ? lazily(typeOf(inner, followed), () => shape(inner, followed, depth + 1)) : null,
    );
  });
  return [whole.description ? h("p", {}, whole.description) : null, rows.length ? h("ul", { class: "schema" }, rows) : h("p", { class: "muted" }, typeOf(whole, followed))];
}

/** What a field holds that has fields itself. */
function nested(schema, followed) {
  const inner = schema.type === "array" ? schema.items : (schema.anyOf ?? [schema]).find((one) => one.$ref || one.properties || one.type === "array");
  if (!inner) return null;
  if (inner.type === "array") return nested(inner, followed);
  const whole = followed(inner);
  return whole.properties || whole.anyOf || whole.oneOf ? inner : null;
}

/** Made when somebody looks: all of it at once would be tens of thousands of elements. */
function lazily(title, make) {
  const box = h("details", { ontoggle: () => box.children.length === 1 && box.append(h("div", {}, make())) }, h("summary", {}, title));
  return box;
}

/** A command that can be run as it is, but for the key. */
function curl(one, bodies, followed, isOpen) {
  const parts = ["curl"];
  if (one.method !== "get") parts.push(`-X ${one.method.toUpperCase()}`);
  if (!isOpen) parts.push("-H 'X-API-Key: KEY'");
  for (const { name, example } of required(one, "header", followed)) parts.push(`-H '${name}: ${example}'`);
  if (bodies.length) {
    const [type, { example }] = bodies[0];
    parts.push(`-H 'Content-Type: ${type}'`, `-d '${JSON.stringify(example)}'`);
  }
  const asked = required(one, "query", followed).map(({ name, example }) => [name, example]);
  const query = asked.length ? `?${new URLSearchParams(asked)}` : "";
  parts.push(`'${location.origin}${filled(one, followed)}${query}'`);
  return parts.join(" ");
}

function required(one, place, followed) {
  return one.parameters.map(followed).filter((parameter) => parameter.in === place && parameter.required);
}

/** The path with examples in its variable parts. */
function filled(one, followed) {
  const set = (path, { name, example }) => path.replace(`{${name}}`, encodeURIComponent(example));
  return required(one, "path", followed).reduce(set, one.path);
}
