// The frame around the views: which one is shown, who is signed in, whether the service is there.

import { service } from "./api.js";
import { h, problemBox } from "./dom.js";
import { again, begin, openSession, session, who } from "./session.js";
import * as search from "./search.js";
import { offerShortcut } from "./shortcut.js";
import { offerThemes } from "./theming.js";

const ROUTES = [
  [/^\/?$/, "search", async () => search],
  [/^\/profiles$/, "profiles", () => import("./profiles.js")],
  [/^\/profiles\/(new|prf_[0-9a-f]+)$/, "profiles", () => import("./profile.js")],
  [/^\/operations$/, "operations", () => import("./operations.js")],
];
const TITLES = { search: "Search", profiles: "Profiles", operations: "Operations" };

const view = document.getElementById("view");
const gone = document.getElementById("gone");
let shown = { leave() {} };
let turn = 0;

function address() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  return { path, query: new URLSearchParams(query) };
}

async function show() {
  const mine = ++turn;
  const { path, query } = address();
  const found = ROUTES.map(([pattern, name, load]) => ({ match: pattern.exec(path), name, load })).find(({ match }) => match);
  shown.leave();
  shown = { leave() {} };
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === found?.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TITLES[found?.name] ?? "Nothing here"} – Instrument Registry`;
  if (!found) {
    view.replaceChildren(h("section", { class: "page" }, h("h1", {}, "There is nothing here"), h("p", {}, h("a", { href: "#/" }, "Search instruments"))));
    return;
  }
  try {
    const module = await found.load();
    if (mine !== turn) return;
    view.replaceChildren();
    view.className = found.name;
    shown = module.mount(view, { parameter: found.match[1], query });
  } catch (error) {
    view.replaceChildren(h("section", { class: "page" }, problemBox(error)));
  }
}

function showCaller() {
  const caller = who();
  const toggle = document.getElementById("session");
  toggle.textContent = caller.anonymous ? "Sign in" : caller.owner.replace(/^key:/, "");
  toggle.setAttribute("aria-label", caller.anonymous ? "Sign in" : `Signed in as ${caller.owner}`);
}

document.getElementById("session").addEventListener("click", openSession);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  view.focus();
});
window.addEventListener("hashchange", () => {
  const { path, query } = address();
  if (!shown.follow?.(path, query)) show();
});
session.addEventListener("change", () => {
  showCaller();
  if (!shown.isEdited?.()) show(); // what somebody wrote outlives a key
});
window.addEventListener("beforeunload", (event) => shown.isEdited?.() && event.preventDefault());
service.addEventListener("gone", () => {
  gone.textContent = "The service does not answer. Trying again …";
  gone.hidden = false;
});
service.addEventListener("back", async () => {
  gone.hidden = true;
  await again();
  showCaller();
  if (shown.again) shown.again();
  else show();
});
offerThemes(document.getElementById("theme"));
offerShortcut(document.getElementById("shortcut"));
await begin();
showCaller();
show();
