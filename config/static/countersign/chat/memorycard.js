// One memory: what it says, why it is known, and edit, accept, forget.

import { call, get } from "./api.js";
import { ask, field } from "./dialogs.js";
import { day, madeAt, make, minute, readable, visible } from "./dom.js";

const AUTHORS = {
  person: "You wrote it.", companion: "A companion said it.", manager: "A manager wrote it.",
  extractor: "It was drawn from what you said.", import: "It was imported.",
};
const LONGEST = 4000, LONG = 300;
const titles = new Map(); // of conversations, by id: asked for once

export function memoryCard(memory, { names, layers, onSaid, onProblem, onChanged }) {
  const companion = names.get(memory.companion_type ?? "") ?? memory.companion_type, who = memory.source === "companion" ? companion : "You";
  const told = memory.type === "message" ? `${who}, ${day(memory.said_at)}` : day(memory.said_at);
  const tags = [told, layers[memory.layer] ?? memory.layer, memory.companion_type ? names.get(memory.companion_type) ?? memory.companion_type : "All companions"];
  if (memory.confidence < 1) tags.push(`${Math.round(memory.confidence * 100)} % sure`);
  if (memory.pinned) tags.push("Pinned");
  if (!["active", "pending"].includes(memory.status)) tags.push("Does not count any more");
  if (memory.expires_at) tags.push(`Until ${day(memory.expires_at)}`);
  const why = make("details", { class: "why" }, make("summary", {}, "Why is this known?"));
  let explained = false;
  why.addEventListener("toggle", async () => {
    if (!why.open || explained) return;
    explained = true;
    try {
      await explain(why, memory, who);
    } catch (error) {
      explained = false; // opened again, it is asked for again
      onProblem(error);
    }
  });
  const act = (label, work, kind = "plain") => make("button", { type: "button", class: kind, on: { click: async () => {
    try {
      await work();
    } catch (error) {
      onProblem(error);
    }
  } } }, label);
  const changes = memory.type === "message" ? [] // what was said stays what was said
    : [act("Edit", () => edit(memory)), act(memory.pinned ? "Unpin" : "Pin", () => pin(memory))];
  const buttons = memory.status === "pending"
    ? [act("Yes, keep it", () => accept(memory), "primary"), act("No, forget it", () => refuse(memory))]
    : [...changes, act("Forget…", () => forget(memory), "danger")];
  return make("li", { class: "entry", data: { memory: memory.id } },
    ...content(readable(memory.content)),
    make("p", { class: "tags" }, ...tags.map((text) => make("span", { class: "tag" }, visible(text)))),
    why, make("div", { class: "row" }, ...buttons));

  async function accept(one) {
    await call("POST", `/v1/ai/memory/${one.id}/accept`);
    onSaid("It counts from now on.");
    onChanged();
  }

  // What a model drew is asked about where words of the person's go with it.
  async function refuse(one) {
    const taken = await get(`/v1/ai/memory/${one.id}/forgetting`);
    if (taken.messages && !(await agrees(one, taken))) return;
    await gone(one);
  }

  async function pin(one) {
    await call("PATCH", `/v1/ai/memory/${one.id}`, { pinned: !one.pinned });
    onSaid(one.pinned ? "It is not pinned any more." : "It is pinned: always told, and replaced by no machine.");
    onChanged();
  }

  async function edit(one) {
    const box = make("textarea", { rows: 4, maxlength: LONGEST, required: true });
    box.value = one.content;
    const values = await ask({ title: "Correct what is remembered", fields: [field("content", "It should say", box)], yes: "Save" });
    const content = values?.get("content").trim();
    if (!content || content === one.content) return;
    await call("PATCH", `/v1/ai/memory/${one.id}`, { content });
    onSaid("It is corrected.");
    onChanged();
  }

  async function forget(one) {
    const taken = await get(`/v1/ai/memory/${one.id}/forgetting`);
    if (await agrees(one, taken)) await gone(one);
  }

  async function gone(one) {
    await call("DELETE", `/v1/ai/memory/${one.id}`);
    onSaid("It is forgotten.");
    onChanged();
  }
}

