// Keeps an open inbox or approval as it stands on the server. The socket only says "look again"; what is shown is asked
// for over HTTP, as the person who is signed in. Without the socket the page looks by itself every ten seconds.

import { tick } from "./inbox/time.js";

(() => {
  const page = document.querySelector("[data-live]");
  if (!page) return;

  const POLL_MS = 10_000, QUIET_MS = 60_000, GAP_MS = 300, STAY_MS = 8_000;
  const state = page.querySelector("[data-live-state]");

  // Asking: one request at a time, another after it if something was said meanwhile.
  let asking = false, again = false, lastAsked = Date.now();
  const look = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      do {
        again = false;
        lastAsked = Date.now();
        await (page.dataset.live === "inbox" ? lookAtInbox() : lookAtApproval());
        await new Promise((done) => setTimeout(done, GAP_MS));
      } while (again);
    } catch (error) {
      console.warn("the page could not be brought up to date", error);
    } finally {
      asking = false;
    }
  };
  const fetched = async (address) => {
    const response = await fetch(address, { credentials: "same-origin", redirect: "manual", cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new DOMParser().parseFromString(await response.text(), "text/html");
  };

  // The socket.
  let socket = null, delay = 1000, live = false;
  const tell = (on) => {
    live = on;
    state.classList.toggle("on", on);
    state.textContent = on ? "Live" : "Looks every 10 s";
  };
  const open = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/ws/admin/approvals`);
    socket.onmessage = (event) => {
      if (!live) { tell(true); delay = 1000; }
      if (event.data) look();
    };
    socket.onclose = () => {
      tell(false);
      setTimeout(open, delay);
      delay = Math.min(delay * 2, 30_000);
    };
  };
  tell(false);
  open();
  setInterval(() => { if (Date.now() - lastAsked >= (live ? QUIET_MS : POLL_MS) - 500) look(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  addEventListener("pageshow", (event) => { if (event.persisted) look(); });

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
  if (page.dataset.live === "inbox") counted({ mine: page.querySelector("[data-counts]").dataset.mine });

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
})();
