// A tool call as a card: what is asked for, exactly; how it stands; and where a person must approve it, who and until when.

import { get } from "./api.js";
import { make, span, visible } from "./dom.js";

const STATES = {
  asked: "is asked for", waits: "waits for approval", decided: "is about to run", done: "done", failed: "ended without success",
  "not run": "was not run",
};
const DECIDED = {
  approve: "Approved", approved: "Approved", reject: "Rejected", rejected: "Rejected", respond: "Answered", expired: "Expired",
  cancelled: "Withdrawn", responded: "Answered",
};
const LOOK_AGAIN_MS = 10_000; // votes of a quorum are no events of the run

// What its summary begins with where it is not plain failure: a call that may have had its effect is not called failed.
const honest = (summary = "") =>
  summary.startsWith("unknown") ? "nobody knows whether it was done" : summary.startsWith("not sent") ? "was not done" : "";

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
  let request = null;
  return {
    node: card,
    update(now, over) {
      const unsettled = over && (now.state === "asked" || now.state === "decided");
      const standing = unsettled ? "not run" : now.state;
      state.textContent = (standing === "failed" && honest(now.summary)) || (STATES[standing] ?? standing);
      card.dataset.state = standing;
      const text = visible(JSON.stringify(now.arguments ?? {}, null, 2));
      if (exact.textContent !== text) exact.textContent = text;
      summary.hidden = !now.summary;
      if (now.summary) summary.textContent = visible(now.summary);
      if (!now.approval) return;
      request ??= new Request(asked, node);
      request.update(now.approval);
    },
  };
}

// What is asked of others: the risk, who may decide, what is left of the time, and how it was decided.
class Request {
  constructor(root, call) {
    this.root = root;
    this.call = call;
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
      const by = approval.by ? ` by ${visible(approval.by)}` : "";
      const reason = approval.reason ? `: ${visible(approval.reason)}` : "";
      this.root.replaceChildren(make("p", {}, make("b", {}, DECIDED[approval.status] ?? visible(approval.status)), by, reason));
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
      const { status, decision, decided_by: by, reason } = this.detail;
      this.update({ ...this.approval, status: decision || status, by: by?.name ?? "", reason });
      return;
    }
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
