// Keeps the page up to date. Each event is the whole page as the server renders it; what is marked
// in it takes the place of what is here, unless somebody is selecting text to copy.
"use strict";

const connection = document.getElementById("connection");

function say(text, isLost) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.classList.toggle("lost", isLost);
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (old && old.innerHTML !== part.innerHTML) old.replaceChildren(...part.childNodes);
  }
}

const events = new EventSource("events");
events.onmessage = (event) => {
  const isSelecting = !getSelection().isCollapsed;
  say(isSelecting ? "Held while text is selected" : "Live", false);
  if (!isSelecting) show(event.data);
};
events.onerror = () => {
  const isNew = !connection.classList.contains("lost");
  if (isNew) say(`No connection since ${new Date().toLocaleTimeString()}`, true);
  // The browser itself tries again, unless the server's answer was something else.
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
};
