// Runs before anything is painted, so that nobody sees the other theme flash by.
"use strict";
try {
  const chosen = localStorage.getItem("registry-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // The browser keeps nothing for this page, which therefore looks as the system does.
}
