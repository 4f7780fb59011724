// An answer on the page: its state from transcript.js, drawn at most once a frame and for a few milliseconds of it, so
// that typing stays smooth however fast answers come.

import { callCard } from "./cards.js";
import { copyButton, make, moment, visible } from "./dom.js";
import { Growing } from "./markdown.js";
import { said, step, stored } from "./transcript.js";

const BUDGET_MS = 8;

// All that is to be drawn takes turns within one frame's budget. A hidden page has no frames: nothing is drawn there.
const waiting = new Set();
let planned = false;
function plan(one) {
  waiting.add(one);
  if (!planned) {
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      const deadline = performance.now() + BUDGET_MS;
      for (const next of [...waiting]) {
        waiting.delete(next);
        if (next.draw(deadline)) plan(next);
        if (performance.now() > deadline) break;
      }
      if (waiting.size) plan(waiting.values().next().value);
    });
  }
}

export class Answer {
  // `state` is of transcript.js; `who` names whoever answers; `onMemories` shows what the model was told.
  constructor(state, { who, onMemories, again = null }) {
    this.state = state;
    this.onMemories = onMemories;
    this.parts = make("div", { class: "body" });
    this.foot = make("footer", { class: "foot soft" });
    this.label = make("p", { class: "label soft", hidden: true });
    this.againButton = make("button", { type: "button", class: "plain", data: { again: "" }, on: { click: () => this.again() } }, "Answer again");
    this.setAgain(again);
    this.node = make("article", { class: "turn" }, make("h2", { class: "unseen" }, visible(who)), this.parts, this.label, this.foot);
    this.shown = []; // by item: {item, node, growing, length}
    this.drawn = false;
    if (state.messageId) this.node.id = `m-${state.messageId}`;
  }

  apply(frame) {
    if (step(this.state, frame)) this.#clear();
    if (frame.event === "done" && this.state.messageId) this.node.id = `m-${this.state.messageId}`;
    plan(this);
  }

  // What is stored, in place of what was told: where the order of a stream is not that of the answer.
  replace(message, turn, approvals) {
    const { memories, usage } = this.state;
    this.state = stored(message, turn, approvals);
    if (!this.state.memories.length) this.state.memories = memories;
    this.state.usage ??= usage;
    this.#clear();
    this.drawn = false;
    this.node.id = `m-${message.id}`;
    this.drawAll();
  }

  #clear() {
    this.shown = [];
    this.parts.replaceChildren();
  }

  drawAll() {
    while (this.draw(Infinity));
  }

  draw(deadline) {
    const over = this.state.status !== "" && !this.state.status.startsWith("awaiting");
    let left = false;
    for (const [place, item] of this.state.items.entries()) {
      const shown = this.#at(place, item);
      if (shown.card) {
        shown.card.update(item, over);
      } else if (!shown.ended) {
        if (item.text.length > shown.length) shown.growing.append(item.text.slice(shown.length));
        shown.length = item.text.length;
        const next = place + 1 < this.state.items.length && !item.place;
        if (!shown.growing.draw(deadline)) {
          if (over || next) { shown.growing.end(); shown.ended = true; }
        } else if (deadline === Infinity) {
          shown.growing.end();
          shown.ended = over || next;
        } else {
          left = true;
        }
      }
      if (performance.now() > deadline && place + 1 < this.state.items.length) return true;
    }
    this.#drawLabel();
    if (over && !left && !this.drawn) this.#drawFoot();
    return left;
  }

  #at(place, item) {
    const known = this.shown[place];
    if (known) return known;
    const made = { length: 0, ended: false };
    if (item.kind === "call") {
      made.card = callCard(item);
      this.parts.append(made.card.node);
    } else {
      const text = make("div");
      made.growing = new Growing(text);
      const name = item.speaker ? make("p", { class: "speaker soft" }, visible(item.speaker)) : null;
      if (item.kind === "reasoning") {
        this.parts.append(make("details", { class: "thought" }, make("summary", {}, "Reasoning"), name, text));
      } else {
        this.parts.append(...[name, text].filter(Boolean));
      }
    }
    this.shown[place] = made;
    return made;
  }

  #drawLabel() {
    const label = visible(this.state.label);
    if (this.label.textContent !== label) this.label.textContent = label;
    this.label.hidden = !label;
  }

  #drawFoot() {
    this.drawn = true;
    const { memories, usage, status, error } = this.state, parts = [];
    if (status === "cancelled") parts.push(make("span", {}, "Stopped; what was said is kept."));
    if (status === "failed") {
      const why = error ? `${visible(error.message)} ` : "The answer broke off. ";
      parts.push(make("span", { class: "bad", role: "alert" }, why));
    }
    if (memories.length) {
      const count = memories.length === 1 ? "Used 1 memory" : `Used ${memories.length} memories`;
      parts.push(make("button", { type: "button", class: "plain", on: { click: () => this.onMemories(memories) } }, count));
    }
    if (this.state.items.some((item) => item.kind === "text")) parts.push(copyButton(() => said(this.state)));
    parts.push(this.againButton);
    if (usage?.output_tokens) {
      const cost = usage.cost_usd ? `, $${usage.cost_usd.toFixed(4)}` : "";
      parts.push(make("span", {}, `${usage.input_tokens + usage.output_tokens} tokens${cost}`));
    }
    if (this.state.at) parts.push(moment(this.state.at));
    this.foot.replaceChildren(...parts);
  }

  // When it was stored, which no event tells.
  stamp(at) {
    this.state.at = at;
    if (this.drawn) this.foot.append(moment(at));
  }

  // Only what was said last is answered again.
  setAgain(again) {
    this.again = again;
    this.againButton.hidden = !again;
  }
}
