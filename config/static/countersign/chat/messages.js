// What a person said, and the list of turns: from the server's state, the newest at the end, older ones on demand. A turn
// that was said or followed here has no id until the server has told it; its run says which one it is.

import { Answer } from "./answer.js";
import { make, moment, place, readable, visible } from "./dom.js";
import { begun, differs, stored } from "./transcript.js";

const imagesOf = (parts) => make("div", { class: "images" }, ...parts.map((part) =>
  make("a", { href: part.url, target: "_blank", rel: "noopener" },
    make("img", { src: part.url, alt: "Image that was sent", loading: "lazy", width: Math.min(part.width ?? 240, 240) }))));

export class Messages {
  // `hooks`: {who, onMemories, onEdit(message), onRetry(message, answered), onOlder}
  constructor(root, hooks) {
    // `list`: {id, runId, node, message | answer}, oldest first
    Object.assign(this, { root, hooks, list: [], byId: new Map(), cursor: null, sending: null, unanswered: null, marked: {} });
    this.older = make("button", { type: "button", class: "plain older", on: { click: () => hooks.onOlder() } }, "Show what was said before");
  }

  // The message that was said last, as the server has it; null where it has not told yet.
  get lastAsked() {
    return this.list.findLast((one) => !one.answer)?.message ?? null;
  }

  // Whether this run's message stands here.
  shows(runId) {
    return this.list.some((one) => one.runId === runId);
  }

  // Whether a page of the newest goes on from what is shown, so that nothing that is new can lie before it: its first was
  // told by the server before, and all until there has its id and its answer.
  reaches({ messages, next_cursor: more }) {
    const at = this.list.findIndex((one) => one.id === messages[0]?.id), before = this.list.slice(0, Math.max(at, 0));
    return !more || (at >= 0 && before.every((one) => one.id) && (at === 0 || Boolean(before.at(-1).answer)));
  }

  // Those of a page that are yet to be drawn.
  lacking(session) {
    this.#bind(session);
    const known = new Map(this.list.map((one) => [one.id, one]));
    return session.messages.filter(({ id }) => !known.has(id) || (known.get(id).answer && differs(known.get(id).answer.state)));
  }

