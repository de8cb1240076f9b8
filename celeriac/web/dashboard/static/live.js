// Patches a page while its tasks change. The server tells that something changed, over one stream
// for the whole page; what is shown is asked for again, and only what differs is touched. Without
// the stream the page asks by itself; without this script every page is complete, and one reloads.
"use strict";

const FAST_MS = 1000;
const SLOW_MS = 4000;
const FAST_ROUNDS = 60;
const AGAIN_MS = 30000;
const MOST_NEWS = 3;
const WAITING = ".state-queued, .state-scheduled, .state-waiting";
const UNFINISHED = WAITING + ", .state-running";

let rounds = 0;
let failures = 0;
let stream = null;
let isHeard = false;
let isLooking = false;
let isNewsLeft = false;
// When the page last was what the server knows.
let freshAt = Date.now();
let liveState = "";
// What can be submitted, as it was last told.
let knownNames = null;
let rowsUrl = "";
let rowsTag = "";
const changedRows = new Set();
let newTasks = 0;

// ---- patching

// Makes one element like another and keeps the nodes: what has the focus, is ticked or unfolded stays.
function morph(old, next) {
  if (old.isEqualNode(next)) return;
  const isSame = old.nodeName === next.nodeName && (old.id || "") === (next.id || "");
  if (!isSame) return old.replaceWith(next);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name, value } of [...next.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    const isFold = name === "open" && old.nodeName === "DETAILS";
    if (!next.hasAttribute(name) && !isFold) old.removeAttribute(name);
  }
  const before = [...old.childNodes];
  const after = [...next.childNodes];
  after.forEach((child, place) => (before[place] ? morph(before[place], child) : old.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
}

function patch(fresh) {
  const focused = document.activeElement && document.activeElement.id;
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = document.getElementById(part.id);
    if (old) morph(old, document.importNode(part, true));
  }
  if (focused && (!document.activeElement || document.activeElement === document.body)) {
    const again = document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  }
}

// ---- asking

