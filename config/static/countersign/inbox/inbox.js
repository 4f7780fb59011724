// The list: rows come and go while the page is open; what somebody decided stays a moment where it stood.

import { fetched, whenChanged } from "./looking.js";
import { can, isOn, turn } from "./notifying.js";
import { tick } from "./time.js";

const STAY_MS = 8_000;
const page = document.querySelector("[data-inbox]");
const place = document.getElementById("rows");
const rowsOf = (root) => new Map([...root.querySelectorAll("[data-id]")].map((row) => [row.dataset.id, row]));
const news = (text) => { page.querySelector("[data-news]").textContent = text; };

const bury = (row, text) => {
  row.classList.add("gone");
  row.classList.remove("arrived");
  const note = document.createElement("p");
  note.className = "end when";
  note.textContent = text;
  row.querySelector(".when").replaceWith(note);
  news(`${row.querySelector(".sentence").textContent}: ${text}`);
  setTimeout(() => row.remove(), STAY_MS);
};

whenChanged(async () => {
  const old = rowsOf(place);
  const known = [...old].filter(([, row]) => !row.classList.contains("gone")).map(([id]) => id);
  const found = await fetched(`${page.dataset.here}&fragment=1&known=${known.join(",")}`);
  const fresh = rowsOf(found);
  const ends = new Map([...found.querySelectorAll("[data-gone]")].map((one) => [one.dataset.gone, one.textContent.trim()]));
  const focused = document.activeElement?.closest?.("[data-id]")?.dataset.id;
  const arrived = [...fresh.keys()].filter((id) => !old.has(id));
  const gone = [...old].filter(([id, row]) => !fresh.has(id) && (ends.has(id) || row.classList.contains("gone")));
  let list = found.querySelector(".requests");
  if (gone.length && !list) {
    list = document.createElement("ol");
    list.className = "requests";
    found.body.append(list);
  }
  const order = [...old.keys()];
  for (const [id, row] of gone) {
    const before = order.slice(0, order.indexOf(id)).reverse().map((one) => list.querySelector(`[data-id="${one}"]`)).find(Boolean);
    if (ends.has(id) && !row.classList.contains("gone")) bury(row, ends.get(id));
    if (before) before.after(row); else list.prepend(row);
  }
  for (const id of arrived) fresh.get(id).classList.add("arrived");
  place.replaceChildren(...found.body.childNodes);
  if (focused) place.querySelector(`[data-id="${focused}"] .sentence`)?.focus();
  if (arrived.length) news(arrived.length === 1 ? "A new request has arrived." : `${arrived.length} new requests have arrived.`);
  tick();
});

// Notifications are asked for by this button alone.
const box = page.querySelector("[data-notify]");
const button = page.querySelector("[data-notify-button]");
const text = page.querySelector("[data-notify-text]");
const offer = text.textContent;
const draw = (problem = "") => {
  box.hidden = !can();
  text.textContent = problem || (isOn() ? "This device tells you what waits, while a page of Countersign is open." : offer);
  button.textContent = isOn() ? "Turn off" : "Turn on notifications";
};
button.addEventListener("click", async () => draw(await turn(!isOn())));
draw();
