// One answer as its events make it: a pure state, which knows nothing of the page.
//
// `items` are what it said and did, in order: {kind: "text" | "reasoning", text, speaker, place} and {kind: "call", id, name,
// arguments, state, summary, approval}. `step` takes an event and says whether all of it is to be drawn anew.

export const begun = () => ({
  items: [], calls: new Map(), approvals: new Map(),
  label: "", memories: [], usage: null, error: null, status: "", messageId: null, response: null, restarted: false, at: null,
});

const CALL = { state: "asked", summary: "", approval: null };

export function step(answer, { event, data }) {
  switch (event) { // what it does not name is newer than this page
    case "delta":
      more(answer, "text", data);
      break;
    case "reasoning":
      more(answer, "reasoning", data);
      break;
    case "restart":
      restart(answer);
      return true;
    case "tool_call":
      changed(answer, data.call_id, { name: data.name, arguments: data.arguments });
      break;
    case "approval_required": {
      answer.approvals.set(data.approval_id, data.call_id);
      const edited = answer.calls.get(data.call_id)?.approval?.edited; // before the rules had it asked for anew
      const approval = { id: data.approval_id, risk: data.risk, expiresAt: data.expires_at, status: "pending", edited };
      changed(answer, data.call_id, { name: data.name, state: "waits", approval });
      break;
    }
    case "approval_decided":
      decided(answer, data);
      break;
    case "tool_result":
      changed(answer, data.call_id, { name: data.name, state: data.ok ? "done" : "failed", summary: data.summary });
      break;
    case "status":
      answer.label = data.label;
      if (data.memories) answer.memories = data.memories;
      break;
    case "member":
      if (data.error) answer.label = `${data.agent_name} gave no answer: ${data.error}`;
      break;
    case "usage":
      answer.usage = data;
      break;
    case "done":
      Object.assign(answer, { status: data.status, messageId: data.message_id, response: data.response, label: "" });
      break;
    case "error":
      Object.assign(answer, { status: "failed", error: data, label: "" });
      break;
  }
  return false;
}

// The text of the whole answer, which is what is stored as its content.
export const said = (answer) =>
  answer.items.filter((item) => item.kind === "text").map((item) => item.text).join("");

// Whether what is shown may stand in another order than what is stored, or lacks some of it: then it is read again.
export const differs = (answer) => answer.restarted || (answer.response !== null && answer.response !== said(answer));

function more(answer, kind, data) {
  const last = answer.items.at(-1), speaker = data.agent_name ?? "", place = data.place ?? "";
  // Members of a team speak at the same time: what one says stays together.
  const item = place ? answer.items.findLast((one) => one.kind === kind && one.place === place)
    : last?.kind === kind && !last.place ? last : undefined;
  if (item) item.text += data.text;
  else answer.items.push({ kind, text: data.text, speaker, place });
}

// The worker died, or what it said cannot be told piece by piece any more: the text comes anew, what was done stays.
function restart(answer) {
  answer.items = answer.items.filter((item) => item.kind === "call");
  answer.restarted = true;
}

function changed(answer, id, changes) {
  let item = answer.calls.get(id);
  if (!item) {
    item = { kind: "call", id, ...CALL };
    answer.calls.set(id, item);
    answer.items.push(item);
  }
  Object.assign(item, changes);
}

function decided(answer, data) {
  const item = answer.calls.get(answer.approvals.get(data.approval_id));
  if (!item) return;
  const by = data.deciders?.length ? data.deciders : [data.by].filter(Boolean);
  const { edited = item.approval.edited, decision: status, reason } = data;
  item.approval = { ...item.approval, status, by, reason, edited };
  item.state = "decided";
}

// How a request was decided, of one as the API lists it: `by` are the names of all whose votes it took, `edited` is
// {by, arguments} where one of them changed what runs.
export function settled({ status, decision, deciders, reason, edited }) {
  const changes = edited ? { edited: { by: edited.by?.name ?? "", arguments: edited.arguments } } : {};
  return { status: decision || status, by: deciders.map(({ name }) => name), reason, ...changes };
}

// A stored answer in the same form: its parts, and the approvals that were asked for in its run.
export function stored(message, turn, approvals) {
  const answer = begun();
  for (const part of message.parts) {
    if (part.type === "text" || part.type === "reasoning") {
      more(answer, part.type, part);
    } else if (part.type === "tool_call") {
      changed(answer, part.call_id, { name: part.name, arguments: part.arguments, state: "not run" });
    } else if (part.type === "tool_result") {
      changed(answer, part.call_id, { name: part.name, state: part.ok ? "done" : "failed", summary: part.summary });
    }
  }
  for (const one of approvals.toReversed()) { // the newest come first, and what was asked last is how it stands
    const item = answer.calls.get(one.call_id);
    if (!item || one.run_id !== turn?.run_id) continue;
    item.approval = { edited: item.approval?.edited, id: one.id, risk: one.risk, expiresAt: one.expires_at, ...settled(one) };
  }
  answer.memories = turn?.memories ?? [];
  answer.status = message.metadata?.incomplete ?? "completed";
  answer.messageId = message.id;
  answer.at = message.created_at;
  answer.error = turn?.error ?? null;
  answer.usage = message.usage;
  return answer;
}
