// One request: what is typed stays while others decide; nothing is approved before its arguments were on the screen to
// their end; a button pressed twice sends once.

import { fetched, whenChanged } from "./looking.js";
import { tick } from "./time.js";

const page = document.querySelector("[data-approval], [data-together]");
const form = document.getElementById("ballot");
const bar = page.querySelector("[data-bar]");

// A decision of somebody else takes the form away; an edit says to look again.
const look = async () => {
  const found = (await fetched(page.dataset.here)).getElementById("standing");
  const now = document.getElementById("standing");
  const other = found.dataset.digest !== now.dataset.digest;
  const ended = "open" in now.dataset && !("open" in found.dataset);
  if (other) found.dataset.digest = now.dataset.digest; // said until the page is loaded anew
  now.replaceWith(document.adoptNode(found));
  if (other || ended) {
    page.querySelector("[data-changed]").hidden = !other; // what became of one that ended is said there
    if (form) form.inert = true;
    if (bar) bar.inert = true;
  }
  if (ended) for (const one of [form, bar, ...page.querySelectorAll("[data-refusal]")]) one?.remove();
  tick();
};
if (page.dataset.here) whenChanged(look);

// What would run is read to its end before it can be approved: long texts scroll inside, or are shown whole.
const approve = page.querySelector("[data-approve]");
const exact = page.querySelector("[data-exact] pre.exact");
const clamp = (text) => {
  text.classList.add("clamped");
  if (text.scrollHeight <= text.clientHeight + 1) { text.classList.remove("clamped"); return; }
  const all = document.createElement("button");
  all.type = "button";
  all.textContent = "Show all of it";
  all.addEventListener("click", () => { text.classList.remove("clamped"); all.remove(); text.focus(); });
  text.after(all);
};
for (const text of page.querySelectorAll("[data-exact] pre.exact, [data-together] pre.exact")) clamp(text);
const whenRead = (text, then, notYet = () => {}) => {
  const end = document.createElement("span");
  end.className = "end-mark";
  text.append(end);
  const watching = new IntersectionObserver((seen) => {
    if (!seen.some((one) => one.isIntersecting)) { notYet(); return; }
    watching.disconnect();
    then();
  }, { rootMargin: `0px 0px -${bar.offsetHeight}px 0px` });
  watching.observe(end);
};
if (exact && approve) {
  const gate = page.querySelector("[data-gate]");
  approve.disabled = true;
  whenRead(exact, () => { approve.disabled = false; gate.hidden = true; }, () => { gate.hidden = false; });
}

// Arguments that are edited after the change was shown are shown again before they can be approved.
const check = page.querySelector("[data-check]");
if (check?.hidden) {
  form.elements.arguments.addEventListener("input", () => { check.hidden = false; approve.hidden = true; });
}

// Rejecting needs a reason: the page says so before the server does.
const reason = form?.querySelector("[name=reason]");
let sent = false;
form?.addEventListener("submit", (event) => {
  if (sent) { event.preventDefault(); return; }
  if (event.submitter?.value === "reject" && !reason.value.trim()) {
    event.preventDefault();
    reason.setCustomValidity("Say why: the agent and the log are told.");
    reason.reportValidity();
    return;
  }
  sent = true;
});
reason?.addEventListener("input", () => reason.setCustomValidity(""));
addEventListener("pageshow", (event) => { if (event.persisted) sent = false; });

// Several together: each is ticked once it was read, and the buttons say how many are.
const boxes = page.querySelectorAll("[data-together] input[name=ids]");
const count = () => {
  const many = [...boxes].filter((box) => box.checked).length;
  for (const one of bar.querySelectorAll("[data-ticked]")) one.textContent = String(many);
  for (const one of bar.querySelectorAll("button")) one.disabled = !many;
};
for (const box of boxes) {
  if (box.checked) continue; // it was read before the page came back with an error
  box.disabled = true;
  whenRead(box.closest("section").querySelector("pre.exact"), () => { box.disabled = false; });
}
if (boxes.length) {
  form.addEventListener("change", count);
  count();
}
