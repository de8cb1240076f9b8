// Buttons that copy what stands beside them. They are in the page and hidden, so that a page that is
// patched keeps them, and one without this script shows none.
"use strict";

function shownText(place) {
  if (place.matches("pre")) return place;
  return [...place.querySelectorAll("pre")].find((each) => each.offsetParent !== null);
}

async function copy(button) {
  const text = shownText(document.getElementById(button.dataset.copies));
  const told = button.parentElement.querySelector("[role=status]");
  let words = "Copied";
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    // Not over plain HTTP from another machine, nor against the browser's will.
    getSelection().selectAllChildren(text);
    words = "Selected: press " + (navigator.platform.startsWith("Mac") ? "⌘C" : "Ctrl+C");
  }
  // Emptied first: the same words twice would not be read out again.
  told.textContent = "";
  setTimeout(() => { told.textContent = words; }, 20);
  setTimeout(() => { if (told.textContent === words) told.textContent = ""; }, 6000);
}

document.documentElement.classList.add("can-copy");
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copies]");
  if (button) copy(button);
});
