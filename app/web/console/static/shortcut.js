// The key "/" goes to the search field, unless somebody turned that off: whoever speaks to the browser, or
// hits keys by accident, may not want single characters to do anything.

import { say } from "./dom.js";

const STORE = "registry-shortcut";

/** `toggle` turns it on and off. */
export function offerShortcut(toggle) {
  let isOn = kept() !== "off";
  const show = () => toggle.setAttribute("aria-pressed", String(isOn));
  toggle.addEventListener("click", () => {
    isOn = !isOn;
    keep(isOn ? "on" : "off");
    show();
  });
  document.addEventListener("keydown", (event) => {
    const isPlain = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey;
    const writes = event.target.closest("input, textarea, select, dialog");
    const wanted = document.querySelector("[data-search]");
    if (!isOn || !isPlain || writes || !wanted) return;
    event.preventDefault();
    wanted.focus();
    wanted.select();
  });
  show();
}

function kept() {
  try {
    return localStorage.getItem(STORE);
  } catch {
    return null; // the browser was told to keep nothing
  }
}

function keep(value) {
  try {
    localStorage.setItem(STORE, value);
  } catch {
    say("The browser keeps nothing for this page: the choice lasts until it is closed.");
  }
}
