// Fetches the live part anew; keeps the old one where that fails.
"use strict";
const live = document.getElementById("live");
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(live.dataset.url, { headers: { Accept: "text/html" } });
    if (answer.ok) live.innerHTML = await answer.text();
  } catch { /* the next turn tries again */ }
}, 10000);
