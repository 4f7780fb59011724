// What a page of the console does beyond its forms: copying a secret, and saying that a test is under way.

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const said = document.querySelector("[data-copied]");
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "It could not be copied. Select it, and copy it by hand.";
    }
  });
}

for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    form.setAttribute("aria-busy", "true");
    form.querySelector("[role=status]").textContent = form.dataset.busy;
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
}

// Where the line of sections scrolls, the one that is open is in sight.
const open = document.querySelector(".sections [aria-current]");
if (open && open.parentElement.scrollWidth > open.parentElement.clientWidth) {
  open.parentElement.scrollLeft = open.offsetLeft - open.parentElement.offsetLeft - 16;
}
// Coming back to a page by the browser's button, a form that was sent can be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-busy]")) {
    form.removeAttribute("aria-busy");
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
});

// A delivery that waits is looked at again, as the server draws it, until it is delivered or the page has waited a minute.
const REPEAT_MS = 1500;
const REPEATS = 40;
async function watch(live, left) {
  await new Promise((resolve) => setTimeout(resolve, REPEAT_MS));
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  const fresh = page?.querySelector("[data-live]");
  if (fresh && fresh.textContent !== live.textContent) {
    live.replaceChildren(...fresh.childNodes);
    if (!fresh.hasAttribute("data-pending")) return;
  }
  if (left > 1) await watch(live, left - 1);
}
const live = document.querySelector("[data-pending]");
if (live) watch(live, REPEATS);