async function ask(url, headers) {
  const answer = await fetch(url, { credentials: "same-origin", cache: "no-store", headers });
  if (answer.redirected) location.reload();
  if (answer.redirected || answer.status === 304) return null;
  if (!answer.ok) throw new Error(String(answer.status));
  rowsTag = answer.headers.get("etag") || "";
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function lookAtTask() {
  const fresh = await ask(location.href, {});
  if (!fresh) return;
  const wasLive = document.querySelector("[data-live]");
  patch(fresh);
  document.title = fresh.title;
  if (!wasLive || document.querySelector("[data-live]")) return;
  announce();
  // It has ended: there is nothing more to hear of it.
  const place = document.querySelector("[data-events^='/tasks/']");
  if (place) place.removeAttribute("data-events");
  if (place && !isHeard) leave("");
}

async function lookAtRows(ids) {
  const table = document.querySelector("table[data-whose]");
  const query = new URLSearchParams({ whose: table.dataset.whose });
  for (const id of ids) query.append("ids", id);
  const url = "/ui/tasks/rows?" + query;
  const isAgain = url === rowsUrl && rowsTag;
  rowsUrl = url;
  const fresh = await ask(url, isAgain ? { "If-None-Match": rowsTag } : {});
  if (!fresh) return;
  const rows = new Map([...table.querySelectorAll("[data-task]")].map((row) => [row.dataset.task, row]));
  for (const row of fresh.querySelectorAll("[data-task]")) {
    const old = rows.get(row.dataset.task);
    if (old) morph(old, document.importNode(row, true));
  }
  table.toggleAttribute("data-live", Boolean(table.querySelector(UNFINISHED)));
}

function shownRows() {
  return [...document.querySelectorAll("table[data-whose] [data-task]")].map((row) => row.dataset.task);
}

// One look at a time; what changes meanwhile is looked at after it.
async function look() {
  isNewsLeft = true;
  if (isLooking || document.hidden) return;
  isLooking = true;
  try {
    while (isNewsLeft) {
      isNewsLeft = false;
      const ids = [...changedRows];
      changedRows.clear();
      if (ids.length) await lookAtRows(ids);
      else if (document.querySelector("[data-part]")) await lookAtTask();
    }
    failures = 0;
    freshAt = Date.now();
  } catch {
    failures += 1;
  } finally {
    isLooking = false;
  }
  document.body.classList.toggle("is-stale", failures > 1);
}

function lookAtAll() {
  for (const id of shownRows()) changedRows.add(id);
  return look();
}

function announce() {
  const place = document.getElementById("announcement");
  const state = document.querySelector("#heading .state");
  if (!place || !state) return;
  const word = state.textContent.trim();
  const verb = { completed: "has ", failed: "has ", expired: "has ", cancelled: "was " }[word] || "is ";
  place.textContent = "The task " + verb + word;
}

// ---- being told

function listen() {
  const place = document.querySelector("[data-events]");
  // A page that shows nothing that changes hears of new task functions, and of nothing else.
  const idle = document.querySelector("[data-idle-events]");
  const url = place ? place.dataset.events : idle && idle.dataset.idleEvents;
  if (!url || stream || document.hidden || !window.EventSource) return;
  stream = new EventSource(url);
  stream.addEventListener("task-types", (event) => hearOfNames(JSON.parse(event.data).names));
  stream.addEventListener("error", () => {
    if (isHeard) freshAt = Date.now();
    isHeard = false;
    const state = place ? "reconnecting" : "";
    if (!stream || stream.readyState !== EventSource.CLOSED) return show(state);
    // Refused: the service is busy, or one is signed out, which a look tells.
    leave(state);
    if (place) lookAtAll();
    setTimeout(listen, AGAIN_MS);
  });
  if (!place) return;
  stream.addEventListener("open", () => {
    isHeard = true;
    show("live");
    // What happened before this was told to nobody.
    lookAtAll();
  });
  stream.addEventListener("reset", lookAtAll);
  stream.addEventListener("task", (event) => {
    look();
    if (JSON.parse(event.data).status === "pending") return;
    place.removeAttribute("data-events");
    leave("");
  });
  stream.addEventListener("tasks", (event) => hearOfList(JSON.parse(event.data)));
}

// Each stream begins with all names: what the one before did not have came with new code.
function hearOfNames(names) {
  const known = knownNames;
  knownNames = new Set(names);
  if (!known) return;
  const added = names.filter((name) => !known.has(name));
  if ((added.length || names.length < known.size) && document.getElementById("choices")) look();
  const news = document.getElementById("news");
  if (!added.length || !news) return;
  const links = added.slice(0, MOST_NEWS).flatMap((name, place) => {
    const link = document.createElement("a");
    link.href = "/ui/submit/" + encodeURIComponent(name);
    link.textContent = name;
    return place ? [", ", link] : [link];
  });
  const rest = added.length > MOST_NEWS ? " and " + (added.length - MOST_NEWS) + " more" : "";
  news.replaceChildren(added.length + (added.length === 1 ? " new task: " : " new tasks: "), ...links, rest);
}

function hearOfList(told) {
  const changed = new Set(told.ids);
  const shown = shownRows().filter((id) => told.more || changed.has(id));
  for (const id of shown) changedRows.add(id);
  if (shown.length) look();
  const newer = document.getElementById("newer");
  if (!newer) return;
  newTasks += newer.dataset.whose === "all" ? told.new : told.mine;
  newer.hidden = !newTasks;
  newer.querySelector("a").textContent = "Show " + newTasks + (newTasks === 1 ? " new task" : " new tasks");
}

function leave(state) {
  if (stream) stream.close();
  stream = null;
  isHeard = false;
  show(state);
}

function show(state) {
  liveState = state;
  const place = document.getElementById("live");
  if (!place) return;
  place.hidden = !state;
  place.dataset.state = state;
  const age = Math.floor((Date.now() - freshAt) / 1000);
  const isOld = state === "reconnecting" && age > 0;
  place.textContent = isOld ? state + ", " + length(age) + " old" : state;
}

// Asks by itself while nothing is heard; and now and then for what changes without anybody's doing:
// how long it is until a task's time comes, and that no worker has taken one yet.
async function follow() {
  for (;;) {
    const pause = (rounds++ < FAST_ROUNDS ? FAST_MS : SLOW_MS) * Math.min(2 ** failures, 16);
    await new Promise((resume) => setTimeout(resume, pause));
    const isDue = isHeard
      ? rounds % 4 === 2 && document.querySelector(WAITING)
      : document.querySelector("[data-live]");
    if (isDue) await lookAtAll();
  }
}

// ---- what needs no server
function length(seconds) {
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  const [size, unit, small, smallUnit] = seconds < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
  const rest = Math.floor((seconds % size) / small);
  return Math.floor(seconds / size) + " " + unit + (rest ? " " + rest + " " + smallUnit : "");
}

function tick() {
  for (const each of document.querySelectorAll("time[datetime]")) {
    const seconds = (Date.now() - Date.parse(each.dateTime)) / 1000;
    if (Math.abs(seconds) >= 10) each.textContent = seconds < 0 ? "in " + length(-seconds) : length(seconds) + " ago";
  }
}

function judge(event) {
  const field = event.target;
  const place = field.dataset && document.getElementById(field.dataset.strength || "");
  if (!place) return;
  const missing = field.minLength - field.value.length;
  const repeats = new Set(field.value).size < 5;
  // No praise: which ones are too well known the server alone knows.
  place.textContent = !field.value ? "" : missing > 0
    ? missing + (missing === 1 ? " more character" : " more characters")
    : repeats ? "Too repetitive" : "Long enough";
  place.dataset.level = missing > 0 || repeats ? "weak" : "good";
}

// The first click counts; the server would take the second one for the same task anyway.
function once(event) {
  const button = event.submitter;
  if (!button || button.form.method !== "post") return;
  setTimeout(() => { button.disabled = true; }, 0);
}

document.addEventListener("input", judge);
document.addEventListener("submit", once);
window.addEventListener("pageshow", (event) => {
  if (event.persisted) for (const each of document.querySelectorAll("button:disabled")) each.disabled = false;
});
setInterval(tick, 5000);
setInterval(() => { if (liveState === "reconnecting") show(liveState); }, 1000);

// Six tabs with a stream each would leave a browser no connection for anything else.
document.addEventListener("visibilitychange", () => (document.hidden ? leave("paused") : listen()));
window.addEventListener("pagehide", () => leave(""));
window.addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
listen();
follow();
