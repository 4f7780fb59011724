// Keeps what an open page shows as it stands on the server: `waiting.js` hears that something changed, and says so by
// events of the document; what is shown is asked for over HTTP, as the person who is signed in. Without the socket the
// page looks by itself.

const POLL_MS = 10_000, QUIET_MS = 60_000, GAP_MS = 300, PATIENCE_MS = 30_000;

class SignedOut extends Error {}

// It ends after a while: a line that broke without a word would leave the page waiting, and as it was.
export const fetched = async (address) => {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch(address, { credentials: "same-origin", redirect: "manual", cache: "no-store", signal });
  if (response.type === "opaqueredirect") throw new SignedOut("the session is over");
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
};

// Calls `look` whenever there may be something new, one call at a time, and another one if something came meanwhile. The
// page says whether it hears of changes at once, and since when it shows what may no longer be so.
export const whenChanged = (look) => {
  const state = document.querySelector("[data-live]");
  let asking = false, again = false, asked = Date.now(), live = document.documentElement.dataset.socket === "on";
  let current = new Date(), problem = "";
  const ask = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      do {
        again = false;
        asked = Date.now();
        await look();
        current = new Date();
        problem = "";
        tell();
        await new Promise((done) => setTimeout(done, GAP_MS));
      } while (again);
    } catch (error) {
      console.warn("the page could not be brought up to date", error);
      const since = current.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      // No more than said: what is typed stays.
      problem = error instanceof SignedOut ? "Signed out: reload to sign in" : `As it was at ${since}; tries again`;
      tell();
    } finally {
      asking = false;
    }
  };
  const tell = () => {
    if (!state) return;
    const text = problem || (live ? "Live" : "Looks every 10 s");
    state.classList.toggle("on", live && !problem);
    if (state.textContent !== text) state.textContent = text;
  };
  tell();
  document.addEventListener("approvals:changed", ask);
  document.addEventListener("approvals:live", (event) => { live = event.detail; tell(); });
  setInterval(() => { if (Date.now() - asked >= (live && !problem ? QUIET_MS : POLL_MS) - 500) ask(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  addEventListener("pageshow", (event) => { if (event.persisted) ask(); });
};
