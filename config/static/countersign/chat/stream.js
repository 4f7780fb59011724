// Reading a run to its end, over as many responses as it takes: a connection that breaks, a server that starts anew, a
// computer that slept. Each event has a number, and reading goes on after the last one, so no word is lost or doubled.

import { passes, Problem, send } from "./api.js";

const FIRST_PAUSE_MS = 300, LONGEST_PAUSE_MS = 10_000;
const TRIES = 6; // of a message, before its person is asked: about ten seconds
const SILENCE_MS = 40_000; // the server says something every 15 s, so that more than this is a connection that died
const STALE_MS = 20_000; // the same, where somebody has just come back to the page
const LOOK_MS = 5_000;

// The frames of a server-sent stream: {id, event, data}. `heard` is called for each piece that comes, also for a comment.
export async function* frames(response, heard = () => {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      held += value;
      let end;
      while ((end = held.indexOf("\n\n")) >= 0) {
        const frame = parsed(held.slice(0, end));
        held = held.slice(end + 2);
        if (frame.data !== undefined) yield { ...frame, data: JSON.parse(frame.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(text) {
  const frame = { event: "message" };
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue; // a comment
    frame[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
  }
  return frame;
}

// Whether an event is the run's last: a stream that ends because people are waited for is opened again.
export const ends = ({ event, data }) =>
  event === "error" ? Boolean(data.run_id) : event === "done" && !String(data.status).startsWith("awaiting");

// Watches over a line on which the server speaks regularly: `died` is called where it was silent for too long since it
// was `heard`, which no browser tells by itself.
export function watchdog(died) {
  let heardAt = Infinity;
  const check = (limit) => { if (performance.now() - heardAt > limit) died(); };
  const back = () => { if (!document.hidden) check(STALE_MS); };
  const timer = setInterval(() => check(SILENCE_MS), LOOK_MS);
  document.addEventListener("visibilitychange", back);
  window.addEventListener("online", back);
  return {
    heard: () => { heardAt = performance.now(); },
    stop: () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", back);
      window.removeEventListener("online", back);
    },
  };
}

// A pause that ends at once when the network or the person is back, or when something is heard of the run otherwise.
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      for (const [target, name] of watched) target.removeEventListener(name, wake);
      resolve();
    };
    const watched = [[window, "online"], [document, "visibilitychange"], [signal, "abort"], [signal, "news"]];
    const timer = setTimeout(wake, milliseconds);
    for (const [target, name] of watched) target.addEventListener(name, wake);
  });
}

// Whether it may go better the next time. Of a message that is posted the person is told more, and sooner.
function passing(error, posted) {
  if (!(error instanceof Problem)) return true; // the line broke
  const { status, code } = error;
  if (posted) return code === "idempotency_in_flight" || (code !== "brain_unavailable" && [0, 502, 503, 504].includes(status));
  return passes(error);
}

// The events of a run until its end, `session` first: of the run `runId`, or of the one that `post` begins. That is called
// again until its first event has come, so what it posts needs a key by which it is not taken twice. `onState` is told
// how the line is ("live", "lost"). Raises Problem where the run cannot be read at all, such as when the person was signed
// out, or AbortError.
export async function* follow({ runId = null, post = null, onState = () => {}, signal }) {
  for (let after = 0, breaks = 0; ; breaks += 1) {
    const attempt = new AbortController(), stop = () => attempt.abort();
    const watch = watchdog(stop);
    signal.addEventListener("abort", stop);
    let waits = false, problem = null;
    try {
      if (runId) watch.heard(); // what is posted may take its time
      const headers = { Accept: "text/event-stream", "Last-Event-ID": String(after) };
      const response = await (runId ? send("GET", `/v1/ai/runs/${runId}/events`, { headers, signal: attempt.signal }) : post(attempt.signal));
      onState("live");
      watch.heard();
      for await (const frame of frames(response, watch.heard)) {
        if (attempt.signal.aborted || (frame.event === "error" && !frame.data.run_id)) break; // the stream broke, not the run
        if (frame.event === "session") runId = frame.data.run_id;
        if (Number(frame.id) > after) {
          after = Number(frame.id);
          breaks = 0; // it got on: what only begins again and again is asked for less and less often
        }
        yield frame;
        if (ends(frame)) return;
        waits = frame.event === "done";
      }
    } catch (error) {
      if (signal.aborted || !passing(error, !runId)) throw error;
      if (error instanceof SyntaxError) console.warn("a frame could not be read", error);
      problem = error;
    } finally {
      watch.stop();
      signal.removeEventListener("abort", stop);
      attempt.abort();
    }
    signal.throwIfAborted();
    if (!runId && breaks + 1 === TRIES) throw problem instanceof Problem && problem.status !== 409 ? problem : new Problem(0);
    if (breaks > 0 && !waits) onState("lost");
    const wait = Math.max(FIRST_PAUSE_MS * 2 ** breaks, (problem?.retryAfter ?? 0) * 1000);
    await pause(Math.min(wait, LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2), signal);
    signal.throwIfAborted();
  }
}
