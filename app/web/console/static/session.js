// Who is signed in. The key is kept in memory, or until the tab closes if somebody asks for that.

import { call, service, Unreachable, useKey } from "./api.js";
import { button, field, h, modal, problemBox, say } from "./dom.js";

const STORE = "registry-key";
const ANYBODY = { name: "anonymous", owner: "anonymous", anonymous: true, scopes: document.documentElement.dataset.anonymous.split(" ") };

/** Events: `change` of who calls; before it `left` where nothing that somebody wrote is to stay for the next. */
export const session = new EventTarget();
let caller = ANYBODY;
let lastOwner = null; // who signed in last; a key that is refused may be followed by another of theirs

export function can(scope) {
  return caller.scopes.includes(scope);
}

export function who() {
  return caller;
}

/** Where a key may be kept; null where the browser keeps nothing for this page. */
function storage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

export async function begin() {
  service.addEventListener("refused", (event) => signOut(`You were signed out: ${event.detail.message}`));
  await again();
}

/** Finds out whose the kept key is, unless that is known; one that is not valid any more is forgotten. */
export async function again() {
  const kept = storage()?.getItem(STORE);
  if (!kept || caller !== ANYBODY) return;
  try {
    await identify(kept);
  } catch (error) {
    if (error instanceof Unreachable) return; // the page says so, and asks again when the service is back
    if (error.status === 401) {
      storage().removeItem(STORE);
      say(`You were signed out: ${error.message}`);
    } else {
      say(`Your key could not be checked (${error.message}). Load this page again to try once more.`);
    }
  }
}

async function identify(key) {
  const { data } = await call("/v1/caller", { key });
  if (lastOwner !== null && lastOwner !== data.owner) session.dispatchEvent(new Event("left"));
  lastOwner = data.owner;
  caller = data;
  useKey(key);
}

function signOut(text) {
  storage()?.removeItem(STORE);
  useKey(null);
  caller = ANYBODY;
  session.dispatchEvent(new Event("change"));
  say(text);
}

export function openSession() {
  if (caller.anonymous) askForKey();
  else showCaller();
}

function showCaller() {
  const leave = () => {
    dialog.close();
    session.dispatchEvent(new Event("left"));
    signOut("You are signed out");
  };
  const dialog = modal(
    "Signed in",
    h("dl", {}, h("dt", {}, "Owner"), h("dd", {}, caller.owner), h("dt", {}, "Credential"), h("dd", {}, caller.name), h("dt", {}, "May do"), h("dd", {}, caller.scopes.join(", ") || "nothing")),
    h("p", { class: "actions" }, button("Close", () => dialog.close()), button("Sign out", leave, { class: "primary" })),
  );
}

function askForKey() {
  const key = h("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false", required: true });
  const keep = h("input", { type: "checkbox", name: "keep", disabled: storage() === null });
  const refusal = h("div", {});
  const enter = async (event) => {
    event.preventDefault();
    const given = key.value.trim();
    try {
      if (!/^[\x21-\x7e]+$/.test(given)) throw new Error("An API key has letters, digits and signs of ASCII only; this one does not.");
      await identify(given);
    } catch (error) {
      refusal.replaceChildren(problemBox(error));
      key.setAttribute("aria-invalid", "true");
      key.select();
      return;
    }
    if (keep.checked) storage().setItem(STORE, given);
    dialog.close();
    session.dispatchEvent(new Event("change"));
    say(`Signed in as ${caller.owner}`);
  };
  const dialog = modal(
    "Sign in",
    h(
      "form",
      { onsubmit: enter },
      field("API key", key, "It stays in this page's memory, and is sent to this service alone."),
      h("label", { class: "check" }, keep, " Keep it until this tab closes"),
      refusal,
      h("p", { class: "actions" }, button("Cancel", () => dialog.close()), h("button", { type: "submit", class: "primary" }, "Sign in")),
    ),
  );
  key.focus();
}
