// Keeps an open inbox or approval of the admin as it stands on the server. The socket only says "look again";
// `looking.js` asks, and asks by itself without it.

import { fetched, whenChanged } from "./inbox/looking.js";
import { tick } from "./inbox/time.js";

const FIRST_MS = 1000, LONGEST_MS = 30_000, STAY_MS = 8_000;
const page = document.querySelector("[data-shows]");

// The socket.
const said = (name, detail) => document.dispatchEvent(new CustomEvent(`approvals:${name}`, { detail }));
let delay = FIRST_MS;
const open = () => {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws/admin/approvals`);
  socket.onmessage = () => {
    delay = FIRST_MS;
    said("live", true);
    said("changed");
  };
  socket.onclose = () => {
    said("live", false);
    setTimeout(open, delay);
    delay = Math.min(delay * 2, LONGEST_MS);
  };
};

// The inbox.
const title = document.title;
const counted = (counts) => {
  for (const [name, value] of Object.entries(counts)) {
    for (const place of page.querySelectorAll(`[data-count="${name}"]`)) place.textContent = value;
  }
  document.title = counts.mine && counts.mine !== "0" ? `(${counts.mine}) ${title}` : title;
};
const rowsOf = (root) => new Map([...root.querySelectorAll("[data-id]")].map((row) => [row.dataset.id, row]));
const news = (text) => {
  const list = page.querySelector("[data-news]");
  const item = document.createElement("li");
  item.textContent = text;
  list.prepend(item);
  while (list.children.length > 3) list.lastChild.remove();
  setTimeout(() => item.remove(), STAY_MS);
};
async function lookAtInbox() {
  const place = document.getElementById("rows");
  const old = rowsOf(place);
  const known = [...old].filter(([, row]) => !row.classList.contains("gone")).map(([id]) => id);
  const separator = page.dataset.here.includes("?") ? "&" : "?";
  const found = await fetched(`${page.dataset.here}${separator}fragment=1&known=${known.join(",")}`);
  const fresh = rowsOf(found);
  const ends = new Map([...found.querySelectorAll("[data-gone]")].map((one) => [one.dataset.gone, one.textContent]));
  const chosen = new Set([...place.querySelectorAll("input[name=ids]:checked")].map((box) => box.value));
  const focused = document.activeElement?.closest?.("[data-id]")?.dataset.id;
  const arrived = [...fresh.keys()].filter((id) => !old.has(id));
  // What somebody decided stays for a moment where it stood, with who decided.
  let list = found.querySelector(".requests");
  const gone = [...old].filter(([id]) => !fresh.has(id) && (ends.has(id) || old.get(id).classList.contains("gone")));
  if (gone.length && !list) {
    list = document.createElement("ol");
    list.className = "requests";
    found.body.append(list);
  }
  for (const [id, row] of gone) {
    const places = [...old.keys()];
    const before = places.slice(0, places.indexOf(id)).reverse().map((one) => list.querySelector(`[data-id="${one}"]`)).find(Boolean);
    if (ends.has(id) && !row.classList.contains("gone")) bury(row, ends.get(id));
    if (before) before.after(row); else list.prepend(row);
  }
  for (const id of arrived) fresh.get(id).classList.add("arrived");
  for (const [id, row] of fresh) {
    const box = row.querySelector("input[name=ids]");
    if (box && chosen.has(id)) box.checked = true;
    if (old.get(id)?.classList.contains("arrived")) row.classList.add("arrived");
  }
  place.replaceChildren(...found.body.childNodes);
  const counts = place.querySelector("[data-counts]");
  counted({ mine: counts.dataset.mine, all: counts.dataset.all });
  if (focused) place.querySelector(`[data-id="${focused}"] .sentence`)?.focus();
  if (arrived.length) news(arrived.length === 1 ? "A new request has arrived." : `${arrived.length} new requests have arrived.`);
  pick();
  tick();
}
const bury = (row, text) => {
  row.classList.add("gone");
  row.classList.remove("arrived");
  row.querySelector(".pick").replaceChildren();
  const note = document.createElement("div");
  note.className = "end";
  note.textContent = text.trim();
  row.append(note);
  news(`${row.querySelector(".sentence").textContent}: ${text.trim()}`);
  setTimeout(() => { row.remove(); }, STAY_MS);
};
// Only requests of one tool go together.
const pick = () => {
  const bar = page.querySelector("[data-bulk]");
  if (!bar) return;
  const boxes = [...page.querySelectorAll("input[name=ids]")];
  const chosen = boxes.filter((box) => box.checked);
  const tool = chosen[0]?.closest("[data-tool]").dataset.tool;
  for (const box of boxes) box.disabled = tool !== undefined && box.closest("[data-tool]").dataset.tool !== tool;
  for (const button of bar.querySelectorAll("button")) {
    button.disabled = !chosen.length;
    button.classList.toggle("opacity-50", !chosen.length);
  }
  bar.querySelector("[data-bulk-text]").textContent = chosen.length
    ? `${chosen.length} of ${tool} selected` : "Select requests of one tool to decide them together.";
};
page.addEventListener("change", (event) => { if (event.target.name === "ids") pick(); });
pick();
if (page.dataset.shows === "inbox") counted({ mine: page.querySelector("[data-counts]").dataset.mine });

// One approval: what is typed stays; a decision of somebody else takes the form away, an edit says to look again.
async function lookAtApproval() {
  const found = (await fetched(page.dataset.here)).getElementById("standing");
  const now = document.getElementById("standing");
  const other = found.dataset.digest !== now.dataset.digest;
  const ended = "open" in now.dataset && !("open" in found.dataset);
  page.querySelector("[data-changed]").hidden = !(other || ended);
  if (other) found.dataset.digest = now.dataset.digest; // said until the page is loaded anew
  now.replaceWith(found);
  if (other || ended) for (const form of page.querySelectorAll("form.decide")) form.inert = true;
  if (ended) for (const form of page.querySelectorAll("form.decide, .more-ways, [data-refusal]")) form.remove();
  tick();
}
const decide = page.querySelector("[data-decide]");
document.addEventListener("keydown", (event) => {
  if (!decide?.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const target = { a: decide.querySelector("button[value=approve]"), r: decide.querySelector("[name=reason]") }[event.key];
  if (!target) return;
  event.preventDefault();
  target.focus();
});

whenChanged(page.dataset.shows === "inbox" ? lookAtInbox : lookAtApproval);
open();
