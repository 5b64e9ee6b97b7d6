"use strict";

const at = (id) => document.getElementById(id);

// Live: what happens is told by the event stream, at most one look a second; without it the page polls.
// A page that nobody sees asks for nothing, and looks at once when it is seen again.
const QUIET = 10_000; // with a stream, a look this often is enough: the times on the page go on
let stream = null;
let heard = false;
let looked = Date.now();
let later = null;

function look() {
  later = null;
  looked = Date.now();
  htmx.trigger("#live", "look");
}
function soon() {
  if (!later) later = setTimeout(look, Math.max(0, looked + 1000 - Date.now()));
}
function listen() {
  stream = new EventSource("/api/v1/events");
  stream.onopen = () => {
    if (!at("lost").hidden) look();
    heard = true;
  };
  stream.onerror = () => { heard = false; };
  for (const kind of ["job", "account", "run", "service"]) stream.addEventListener(kind, soon);
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream.close();
    heard = false;
  } else {
    listen();
    look();
  }
});
window.addEventListener("pagehide", () => stream.close());
listen();

// What is typed while an answer is put in place would wait for the next key: putting it there ends the wait for a pause.
const search = () => document.querySelector("form[role=search]");
const wanted = () => String(new URLSearchParams([...new FormData(search() ?? undefined)].filter(([, value]) => value)));
let asked = wanted();
function searchOn() {
  if (search() && wanted() !== asked) htmx.trigger(search(), "submit");
}

document.addEventListener("htmx:config:request", (event) => {
  const { sourceElement, sourceEvent, request } = event.detail.ctx;
  const poll = sourceElement.id === "live" && sourceEvent.type !== "look";
  if (document.hidden || (poll && heard && Date.now() - looked < QUIET)) event.preventDefault();
  else if (sourceElement.id === "live") looked = Date.now();
  else if (sourceElement === search()) asked = wanted();
  for (const name of ["q", "provider", "label"]) if (request.body.get?.(name) === "") request.body.delete(name);
});

// Say so when the service does not answer.
const lost = (is) => { at("lost").hidden = !is; };
document.addEventListener("htmx:error", () => lost(true));
document.addEventListener("htmx:after:request", (event) => lost(event.detail.ctx.response.status >= 500));

// Say what was done, for a moment.
let saying = null;
function say(text) {
  at("said").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { at("said").textContent = ""; }, 6000);
}

// The dialog opens with what the service answers, and closes when it was done.
document.addEventListener("htmx:after:swap", () => {
  const dialog = at("ask");
  if (dialog?.querySelector("#confirm") && !dialog.open) dialog.showModal();
  ticked();
  searchOn();
});
document.addEventListener("acted", (event) => {
  at("ask").close();
  say(event.detail.said);
  for (const box of document.querySelectorAll(".tick input")) box.checked = false;
  ticked();
  look();
});
document.addEventListener("close", (event) => { if (event.target.id === "ask") event.target.replaceChildren(); }, true);

// Ticks: what is ticked is meant, else all that match.
function ticked() {
  const label = at("ticked");
  if (!label) return;
  const count = document.querySelectorAll(".tick input[name=account]:checked").length;
  const said = count ? `${count} ticked` : label.dataset.none;
  if (label.textContent !== said) label.textContent = said;
}
document.addEventListener("change", (event) => {
  if (event.target.id === "tick-all") {
    for (const box of document.querySelectorAll(".tick input[name=account]")) box.checked = event.target.checked;
  }
  if (event.target.closest(".tick")) ticked();
});

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
  if (event.target.closest("dialog [data-close]")) {
    event.preventDefault();
    at("ask").close();
  }
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await copy(button.dataset.copy);
  button.focus();
  button.classList.add("copied");
  button.textContent = "Copied";
  say(`Copied ${button.dataset.copy}`);
  setTimeout(() => {
    button.classList.remove("copied");
    button.textContent = "Copy";
  }, 1500);
});
