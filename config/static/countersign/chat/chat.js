// The chat page: what is said here, what comes, and what happens to this conversation on other screens.
//
// One thing goes on at a time, `turn`: a message is sent, or an answer is read. What the server has of the conversation is
// shown by `refresh` alone, and never while one of these goes on: its own events tell more, and sooner.

import { call, get, passes, send } from "./api.js";
import { Composer } from "./composer.js";
import { Notices } from "./dialogs.js";
import { composing, find, readable, visible } from "./dom.js";
import { Layout } from "./layout.js";
import { hearTabs, Live, tellTabs } from "./live.js";
import { Messages } from "./messages.js";
import { attachments, sentBefore } from "./pictures.js";
import { Sidebar } from "./sidebar.js";
import { follow } from "./stream.js";

const SHOWN = 40, LAST = 4, APPROVALS = 100, LIST_MS = 60_000;
const FIRST_PAUSE_MS = 1000, LONGEST_PAUSE_MS = 30_000;
const state = JSON.parse(find("#state").textContent);
const said = find("[data-said]"), announce = find("[data-announce]"), title = find("[data-title]");
const notices = new Notices(find("[data-notices]"));
const refuse = (text) => notices.tell(text, { key: "refused" });
let session = state.session; // as the server told it last; null for one that is yet to begin
let pending = null; // {text, key}: the message that was sent last, until it is known that it was taken
let turn = null; // {phase: "sending" | "answering" | "gone", abort, runId, answer, stopping}; null where nothing goes on
let turns = 0; // how often that changed: what was asked of the server before is not shown after

const layout = new Layout({ notices });
const messages = new Messages(said, {
  who: state.partner || "Answer",
  onMemories: (ids) => layout.memories(ids),
  onEdit: (message) => { if (!turn) composer.mend(message); },
  onRetry: retry,
  onOlder: older,
});
const composer = new Composer(find("[data-composer]"), state.limits, {
  key: session?.id ?? "new", onSend: say, onStop: stop, onEditLast: editLast, onRefuse: refuse,
});
const sidebar = new Sidebar(find("#side"), {
  sessions: state.sessions, nextCursor: state.next_cursor, openId: session?.id, titleLimit: state.limits.title,
  onChanged: (one) => { if (one.id === session?.id) retitle(one.title); }, onProblem: (error) => notices.problem(error),
  onLeave: leave, onStay: stay,
});
const live = new Live({ onChange: heard, onGone: gone, onSignedOut: (error) => notices.problem(error) });

function retitle(text) {
  title.textContent = readable(text || "Untitled");
  document.title = `${title.textContent} · Countersign`;
}

function become(next) {
  turn = next;
  turns += 1;
  composer.setBusy(Boolean(next), next?.phase === "answering");
  composer.setState(standing());
  return next;
}

function standing() {
  if (turn?.phase !== "answering") return "";
  if (turn.stopping) return "Stopping…";
  return turn.answer.state.items.some((item) => item.state === "waits") ? "Waiting for approval" : "Answering…";
}

const onState = (how) => composer.setState(how === "lost" ? "Reconnecting…" : standing());

function gone() {
  notices.tell("This conversation was deleted. Copy what you still need, and begin a new one.", { key: "gone", action: { label: "New conversation", href: "/" } });
  turn?.abort?.abort();
  become({ phase: "gone" });
}

// The conversation is about to be deleted here: nothing more is asked of it, be it that it stays after all.
function leave() {
  turn?.abort?.abort();
  live.rest();
  become({ phase: "gone" });
}

function stay() {
  become(null);
  live.watch(session.id);
  refresh();
}

