"use strict";

// Ask only while someone looks, and at once when they look again.
document.addEventListener("htmx:config:request", (event) => {
  if (document.hidden) event.preventDefault();
  const { body } = event.detail.ctx.request;
  if (body.get("q") === "") body.delete("q");
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) htmx.trigger("#live", "look");
});

// Say so when the service does not answer.
const lost = (is) => { document.getElementById("lost").hidden = !is; };
document.addEventListener("htmx:error", () => lost(true));
document.addEventListener("htmx:after:request", (event) => lost(event.detail.ctx.response.status >= 500));

// Copy buttons. The clipboard needs a secure page; elsewhere the old way does it.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await copy(button.dataset.copy);
  button.focus();
  button.classList.add("copied");
  button.textContent = "Copied";
  document.getElementById("said").textContent = `Copied ${button.dataset.copy}`;
  setTimeout(() => {
    button.classList.remove("copied");
    button.textContent = "Copy";
  }, 1500);
});
