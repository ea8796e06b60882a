// Keeps the page up to date. Each event is the whole page as the server renders it. What is marked
// as live is changed in place, so that open lists, focus and scroll position stay. Nothing changes
// while text is selected.
"use strict";

const connection = document.getElementById("connection");

function say(text, isLost) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.classList.toggle("lost", isLost);
}

function update(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  updateChildren(old, fresh);
}

function updateChildren(old, fresh) {
  const isIn = (parent, id) => [...parent.children].some((child) => child.id === id);
  for (const child of [...old.children]) {
    if (child.id && !isIn(fresh, child.id)) child.remove();
  }
  let here = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = child.id
      ? [...old.children].find((each) => each.id === child.id)
      : here && !here.id && here.nodeName === child.nodeName && here;
    if (same) {
      if (same !== here) old.insertBefore(same, here);
      update(same, child);
      here = same.nextSibling;
    } else {
      old.insertBefore(child, here);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of fresh.querySelectorAll("[data-live]")) {
    update(document.getElementById(part.id), part);
  }
}

const SILENCE = 3000; // Milliseconds without an event, which comes once a second, until it is told.
const events = new EventSource("events");
let heard = Date.now();
let isBroken = false;
events.onmessage = (event) => {
  heard = Date.now();
  isBroken = false;
  const isSelecting = !getSelection().isCollapsed;
  say(isSelecting ? "Paused while text is selected" : "Live", false);
  if (!isSelecting) show(event.data);
};
events.onerror = () => {
  if (!isBroken) say(`No connection since ${new Date().toLocaleTimeString()}`, true);
  isBroken = true;
  // The browser tries again by itself, unless the server sent another kind of answer.
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
};

// A server that hangs keeps its connections open.
setInterval(() => {
  const silent = Date.now() - heard;
  if (!isBroken && silent >= SILENCE) say(`No data for ${Math.floor(silent / 1000)} s`, true);
}, 1000);