// Sends a message, with the files that `files` gives. Gives whether it was taken; where it was not, the composer keeps it.
async function say({ text, files, replaces, again = () => composer.submit() }) {
  if (turn) return false;
  const abort = new AbortController(), mine = become({ phase: "sending", abort });
  let draft = null;
  notices.clear();
  try {
    const images = await files();
    draft = messages.draft(text, images);
    layout.toEnd();
    const post = posting({
      message: text, stream: true, ...layout.wishes(),
      ...(session ? { session_id: session.id } : { companion: find("[data-companion]").value }),
      ...(replaces ? { replaces: replaces.id } : {}),
      ...(images.length ? { attachments: await attachments(images) } : {}),
    });
    const events = follow({ post, signal: abort.signal, onState }), { value: { data } } = await events.next();
    pending = null;
    if (messages.shows(data.run_id)) { // it was taken at an earlier try, and is shown since
      draft.drop();
      become(null);
      refresh();
      events.return();
    } else {
      draft.sent(data.run_id, replaces);
      if (!session) begin(data);
      read(data.run_id, abort, events);
    }
    return true;
  } catch (error) {
    draft?.drop();
    if (turn === mine) become(null);
    notices.problem(error, error.status === 0 ? { action: { label: "Send again", run: again } } : {});
    refresh();
    return false;
  }
}

// What posts a message, as often as it is asked to. It has its key until the message was taken: under that it is taken
// once, however often it is sent.
function posting(body) {
  const text = JSON.stringify(body);
  if (pending?.text !== text) pending = { text, key: randomKey() };
  const headers = { "Idempotency-Key": pending.key, Accept: "text/event-stream" };
  return (signal) => send("POST", "/v1/ai/chat", { body, headers, signal });
}

const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");

// Has a message answered once more, in the place of its answer where it was `answered`.
async function retry(message, answered) {
  const again = () => retry(message, answered);
  if (!await say({ text: message.content, files: () => sentBefore(message.parts), replaces: message, again }) || !answered) return;
  const action = { label: "Memory", run: () => layout.memories() };
  notices.tell("It is answered anew. What is remembered of the answer before stays in memory.", { kind: "", key: "retried", action });
}

function editLast() {
  if (turn || !messages.lastAsked) return false;
  composer.mend(messages.lastAsked);
  return true;
}

// A new conversation has begun, and has its address from here on.
function begin(data) {
  session = { id: data.session_id };
  history.replaceState(null, "", `/c/${session.id}`);
  composer.rename(session.id);
  messages.hooks.who = layout.began() || messages.hooks.who;
  sidebar.openId = session.id;
  live.watch(session.id);
  sidebar.refresh();
  tellTabs(null);
}

// Reads an answer to its end and shows it, and then what is stored of it: ids, and what no event tells.
async function read(runId, abort, events) {
  const answer = messages.answer(runId), mine = become({ phase: "answering", abort, runId, answer });
  try {
    for await (const frame of events) {
      answer.apply(frame);
      if (frame.event === "approval_required") announce.textContent = `${visible(frame.data.name)} waits for approval.`;
      if (["approval_required", "approval_decided", "tool_result"].includes(frame.event)) composer.setState(standing());
    }
  } catch (error) {
    notices.problem(error);
    if (turn === mine) become(null); // what became of it is seen when the network or the person is back
    return;
  }
  if (turn !== mine) return;
  const { error, status } = answer.state, complete = status === "cancelled" ? "The answer was stopped." : "The answer is complete.";
  announce.textContent = error ? "There is no answer: an error ended it." : complete;
  become(null);
  refresh();
  sidebar.refresh();
  tellTabs(session.id);
}

function attach(runId) {
  const abort = new AbortController();
  read(runId, abort, follow({ runId, signal: abort.signal, onState }));
}

// Shows what the server has of the conversation. One question goes out at a time; who asks meanwhile is answered by the
// next one.
let refreshing = null, again = false, missed = 0; // how often in a row the server could not tell
function refresh() {
  again = true;
  refreshing ??= (async () => {
    while (again) {
      again = false;
      await look();
    }
    refreshing = null;
  })();
  return refreshing;
}

