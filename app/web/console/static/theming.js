// Light and dark: as the system has it, until somebody chooses.

const STORE = "registry-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function current() {
  return document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
}

export function offerThemes(toggle) {
  const show = () => {
    const other = current() === "dark" ? "light" : "dark";
    toggle.textContent = other === "dark" ? "☾" : "☀";
    toggle.setAttribute("aria-label", `Use the ${other} theme`);
    toggle.title = `Use the ${other} theme`;
  };
  toggle.addEventListener("click", () => {
    const chosen = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    show();
    try {
      localStorage.setItem(STORE, chosen);
    } catch {
      // The browser keeps nothing for this page: what was chosen holds until it is left.
    }
  });
  dark.addEventListener("change", show);
  show();
}
