"use strict";
// Add the reader's local time to each time in UTC, and a copy button to each block of code. Load a
// page again once it can be shown.
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
const calendar = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function addLocalTime(element) {
  const time = new Date(element.dateTime);
  if (time.getTimezoneOffset() === 0) return;
  const day = time.getDate() === time.getUTCDate() ? "" : `${calendar.format(time)}, `;
  element.append(` (${day}${clock.format(time)})`);
}

function addCopyButton(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", () => {
    // navigator.clipboard is missing on plain http. The text stays selected, for Ctrl-C.
    getSelection().selectAllChildren(block.querySelector("code"));
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  block.append(button);
}

function enhance(part) {
  part.querySelectorAll("time").forEach(addLocalTime);
  part.querySelectorAll(".code").forEach(addCopyButton);
}
enhance(document);

async function retry() {
  const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
  if (answer?.ok) location.reload();
}
const notice = document.getElementById("retry");
if (notice) {
  notice.hidden = false;
  setInterval(retry, 10000);
}
