// Hearing of what others do: a socket says when the open conversation changed on another screen, and a channel between
// the tabs of this browser when the list of conversations did. Neither carries what was said; that is read when needed.

import { call, Problem } from "./api.js";
import { watchdog } from "./stream.js";

const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 30_000;
const GONE = 4404;

export class Live {
  #socket = null;
  #opening = false;
  #pause = FIRST_PAUSE_MS;
  #timer = 0;

  // `onChange(runId)`: null where anything may have changed; `onGone`: the conversation is not there any more.
  constructor({ onChange, onGone, onSignedOut }) {
    Object.assign(this, { onChange, onGone, onSignedOut });
    window.addEventListener("online", () => this.#again());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#again(); });
    window.addEventListener("pagehide", () => this.#socket?.close());
    window.addEventListener("pageshow", (event) => { if (event.persisted) this.#again(); });
  }

  watch(sessionId) {
    this.session = sessionId;
    this.#open();
  }

  // Listens no more, until it is to `watch` again.
  rest() {
    const socket = this.#socket;
    this.session = this.#socket = null;
    clearTimeout(this.#timer);
    socket?.close();
  }

  #again() {
    if (!this.session) return;
    this.#pause = FIRST_PAUSE_MS;
    this.#open();
  }

  async #open() {
    clearTimeout(this.#timer);
    if (this.#socket || this.#opening) return;
    this.#opening = true;
    try {
      const { ticket } = await call("POST", "/v1/auth/ticket");
      if (!this.session) return;
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      const socket = new WebSocket(`${scheme}://${location.host}/ws/ai/sessions/${this.session}/changes`, ["countersign", `ticket.${ticket}`]);
      this.#socket = socket;
      const watch = watchdog(() => ended());
      const ended = (code) => {
        watch.stop();
        socket.close();
        if (this.#socket !== socket) return; // it was given up before
        this.#socket = null;
        if (code === GONE) this.onGone();
        else this.#later();
      };
      watch.heard();
      socket.addEventListener("open", () => {
        this.#pause = FIRST_PAUSE_MS;
        this.onChange(null); // what happened while nobody listened
      });
      socket.addEventListener("message", (event) => {
        watch.heard();
        const word = JSON.parse(event.data);
        if (word.event === "changed") this.onChange(word.data.run_id); // any other says that the line is sound
      });
      socket.addEventListener("close", (event) => ended(event.code));
    } catch (error) {
      if (error instanceof Problem && error.status === 401) this.onSignedOut(error);
      else if (this.session) this.#later();
    } finally {
      this.#opening = false;
    }
  }

  #later() {
    this.#timer = setTimeout(() => this.#open(), this.#pause * (0.75 + Math.random() / 2));
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }
}

const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("countersign") : null;

// Tells the other tabs what changed: {session} is null for the list alone.
export const tellTabs = (session) => tabs?.postMessage({ session });
export const hearTabs = (heed) => tabs?.addEventListener("message", ({ data }) => heed(data.session));
