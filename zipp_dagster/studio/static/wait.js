// Asks whether the next pair is drawn, and shows it then.
"use strict";
const note = document.getElementById("wait");
async function look() {
  try {
    const answer = await fetch(note.dataset.state, { headers: { Accept: "application/json" } });
    if (answer.ok && (await answer.json()).state !== "drawing") { location.reload(); return; }
    if (answer.status === 404) { location.reload(); return; }
  } catch { note.textContent = "No connection at the moment; trying again."; }
  setTimeout(look, 1000);
}
setTimeout(look, 700);
