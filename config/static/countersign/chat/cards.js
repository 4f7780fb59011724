// A tool call as a card: what is asked for, exactly; how it stands; and where a person must approve it, who and until when.

import { get } from "./api.js";
import { make, span, visible } from "./dom.js";
import { settled } from "./transcript.js";

const STATES = {
  asked: "is asked for", waits: "waits for approval", decided: "is about to run", done: "done", failed: "ended without success",
  "not run": "was not run",
};
const DECIDED = {
  approve: "Approved", approved: "Approved", reject: "Rejected", rejected: "Rejected", respond: "Answered", expired: "Expired",
  cancelled: "Cancelled", responded: "Answered", superseded: "Superseded",
};
// How a call stands that a decision keeps from running.
const KEPT = {
  reject: "was rejected, did not run", rejected: "was rejected, did not run", expired: "expired, did not run",
  cancelled: "was cancelled, did not run", respond: "was answered by a person, did not run",
};
const LOOK_AGAIN_MS = 10_000; // votes of a quorum are no events of the run

// What its summary begins with where it is not plain failure: a call that may have had its effect is not called failed.
const honest = (summary = "") =>
  summary.startsWith("unknown") ? "nobody knows whether it was done" : summary.startsWith("not sent") ? "was not done"
    : summary.startsWith("refused") ? "was refused, did not run" : "";

// Open requests count down together, once a second, as long as they stand on the page.
const open = new Set();
setInterval(() => {
  for (const one of open) {
    if (one.root.isConnected) one.tick();
    else open.delete(one);
  }
}, 1000);

export function callCard(item) {
  const state = make("span", { class: "state" }), summary = make("p", { class: "result", hidden: true });
  const exact = make("pre", { tabindex: "0", role: "region", "aria-label": `Arguments of ${visible(item.name)}` });
  const asked = make("div", { class: "asked", hidden: true });
  const head = make("summary", {}, make("code", {}, visible(item.name)), " ", state);
  const node = make("details", { class: "call" }, head, exact);
  const card = make("div", { class: "call-card" }, node, asked, summary);
  const ran = make("p", { class: "soft" }), proposed = make("pre", { tabindex: "0", role: "region", "aria-label": "What the agent asked for" });
  let request = null, edited = null, standing = "";
  const show = (now) => {
    fill(exact, edited?.arguments ?? now.arguments);
    if (!edited) return;
    fill(proposed, now.arguments);
    const done = standing === "done" && !KEPT[now.approval?.status];
    ran.textContent = `${done ? "What ran, changed" : "Changed"} by ${editor(edited)}:`;
    if (ran.parentNode) return;
    exact.before(ran);
    node.append(make("p", { class: "soft" }, "What the agent asked for:"), proposed);
    node.open = true; // what is not as it was asked for is seen whole
  };
  return {
    node: card,
    update(now, over) {
      const unsettled = over && (now.state === "asked" || now.state === "decided");
      const kept = KEPT[now.approval?.status] ?? "";
      standing = unsettled ? "not run" : now.state;
      state.textContent = kept || (standing === "failed" && honest(now.summary)) || (STATES[standing] ?? standing);
      card.dataset.state = standing;
      edited = now.approval?.edited ?? edited;
      show(now);
      summary.hidden = !now.summary || (Boolean(kept) && standing !== "done"); // then the decision says it already
      if (now.summary) summary.textContent = visible(now.summary);
      if (!now.approval) return;
      request ??= new Request(asked, node, (changes) => { edited = changes; show(now); });
      request.update(now.approval);
    },
  };
}

const editor = ({ by }) => visible(by || "an approver");

function fill(pre, value) {
  const text = visible(JSON.stringify(value ?? {}, null, 2));
  if (pre.textContent !== text) pre.textContent = text;
}

// A decision in words: what was done, and by whom.
function verdict({ status, by, edited }) {
  const done = DECIDED[status] ?? visible(status), who = by.length ? ` by ${AND.format(by.map(visible))}` : "";
  if (!edited || done !== "Approved") return [done, who];
  return [by.length === 1 && by[0] === edited.by ? "Changed and approved" : `Changed by ${editor(edited)} and approved`, who];
}
const AND = new Intl.ListFormat("en", { type: "conjunction" });

// What is asked of others: the risk, who may decide, what is left of the time, and how it was decided.
class Request {
  // `onEdited` is told {by, arguments} where somebody has changed what others are yet to decide on.
  constructor(root, call, onEdited) {
    this.root = root;
    this.call = call;
    this.onEdited = onEdited;
    this.detail = null;
    this.left = make("span", { class: "left" });
    this.key = "";
  }

  update(approval) {
    this.approval = approval;
    const key = JSON.stringify(approval);
    if (key === this.key) return;
    this.key = key;
    this.root.hidden = false;
    if (approval.status === "pending") {
      this.call.open = true; // what waits for somebody is seen whole
      open.add(this);
      this.draw();
      this.look();
    } else {
      open.delete(this);
      const why = approval.reason || (approval.status === "expired" ? "nobody decided in time" : "");
      const [done, who] = verdict(approval);
      this.root.replaceChildren(make("p", {}, make("b", {}, done), who, why ? `: ${visible(why)}` : ""));
    }
  }

  async look() {
    clearTimeout(this.timer);
    try {
      this.detail = await get(`/v1/ai/approvals/${this.approval.id}`);
    } catch {
      this.detail ??= null; // what the stream told stands
    }
    if (this.approval.status !== "pending" || !this.root.isConnected) return;
    if (this.detail && this.detail.status !== "pending") { // before its event came, or in the place of one that was lost
      this.update({ ...this.approval, ...settled(this.detail) });
      return;
    }
    if (this.detail?.edited) this.onEdited(settled(this.detail).edited);
    this.draw();
    this.timer = setTimeout(() => this.look(), LOOK_AGAIN_MS);
  }

  draw() {
    const { detail, approval } = this, lines = [];
    const risk = detail?.risk ?? approval.risk;
    const link = { href: `/approvals/${encodeURIComponent(approval.id)}/`, target: "_blank", rel: "noopener" };
    lines.push(make("p", {}, make("b", {}, "Waits for approval"), " ", make("span", { class: `tag risk-${risk}` }, risk), " ", this.left));
    if (detail?.summary) lines.push(make("p", {}, visible(detail.summary)));
    if (detail) lines.push(make("p", { class: "soft" }, who(detail)));
    if (detail?.may_decide) lines.push(make("p", {}, make("a", { class: "button primary", ...link }, "Look at it and decide")));
    this.root.replaceChildren(...lines);
    this.tick();
  }

  tick() {
    const seconds = (new Date(this.detail?.expires_at ?? this.approval.expiresAt) - Date.now()) / 1000;
    this.left.textContent = seconds > 0 ? `${span(seconds)} left` : "its time is over";
  }
}

function who({ approvers = [], quorum, decisions = [], why_not: whyNot }) {
  const names = approvers.slice(0, 3).map((one) => visible(one.name)).join(", ");
  const more = approvers.length > 3 ? ` and ${approvers.length - 3} more` : "";
  const able = names ? `May decide: ${names}${more}.` : "Nobody here may decide it: an admin adds a manager.";
  const agreed = decisions.filter((one) => !one.void && one.decision !== "reject").length;
  const votes = quorum?.approve > 1 ? ` ${agreed} of ${quorum.approve} have approved.` : "";
  const own = whyNot === "requester" ? " You asked for it, so somebody else decides." : "";
  return able + votes + own;
}