async function look() {
  if (!session || turn && turn.phase !== "answering") return; // it is asked again once that is over
  const before = turns, late = () => turns !== before && (again = true);
  try {
    let now = await newest(LAST); // mostly nothing but the last turn is new
    if (late()) return;
    if (now.title !== session.title) sidebar.refresh();
    session.title = now.title;
    retitle(now.title);
    missed = 0;
    if (turn) return;
    if (!messages.reaches(now)) now = await newest(SHOWN);
    if (late()) return;
    const approvals = await approvalsOf(messages.lacking(now));
    if (late()) return;
    session = now;
    messages.show(now, approvals);
    if (now.active_run_id) attach(now.active_run_id);
  } catch (error) {
    if (turn?.phase === "gone") return;
    if (error.status === 404) gone();
    else if (passes(error)) setTimeout(refresh, Math.max(pauseAfter(missed++), (error.retryAfter ?? 0) * 1000));
    else notices.problem(error);
  }
}

const pauseAfter = (times) => Math.min(FIRST_PAUSE_MS * 2 ** times, LONGEST_PAUSE_MS);
const newest = (limit, cursor = "") => get(`/v1/ai/sessions/${session.id}?newest=true&limit=${limit}${cursor && `&cursor=${cursor}`}`);

// What was asked for in these answers, to stand where it was asked.
async function approvalsOf(answers) {
  const found = [];
  if (!answers.some((one) => one.parts.some((part) => part.type === "tool_call"))) return found;
  for (;;) {
    const query = new URLSearchParams({ session_id: session.id, status: "all", limit: APPROVALS, offset: found.length });
    const { approvals, total } = await get(`/v1/ai/approvals?${query}`);
    found.push(...approvals);
    if (!approvals.length || found.length >= total) return found;
  }
}

let turning = null;
function older() {
  turning ??= (async () => {
    const { cursor } = messages;
    try {
      const page = await newest(SHOWN, cursor), approvals = await approvalsOf(page.messages);
      if (messages.cursor === cursor) messages.prepend(page, approvals);
    } catch (error) {
      notices.problem(error);
    }
    turning = null;
  })();
  return turning;
}

async function stop() {
  if (turn?.phase !== "answering" || turn.stopping) return;
  const mine = turn;
  mine.stopping = true;
  composer.setState(standing());
  try {
    await call("POST", `/v1/ai/runs/${mine.runId}/cancel`);
  } catch (error) {
    mine.stopping = false;
    composer.setState(standing());
    notices.problem(error);
  }
}

// The socket's word: something changed, in a run or in general.
function heard(runId) {
  if (runId && runId === turn?.runId) turn.abort.signal.dispatchEvent(new Event("news"));
  else refresh();
}

document.addEventListener("keydown", (event) => {
  const meant = event.target === document.body || event.target.closest?.(".talk");
  if (event.key === "Escape" && meant && !composing(event) && !event.defaultPrevented && !find("dialog[open]")) stop();
});
// What began on another device is in the list when somebody comes back, or a minute later.
const lookAround = () => { if (!document.hidden) sidebar.refresh(); };
setInterval(lookAround, LIST_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { refresh(); lookAround(); } });
hearTabs((changed) => {
  sidebar.refresh();
  if (changed && changed === session?.id) refresh();
});
for (const type of ["dragover", "drop"]) {
  document.addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (type === "drop") composer.pictures.add(event.dataTransfer.files);
  });
}
find("[data-mend-memory]").addEventListener("click", () => layout.memories());
said.addEventListener("click", (event) => {
  const { choose, try: text } = event.target.closest?.("[data-choose], [data-try]")?.dataset ?? {};
  if (choose) layout.choose(choose);
  if (text) composer.write(text);
  if (choose || text) composer.box.focus();
});

if (session) {
  // What the server rendered is painted first. A page that is hidden paints nothing, and does not wait for it.
  await new Promise((painted) => {
    requestAnimationFrame(() => setTimeout(painted));
    setTimeout(painted, 200);
  });
  messages.show(session, state.approvals);
  live.watch(session.id);
  if (session.active_run_id) attach(session.active_run_id);
  layout.toMessage(messages, older);
}
if (matchMedia("(hover: hover)").matches && !location.hash) composer.box.focus();
document.documentElement.dataset.ready = "";
