// Patches a page while its tasks run: asks for the page again and replaces the parts that changed.
// Without it every page is complete; one reloads by hand.
"use strict";

const FAST_MS = 1000;
const SLOW_MS = 4000;
const FAST_ROUNDS = 60;

let rounds = 0;
let failures = 0;
let known = partsOf(document);

function partsOf(page) {
  return new Map([...page.querySelectorAll("[data-part]")].map((part) => [part.id, part.outerHTML]));
}

function patch(fresh) {
  const focused = document.activeElement && document.activeElement.id;
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const html = part.outerHTML;
    const old = document.getElementById(part.id);
    // Compared with what the server said before, so that an opened fold is no change.
    if (!old || known.get(part.id) === html) continue;
    known.set(part.id, html);
    const next = document.importNode(part, true);
    for (const fold of old.querySelectorAll("details[open]")) {
      const same = fold.id && next.querySelector("#" + CSS.escape(fold.id));
      if (same) same.open = true;
    }
    old.replaceWith(next);
  }
  if (focused && (!document.activeElement || document.activeElement === document.body)) {
    const again = document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  }
}

async function look() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
  if (answer.redirected) return location.reload();
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const wasLive = document.querySelector("[data-live]");
  patch(fresh);
  document.title = fresh.title;
  const table = document.querySelector("table[data-live]");
  if (table && !fresh.querySelector("[data-live]")) table.removeAttribute("data-live");
  if (wasLive && !document.querySelector("[data-live]")) announce();
}

function announce() {
  const place = document.getElementById("announcement");
  const state = document.querySelector("#heading .state");
  if (place && state) place.textContent = "The task is " + state.textContent.trim();
}

async function follow() {
  while (document.querySelector("[data-live]")) {
    const pause = (rounds++ < FAST_ROUNDS ? FAST_MS : SLOW_MS) * Math.min(2 ** failures, 16);
    await new Promise((resume) => setTimeout(resume, pause));
    try {
      await look();
      failures = 0;
    } catch {
      failures += 1;
    }
    document.body.classList.toggle("is-stale", failures > 1);
  }
}

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
  place.textContent = !field.value ? "" : missing > 0
    ? missing + (missing === 1 ? " more character" : " more characters")
    : repeats ? "Too repetitive" : field.value.length < 16 ? "Good" : "Strong";
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
follow();