// Asks whether all that the server found may go, and shows of each message which words.
function agrees(one, { memories, messages, cuts }) {
  const others = memories - 1, more = messages - cuts.length;
  const also = others ? ` With it ${others === 1 ? "goes one memory" : `go ${others} memories`} that it replaced, that say the same or that come from it alone.` : "";
  const lines = cuts.map((cut) => make("li", {},
    make("p", { class: "soft" }, `${cut.by_person ? "You" : "An answer"}, ${day(madeAt(cut.message_id))}`),
    ...cut.sentences.map((text) => make("p", { class: "content" }, readable(text)))));
  const shown = !messages ? [make("p", {}, "No message in your conversations tells of it.")] : [
    make("p", { id: "taken-heading" }, "From your conversations go these words, and titles that are made of them:"),
    make("ul", { class: "taken", tabindex: "0", "aria-labelledby": "taken-heading" }, ...lines),
    more > 0 ? make("p", { class: "soft" }, `And words of ${more} more ${more === 1 ? "message" : "messages"}.`) : null,
  ];
  return ask({
    title: "Forget this for good?", danger: true, yes: "Forget it",
    text: `“${readable(one.content.slice(0, 200))}” goes with its earlier versions.${also} Nothing brings it back.`,
    fields: shown.filter(Boolean),
  });
}

function content(text) {
  const whole = make("p", { class: "content" }, text);
  if (text.length <= LONG) return [whole];
  whole.classList.add("cut");
  const more = make("button", { type: "button", class: "plain" }, "Show all of it");
  more.addEventListener("click", () => { whole.classList.remove("cut"); more.remove(); });
  return [whole, more];
}

// Who wrote it and when, the messages that it comes from, and what it was before.
async function explain(root, memory, who) {
  const lines = [make("p", {}, `${memory.type === "message" ? `${who} said it.` : AUTHORS[memory.source] ?? ""} Last changed ${minute(memory.updated_at)}.`)];
  for (const source of memory.sources) lines.push(await sourceLine(source, who === "You" ? "your message" : `a message of ${who}`));
  if (!memory.sources.length) lines.push(make("p", { class: "soft" }, "It comes from no message."));
  if (memory.last_recalled_at) lines.push(make("p", { class: "soft" }, `Last told to a model ${minute(memory.last_recalled_at)}.`));
  root.append(...lines);
  try {
    const { revisions, superseded } = await get(`/v1/ai/memory/${memory.id}/versions`);
    const before = [...revisions, ...superseded.map((one) => ({ ...one, changed_at: one.valid_to }))];
    if (before.length) {
      root.append(make("p", {}, "Before:"), make("ul", {}, ...before.map((one) => make("li", {}, readable(one.content), " ",
        make("span", { class: "soft" }, one.changed_at ? `until ${minute(one.changed_at)}` : "")))));
    }
  } catch { /* what is shown already is true without it */ }
}

async function sourceLine({ session_id: sessionId, message_id: messageId, start, end }, whose) {
  const when = day(madeAt(messageId));
  if (!sessionId) return make("p", {}, `From a message of ${when}, whose conversation is gone.`);
  if (!titles.has(sessionId)) {
    const asked = get(`/v1/ai/sessions/${sessionId}?limit=1`).then((one) => one.title || "Untitled");
    titles.set(sessionId, await asked.catch((error) => {
      if (error.status === 404) return null;
      throw error;
    }));
  }
  const title = titles.get(sessionId);
  if (title === null) return make("p", {}, `From a message of ${when}, whose conversation is gone.`);
  const link = make("a", { href: `/c/${sessionId}#m-${messageId}` }, `${when} in “${readable(title)}”`);
  return make("p", {}, `From ${whose} of `, link, start === end ? ", whose words for it were forgotten with something else." : "");
}