  // The newest of a session as the server tells it. What stands here already stays, and so do older pages before it.
  show(session, approvals) {
    this.#bind(session);
    const at = this.list.findIndex((one) => one.id === session.messages[0]?.id);
    if (at <= 0) this.cursor = session.next_cursor;
    this.list = [...this.list.slice(0, Math.max(at, 0)), ...this.#entries(session, approvals)];
    this.#mark(session);
    this.#draw();
  }

  // Those before the first one that is shown.
  prepend(session, approvals) {
    this.list = [...this.#entries(session, approvals), ...this.list];
    this.cursor = session.next_cursor;
    this.#draw();
  }

  // What is about to be sent stands there at once: `sent` once it is taken by a run, in the place of another message or at
  // the end; `drop` where it is not.
  draft(text, files) {
    const urls = files.map((file) => URL.createObjectURL(file));
    const entry = { id: null, runId: null, urls, message: null, node: this.#mine({ content: text, parts: urls.map((url) => ({ type: "image", url })) }) };
    entry.node.classList.add("sending");
    this.root.append(entry.node);
    this.sending = entry.node;
    return {
      drop: () => {
        this.sending = null;
        entry.node.remove();
        this.#release(entry);
      },
      sent: (runId, replaced) => {
        this.sending = null;
        entry.node.classList.remove("sending");
        entry.runId = runId;
        const at = replaced ? this.list.findIndex((one) => one.id === replaced.id) : -1;
        this.list = [...this.list.slice(0, at < 0 ? this.list.length : at), entry];
        this.#unmark();
        this.#draw();
      },
    };
  }

  // The answer of a run, which begins: after what it answers. A run has one answer, so one that was begun before goes.
  answer(runId) {
    const made = new Answer(begun(), this.hooks);
    this.list = this.list.filter((one) => !one.answer || one.id || one.runId !== runId);
    const at = this.list.findLastIndex((one) => one.runId === runId);
    this.list.splice(at < 0 ? this.list.length : at + 1, 0, { id: null, runId, node: made.node, answer: made });
    this.#unmark();
    this.#draw();
    return made;
  }

  // What came here since the server was asked has its id there by now.
  #bind({ messages, turns }) {
    for (const one of this.list.filter(({ id }) => !id)) {
      const turn = turns.find(({ run_id: runId }) => runId === one.runId);
      const message = turn && messages.find(({ id }) => id === (one.answer ? turn.answer : turn.asked));
      if (!message) continue;
      one.id = message.id;
      one.node.id = `m-${message.id}`;
      if (one.answer) {
        one.answer.stamp(message.created_at);
        continue;
      }
      one.message = message;
      one.node.querySelector("time").replaceWith(moment(message.created_at));
      if (one.urls.length) one.node.querySelector(".images").replaceWith(imagesOf(message.parts.filter((part) => part.type === "image")));
      this.#release(one);
    }
  }

  #release(entry) {
    for (const url of entry.urls.splice(0)) URL.revokeObjectURL(url);
  }

  #entries(session, approvals) {
    const known = new Map(this.list.map((one) => [one.id, one]));
    return session.messages.map((message) => {
      const turn = session.turns.find((one) => one.answer === message.id || one.asked === message.id);
      const one = known.get(message.id);
      if (one?.answer && differs(one.answer.state)) one.answer.replace(message, turn, approvals);
      if (one?.answer || one?.message?.content === message.content) return one;
      const made = { id: message.id, runId: turn?.run_id };
      if (message.role === "user") return { ...made, urls: [], message, node: this.#mine(message) };
      const answer = new Answer(stored(message, turn, approvals), this.hooks);
      answer.drawAll();
      return { ...made, answer, node: answer.node };
    });
  }

  #mine(message) {
    const images = (message.parts ?? []).filter((part) => part.type === "image");
    return make("article", { class: "turn mine", id: message.id ? `m-${message.id}` : null },
      make("h2", { class: "unseen" }, "You"), images.length ? imagesOf(images) : null,
      make("div", { class: "body plain" }, readable(message.content)),
      make("footer", { class: "foot soft" }, moment(message.created_at ?? Date.now())));
  }

  #draw() {
    this.byId = new Map(this.list.map((one) => [one.id, one.node]));
    place(this.root, [this.cursor ? this.older : null, ...this.list.map((one) => one.node), this.unanswered, this.sending].filter(Boolean));
  }

  // Only what was said last can be said otherwise, or answered again; and not while it is being answered.
  #mark(session) {
    const last = this.list.at(-1), asked = session.active_run_id ? undefined : this.list.findLast((one) => !one.answer);
    if (asked === this.marked.asked && last === this.marked.last) return;
    this.#unmark();
    this.marked = { asked, last };
    if (!asked) return;
    const { message, node } = asked, retry = () => this.hooks.onRetry(message, Boolean(last.answer));
    node.querySelector(".foot").append(
      make("button", { type: "button", class: "plain", data: { edit: "" }, on: { click: () => this.hooks.onEdit(message) } }, "Edit"));
    if (last.answer) {
      last.answer.setAgain(retry);
      return;
    }
    const error = session.turns.findLast((one) => one.asked === message.id)?.error;
    const why = error ? visible(error.message) : "This got no answer.";
    this.unanswered = make("p", { class: "notice error", data: { unanswered: "" } }, make("span", {}, why), " ",
      make("button", { type: "button", on: { click: retry } }, "Try again"));
  }

  #unmark() {
    this.marked = {};
    this.unanswered = null;
    this.root.querySelector("[data-edit]")?.remove();
    for (const { answer } of this.list) if (answer?.again) answer.setAgain(null);
  }
}
