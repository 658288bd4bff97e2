// Runs before anything is painted, so that nobody sees the other theme flash by.
"use strict";
const chosenTheme = localStorage.getItem("registry-theme");
if (chosenTheme) document.documentElement.dataset.theme = chosenTheme;
