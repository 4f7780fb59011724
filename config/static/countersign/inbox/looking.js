// Keeps what an open page shows as it stands on the server: `waiting.js` hears that something changed, and says so by
// events of the document; what is shown is asked for over HTTP, as the person who is signed in. Without the socket the
// page looks by itself.

const POLL_MS = 10_000, QUIET_MS = 60_000, GAP_MS = 300;

class SignedOut extends Error {}

export const fetched = async (address) => {
  const response = await fetch(address, { credentials: "same-origin", redirect: "manual", cache: "no-store" });
  if (response.type === "opaqueredirect") throw new SignedOut("the session is over");
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
};

// Calls `look` whenever there may be something new, one call at a time, and another one if something came meanwhile.
export const whenChanged = (look) => {
  const state = document.querySelector("[data-live]");
  let asking = false, again = false, asked = Date.now(), live = document.documentElement.dataset.socket === "on";
  const ask = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      do {
        again = false;
        asked = Date.now();
        await look();
        await new Promise((done) => setTimeout(done, GAP_MS));
      } while (again);
    } catch (error) {
      console.warn("the page could not be brought up to date", error);
      if (state && error instanceof SignedOut) state.textContent = "Signed out: reload to sign in"; // what is typed stays
    } finally {
      asking = false;
    }
  };
  const tell = () => {
    if (!state) return;
    state.classList.toggle("on", live);
    state.textContent = live ? "Live" : "Looks every 10 s";
  };
  tell();
  document.addEventListener("approvals:changed", ask);
  document.addEventListener("approvals:live", (event) => { live = event.detail; tell(); });
  setInterval(() => { if (Date.now() - asked >= (live ? QUIET_MS : POLL_MS) - 500) ask(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  addEventListener("pageshow", (event) => { if (event.persisted) ask(); });
};
