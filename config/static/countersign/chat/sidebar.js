// The list of conversations: search, more of it, and what can be done with one.

import { call, get } from "./api.js";
import { ask, field } from "./dialogs.js";
import { find, make, moment, place, readable } from "./dom.js";
import { tellTabs } from "./live.js";

const PAGE = 40, MOST_AT_ONCE = 100, PATIENCE_MS = 200;

export class Sidebar {
  #rows = new Map(); // by id: {row, as}, where `as` is what the row tells

  // `onLeave` is told that the open conversation is about to be deleted, `onStay` that it is there still.
  constructor(root, { sessions, nextCursor, openId, titleLimit, onChanged, onProblem, onLeave, onStay }) {
    Object.assign(this, { root, cursor: nextCursor, openId, titleLimit, onChanged, onProblem, onLeave, onStay, asked: 0 });
    this.list = find("[data-sessions]", root);
    this.search = find("#search", root);
    this.archived = find("[data-archived]", root);
    this.more = find("[data-more]", root);
    this.show(sessions);
    let timer = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.refresh(), PATIENCE_MS);
    });
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.search.value) {
        event.stopPropagation();
        this.search.value = "";
        this.refresh();
      }
    });
    this.archived.addEventListener("change", () => this.refresh());
    this.more.addEventListener("click", () => this.refresh(this.cursor));
    document.addEventListener("click", (event) => {
      for (const menu of root.querySelectorAll("details[open]")) if (!menu.contains(event.target)) menu.open = false;
    });
    root.addEventListener("keydown", (event) => {
      const menu = event.target.closest?.("details[open]");
      if (event.key !== "Escape" || !menu) return;
      event.stopPropagation();
      menu.open = false;
      find("summary", menu).focus();
    });
  }

  // Reads the list anew, or what comes after `cursor`. Of two answers that come out of order the later question's counts.
  async refresh(cursor = null) {
    const number = ++this.asked;
    const limit = cursor ? PAGE : Math.min(Math.max(PAGE, this.list.children.length), MOST_AT_ONCE); // no fewer than are shown
    const query = new URLSearchParams({ limit });
    if (this.archived.checked) query.set("archived", true); // else a search finds those and all others
    if (this.search.value.trim()) query.set("q", this.search.value.trim());
    if (cursor) query.set("cursor", cursor);
    try {
      const page = await get(`/v1/ai/sessions?${query}`);
      if (number !== this.asked) return;
      this.cursor = page.next_cursor;
      this.show(page.sessions, Boolean(cursor));
    } catch (error) {
      this.onProblem(error);
    }
  }

  show(sessions, further = false) {
    if (!further && this.list.querySelector("details[open]")) return; // somebody is at work in it
    const rows = sessions.map((one) => this.#known(one)), shown = [...this.list.children];
    const held = document.activeElement, at = shown.findIndex((one) => one.contains(held));
    const nothing = this.search.value.trim() ? "No title has these words." : "Nothing is here yet.";
    place(this.list, further ? [...new Set([...shown, ...rows])] : rows.length ? rows : [make("li", { class: "soft" }, nothing)]);
    if (at >= 0 && !held.isConnected) { // the row that had the focus tells something else now, or is gone
      const row = rows.find((one) => one.dataset.session === shown[at].dataset.session) ?? rows[at] ?? rows.at(-1);
      (row ? find(held.tagName.toLowerCase(), row) : this.search).focus();
    }
    this.more.hidden = !this.cursor;
  }

  // A row is drawn anew only where it tells something else.
  #known(session) {
    const as = JSON.stringify([session.title, session.updated_at, session.archived, this.archived.checked, session.id === this.openId]);
    if (this.#rows.get(session.id)?.as !== as) this.#rows.set(session.id, { as, row: this.#row(session) });
    return this.#rows.get(session.id).row;
  }

  #row(session) {
    const title = readable(session.title || "Untitled");
    const link = make("a", { href: `/c/${session.id}`, "aria-current": session.id === this.openId ? "page" : null },
      make("span", {}, title), " ", moment(session.updated_at));
    const choice = (label, run, kind = "plain") => make("button", { type: "button", class: kind, on: { click: () => {
      menu.open = false;
      find("summary", menu).focus(); // what has the focus is hidden now
      run();
    } } }, label);
    const menu = make("details", { class: "more" }, make("summary", { "aria-label": `More for ${title}` }, "⋯"),
      make("div", { class: "card" }, choice("Rename", () => this.rename(session)),
        choice(session.archived ? "Bring back" : "Archive", () => this.#change(session, { archived: !session.archived })),
        choice("Delete…", () => this.delete(session), "danger")));
    const archived = session.archived && !this.archived.checked ? [make("span", { class: "tag" }, "archived")] : [];
    return make("li", { data: { session: session.id } }, link, ...archived, menu);
  }

  async rename(session) {
    const box = make("input", { value: session.title, maxlength: this.titleLimit, required: true });
    const values = await ask({ title: "Rename the conversation", fields: [field("title", "Title", box)], yes: "Rename" });
    if (values) await this.#change(session, { title: values.get("title").trim() });
  }

  async #change(session, changes) {
    try {
      this.onChanged(await call("PATCH", `/v1/ai/sessions/${session.id}`, changes));
    } catch (error) {
      this.onProblem(error);
    }
    await this.#told(session);
  }

  async delete(session) {
    const forget = make("input", { type: "checkbox", id: "ask-forget", name: "forget" });
    const values = await ask({
      title: `Delete “${readable(session.title || "Untitled")}”?`, danger: true, yes: "Delete",
      text: "Its messages and images go for good, and an answer under way is stopped. What was done and approved stays in the audit log.",
      fields: [
        make("p", {}, "What is remembered of it, word for word, stays in your ", make("a", { href: "/memory/" }, "memory"), " unless you tick this:"),
        make("p", {}, forget, " ", make("label", { for: "ask-forget" }, "Forget what is remembered of it, too")),
      ],
    });
    if (!values) return;
    const open = session.id === this.openId;
    if (open) this.onLeave();
    try {
      await call("DELETE", `/v1/ai/sessions/${session.id}?forget=${values.has("forget")}`);
    } catch (error) {
      if (error.status !== 404) {
        if (open) this.onStay();
        this.onProblem(error);
        return;
      }
    }
    tellTabs(session.id);
    if (open) location.replace("/"); // nothing is at its address to go back to
    else await this.refresh();
  }

  async #told(session) {
    tellTabs(session.id);
    await this.refresh();
  }
}
