"use strict";

// Applies the chosen theme. The script is in the head and not deferred: the page is never drawn in the other theme first.
(() => {
  const THEMES = ["light", "dark"];
  const KEY = "theme";

  function readTheme() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is disabled: the choice applies to this page only
    }
  }
  function saveTheme(theme) {
    try {
      if (THEMES.includes(theme)) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch { /* storage is disabled */ }
  }
  function applyTheme(theme) {
    const root = document.documentElement;
    if (THEMES.includes(theme)) root.dataset.theme = theme;
    else delete root.dataset.theme;
    document.dispatchEvent(new Event("themeChanged"));
  }

  applyTheme(readTheme());
  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("theme");
    if (!choice) return;
    choice.hidden = false;
    choice.value = document.documentElement.dataset.theme ?? "auto";
    choice.addEventListener("change", () => {
      saveTheme(choice.value);
      applyTheme(choice.value);
    });
  });
  window.addEventListener("storage", (event) => { if (event.key === KEY) applyTheme(event.newValue); });
})();
