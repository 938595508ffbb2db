// Keys for the three answers; one answer a page, and none before the pictures can be seen.
"use strict";
const form = document.getElementById("vote");
const buttons = [...form.querySelectorAll("button[name=choice]")];
const KEYS = {
  ArrowLeft: "left", a: "left", A: "left", 1: "left",
  ArrowRight: "right", b: "right", B: "right", 2: "right",
  ArrowDown: "tie", 0: "tie",
};
// The second click of a double click would otherwise answer the next pair unseen.
const SETTLE_MS = 350;
let sent = false;
let settled = false;
const seen = [...form.querySelectorAll("img")].map((image) => image.decode().catch(() => undefined));
Promise.all(seen).then(() => setTimeout(() => { settled = true; form.dataset.ready = "yes"; }, SETTLE_MS));

form.addEventListener("submit", (event) => {
  if (sent || !settled) { event.preventDefault(); return; }
  sent = true;
  event.submitter?.classList.add("chosen");
  setTimeout(() => { for (const button of buttons) button.disabled = true; });
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const choice = KEYS[event.key];
  if (!choice) return;
  event.preventDefault();
  form.requestSubmit(buttons.find((button) => button.value === choice));
});
// Back in the browser's history: ask the server which pair is next.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
