// On every page: how much waits for one's decision, beside the link to it and in the inbox's title, and notifications on
// this device for who asked for them. The socket says that something changed; without it the number is asked for.

import { isOn, tell } from "./notifying.js";

const FIRST_MS = 1000, LONGEST_MS = 30_000, POLL_MS = 30_000, PATIENCE_MS = 25_000;
const ADDRESS = "/approvals/waiting/";
const title = document.title;
let known = null; // ids that were there before, once they have been read

const show = (waiting) => {
  const many = waiting === "0" ? "" : waiting;
  for (const place of document.querySelectorAll("[data-waiting]")) {
    const more = document.createElement("span");
    more.className = "visually-hidden";
    more.textContent = " waiting";
    place.replaceChildren(many, more);
    place.hidden = !many;
  }
  for (const place of document.querySelectorAll("[data-mine]")) place.textContent = waiting;
  if (document.querySelector("[data-counts-title]")) document.title = many ? `(${many}) ${title}` : title;
};

const read = async () => {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch(ADDRESS, { credentials: "same-origin", redirect: "manual", cache: "no-store", signal });
  if (!response.ok) return;
  const found = await response.json();
  show(found.waiting);
  for (const one of found.newest) if (known && !known.has(one.id)) tell(one);
  known = new Set([...(known ?? []), ...found.newest.map((one) => one.id)]);
};
const look = () => read().catch((error) => console.warn("what waits could not be counted", error));

const said = (name, detail) => document.dispatchEvent(new CustomEvent(`approvals:${name}`, { detail }));

let delay = FIRST_MS, live = false, leaving = false;
const turned = (on) => {
  live = on;
  document.documentElement.dataset.socket = on ? "on" : "off";
  said("live", on);
};
const open = () => {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws/approvals`);
  socket.onmessage = (event) => {
    const word = JSON.parse(event.data);
    delay = FIRST_MS;
    if (!live) turned(true);
    show(word.waiting);
    if (isOn() || known) look();
    said("changed");
  };
  socket.onclose = () => {
    if (leaving) return;
    if (delay === FIRST_MS) look();
    turned(false);
    setTimeout(open, delay * (0.75 + Math.random() / 2)); // so that not all pages come back at once
    delay = Math.min(delay * 2, LONGEST_MS);
  };
};
addEventListener("pagehide", () => { leaving = true; });
addEventListener("pageshow", (event) => { if (event.persisted) { leaving = false; open(); } });
document.addEventListener("approvals:notify", look); // just turned on: what is there now is not new
open();
setInterval(() => { if (!live) look(); }, POLL_MS);
