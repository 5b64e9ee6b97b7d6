"use strict";

const byId = (id) => document.getElementById(id);

// Live updates. The event stream announces changes; the page then refreshes itself, at most once a second. Without the
// stream the page polls every 2 seconds. A hidden page makes no requests, and refreshes when it becomes visible again.
const STREAM_REFRESH_MS = 10_000; // even without events, so that ages such as "for 3 min" stay correct
const MIN_REFRESH_INTERVAL_MS = 1000;
let stream = null;
let streamConnected = false;
let lastRefresh = Date.now();
let refreshTimer = null;

function refresh() {
  refreshTimer = null;
  lastRefresh = Date.now();
  htmx.trigger("#live", "refresh");
}
function scheduleRefresh() {
  if (!refreshTimer) refreshTimer = setTimeout(refresh, Math.max(0, lastRefresh + MIN_REFRESH_INTERVAL_MS - Date.now()));
}
function openStream() {
  stream = new EventSource("/api/v1/events");
  stream.onopen = () => {
    if (!byId("connection-lost").hidden) refresh();
    streamConnected = true;
  };
  stream.onerror = () => { streamConnected = false; };
  for (const kind of ["job", "deployment", "comparison", "account", "run", "service"]) stream.addEventListener(kind, scheduleRefresh);
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream.close();
    streamConnected = false;
  } else {
    openStream();
    refresh();
  }
});
window.addEventListener("pagehide", () => stream.close());
openStream();

// htmx cancels its wait for a pause in typing when it swaps the page. Text typed during a swap would then not be searched
// for until the next key, so the search is submitted after each swap if its fields have changed since the last request.
const searchForm = () => document.querySelector("form[role=search]");
const searchFields = () => String(new URLSearchParams([...new FormData(searchForm() ?? undefined)].filter(([, value]) => value)));
let requestedFields = searchFields();
function submitChangedSearch() {
  if (searchForm() && searchFields() !== requestedFields) htmx.trigger(searchForm(), "submit");
}

document.addEventListener("htmx:config:request", (event) => {
  const { sourceElement, sourceEvent, request } = event.detail.ctx;
  const isPoll = sourceElement.id === "live" && sourceEvent.type !== "refresh";
  const isUnneeded = isPoll && streamConnected && Date.now() - lastRefresh < STREAM_REFRESH_MS;
  if (document.hidden || isUnneeded) event.preventDefault();
  else if (sourceElement.id === "live") lastRefresh = Date.now();
  else if (sourceElement === searchForm()) {
    requestedFields = searchFields();
    if (byId("select-matching")) byId("select-matching").checked = false; // another filter matches other accounts
  }
  for (const name of ["q", "provider", "label"]) if (request.body.get?.(name) === "") request.body.delete(name);
});

// Show a warning while the service is not responding.
const showConnectionLost = (isLost) => { byId("connection-lost").hidden = !isLost; };
document.addEventListener("htmx:error", () => showConnectionLost(true));
document.addEventListener("htmx:after:request", (event) => showConnectionLost(event.detail.ctx.response.status >= 500));

// Show a message for 6 seconds.
let toastTimer = null;
function showToast(text) {
  byId("toast").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId("toast").textContent = ""; }, 6000);
}

// The dialog opens with the response of the service, and closes once the action is performed.
document.addEventListener("htmx:after:swap", () => {
  const dialog = byId("action-dialog");
  if (dialog?.querySelector("#confirm") && !dialog.open) dialog.showModal();
  updateSelectionCount();
  submitChangedSearch();
});
// Empty it first: the close event comes later, and a swap before that event would open the dialog again.
function closeDialog() {
  byId("action-dialog").replaceChildren();
  byId("action-dialog").close();
}
document.addEventListener("actionPerformed", (event) => {
  closeDialog();
  showToast(event.detail.message);
  for (const box of document.querySelectorAll(".select input, #select-matching")) box.checked = false;
  updateSelectionCount();
  refresh();
});
const emptyDialog = (event) => { if (event.target.id === "action-dialog") event.target.replaceChildren(); };
for (const name of ["cancel", "close"]) document.addEventListener(name, emptyDialog, true);

// Actions apply to the selected accounts, or to all that match the filter if that box is checked. Without a selection the
// buttons are disabled; the service refuses such a request as well.
const accountBoxes = () => [...document.querySelectorAll(".select input[name]")];
function updateSelectionCount() {
  const label = byId("selection-count");
  if (!label) return;
  const isAll = byId("select-matching").checked;
  const count = accountBoxes().filter((box) => box.checked).length;
  const text = isAll ? "all selected" : count ? `${count} selected` : "none selected";
  if (label.textContent !== text) label.textContent = text;
  for (const button of document.querySelectorAll("#bulk-actions button")) button.disabled = !isAll && !count;
}
document.addEventListener("change", (event) => {
  const { id, checked } = event.target;
  if (id === "select-all" || id === "select-matching") {
    for (const box of accountBoxes()) box.checked = checked;
    byId("select-all").checked = checked;
  }
  if (event.target.closest(".select") && !checked) byId("select-matching").checked = false;
  if (event.target.closest(".select, #bulk-actions")) updateSelectionCount();
});
updateSelectionCount();

// An open menu closes with a click elsewhere, and with Escape.
function closeMenus(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (event.type === "click" && menu.contains(event.target)) continue;
    menu.open = false;
    if (event.type === "keydown") menu.querySelector("summary").focus();
  }
}
document.addEventListener("click", closeMenus);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeMenus(event); });

// Copy buttons. The clipboard API needs a secure context; elsewhere a temporary text field is copied.
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
    closeDialog();
  }
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await copy(button.dataset.copy);
  button.focus();
  button.classList.add("copied");
  button.textContent = "Copied";
  showToast(`Copied ${button.dataset.copy}`);
  setTimeout(() => {
    button.classList.remove("copied");
    button.textContent = "Copy";
  }, 1500);
});
