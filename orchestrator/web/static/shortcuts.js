"use strict";

// Keyboard shortcuts. They do nothing while text is typed, a dialog is open, or a modifier key is pressed.
(() => {
  const help = document.getElementById("help-dialog");
  const button = document.getElementById("show-help");

  function isTyping() {
    const focused = document.activeElement;
    return focused.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
  }
  function moveFocus(step) {
    const rows = [...document.querySelectorAll("tbody[id] th a")];
    if (!rows.length) return;
    const current = rows.findIndex((link) => link.closest("tbody").contains(document.activeElement));
    const next = current < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(current + step, 0), rows.length - 1);
    rows[next].focus();
    rows[next].closest("tbody").scrollIntoView({ block: "nearest" });
  }
  const SHORTCUTS = {
    "/": () => document.getElementById("q")?.focus(),
    j: () => moveFocus(1),
    k: () => moveFocus(-1),
    x: () => document.activeElement.closest("tbody")?.querySelector(".select input")?.click(),
    "?": () => help.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const run = Object.hasOwn(SHORTCUTS, event.key) && SHORTCUTS[event.key];
    if (!run || isTyping() || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    run();
  });
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
})();
