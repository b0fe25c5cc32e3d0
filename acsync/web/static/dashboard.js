"use strict";
// Replace the live part every few seconds, and say so where that fails.
const live = document.getElementById("live");
const connection = document.getElementById("connection");
let seen = Date.now();

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("live", { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error((await answer.json()).error);
    live.innerHTML = await answer.text();
    enhance(live);
    seen = Date.now();
    connection.hidden = true;
  } catch (error) {
    const seconds = Math.round((Date.now() - seen) / 1000);
    connection.textContent = `This page is ${seconds} s old, and cannot be brought up to date: ${error.message}`;
    connection.hidden = false;
  }
}
setInterval(refresh, 5000);
document.addEventListener("visibilitychange", refresh);
