// What companions remember of this person: by layer, why it is known, and what can be done with each of it.

import { call, get, Problem } from "./api.js";
import { ask, field, Notices } from "./dialogs.js";
import { find, make } from "./dom.js";
import { memoryCard } from "./memorycard.js";

const PAGE = 20, MOST_NEAR = 5, MOST_TOLD = 50, PATIENCE_MS = 250;
const LAYERS = { identity: "Who you are", preferences: "What you like", history: "What was said" };
const LATER = "Nothing yet. Where companions learn from chats, what you say of yourself is known in a moment: shortly after the last answer.";

export class MemoryPanel {
  constructor(root) {
    this.root = root;
    this.asked = 0;
    this.form = find("[data-memory-find]", root);
    this.list = find("[data-memory-list]", root);
    this.pending = find("[data-memory-pending]", root);
    this.told = find("[data-memory-told]", root);
    this.said = find("[data-memory-said]", root);
    this.state = find("[data-memory-state]", root);
    this.notices = new Notices(find("[data-memory-notices]", root));
    this.names = new Map([...this.form.elements.companion_type.options].map((one) => [one.value, one.textContent]));
    let timer = 0;
    this.form.addEventListener("input", () => {
      clearTimeout(timer);
      this.asked += 1; // what is still to come is of what was written before
      this.#busy();
      timer = setTimeout(() => this.show(), PATIENCE_MS);
    });
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.show(); });
    find("[data-memory-all]", root).addEventListener("click", () => this.show());
    find("[data-memory-forget]", root).addEventListener("click", () => this.#forgetAll());
    find(".memory-all", root).addEventListener("toggle", (event) => { if (event.target.open) this.#pauses(); });
  }

  // Shows all that fits what was asked for, or the memories of these ids alone.
  async show(ids = null) {
    const number = ++this.asked;
    this.told.hidden = !ids;
    this.#busy();
    let told = "";
    try {
      const q = this.#wanted(), shown = ids ? await this.#those(ids) : q ? await this.#found(q) : await this.#all();
      if (number !== this.asked) return;
      told = shown.told ?? "";
      this.list.replaceChildren(...shown.sections);
      if (ids || q) this.pending.replaceChildren();
      else await this.#waiting(number);
    } catch (error) {
      if (number === this.asked) this.#problem(error);
    } finally {
      if (number === this.asked) this.#busy(told);
    }
  }

  #wanted() {
    return this.form.elements.q.value.trim();
  }

  // Says that work goes on until it is `done`, and then what came of it.
  #busy(done = null) {
    this.list.setAttribute("aria-busy", String(done === null));
    this.state.textContent = done ?? (this.#wanted() ? "Searching…" : "Loading…");
  }

  #query(more) {
    const wanted = new FormData(this.form);
    const query = new URLSearchParams({ limit: PAGE, ...more });
    for (const name of ["companion_type", "layer"]) {
      const value = String(wanted.get(name) ?? "").trim();
      if (value && !query.has(name)) query.set(name, value);
    }
    return query;
  }

  async #all() {
    const layer = this.form.elements.layer.value;
    return { sections: await Promise.all(Object.entries(LAYERS).filter(([name]) => !layer || name === layer)
      .map(([name, title]) => this.#section(title, { layer: name }))) };
  }

  // Those that have all the words, as far as they are written; apart from them a few that fit by what they mean.
  async #found(q) {
    const words = q.split(/\s+/), has = ({ content }) => words.every((word) => content.toLowerCase().includes(word.toLowerCase()));
    const [fit, { memories }] = await Promise.all([this.#section("With these words", { words: q }), get(`/v1/ai/memory?${this.#query({ q })}`)]);
    const near = memories.filter((one) => !has(one)).slice(0, MOST_NEAR), total = Number(fit.dataset.total);
    const sections = [...(total ? [fit] : []), ...(near.length ? [make("section", {}, make("h3", {}, "Near in meaning"),
      make("ul", { class: "entries" }, ...near.map((one) => this.#card(one))))] : [])];
    const many = total === 1 ? "One memory has" : total ? `${total} memories have` : "No memory has";
    return { sections, told: `${many} these words.` };
  }

  async #section(title, more) {
    const list = make("ul", { class: "entries" });
    const button = make("button", { type: "button", class: "plain" }, "Show more");
    let offset = 0;
    const next = async () => {
      const page = await get(`/v1/ai/memory?${this.#query({ ...more, offset })}`);
      offset += page.memories.length;
      list.append(...page.memories.map((one) => this.#card(one)));
      button.hidden = offset >= page.total || !page.memories.length;
      return page.total;
    };
    button.addEventListener("click", () => next().catch((error) => this.#problem(error)));
    const total = await next();
    if (!total) list.append(make("li", { class: "soft" }, more.layer && more.layer !== "history" ? LATER : "Nothing is remembered here."));
    return make("section", { data: { total } }, make("h3", {}, title, " ", make("span", { class: "soft" }, String(total))), list, button);
  }

  async #those(ids) {
    const found = await Promise.all(ids.slice(0, MOST_TOLD).map((id) => get(`/v1/ai/memory/${id}`).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    })));
    const here = found.filter(Boolean), lost = found.length - here.length;
    const list = make("ul", { class: "entries" }, ...here.map((one) => this.#card(one)));
    const note = lost ? make("p", { class: "soft" }, `${lost} of them ${lost === 1 ? "was" : "were"} forgotten since.`) : null;
    return { sections: [make("section", {}, make("h3", {}, "Told to the model"), list, note)] };
  }

  // Those that a model drew and that count only once the person says so.
  async #waiting(number) {
    const query = this.#query({ status: "pending" });
    const { memories, total } = await get(`/v1/ai/memory?${query}`);
    if (number !== this.asked) return;
    this.pending.replaceChildren(...(total ? [make("section", { class: "card" },
      make("h3", {}, `Is this right? ${total === 1 ? "One waits" : `${total} wait`} for you`),
      make("ul", { class: "entries" }, ...memories.map((one) => this.#card(one))))] : []));
  }

  #card(memory) {
    return memoryCard(memory, {
      names: this.names,
      layers: LAYERS,
      onSaid: (text) => { this.said.textContent = text; },
      onProblem: (error) => this.#problem(error),
      onChanged: () => this.show(),
    });
  }

  async #pauses() {
    const root = find("[data-memory-pauses]", this.root);
    try {
      const { pauses } = await get("/v1/ai/memory/pause");
      const paused = new Set(pauses.filter((one) => one.paused).map((one) => one.companion_type ?? ""));
      root.replaceChildren(...[...this.names].map(([type, name], place) => {
        const box = make("input", { type: "checkbox", id: `pause-${place}` });
        box.checked = paused.has(type);
        box.addEventListener("change", async () => {
          try {
            await call("PUT", "/v1/ai/memory/pause", { paused: box.checked, ...(type ? { companion_type: type } : {}) });
            this.said.textContent = box.checked ? `Memory rests: ${name}.` : `Memory goes on: ${name}.`;
          } catch (error) {
            box.checked = !box.checked;
            this.#problem(error);
          }
        });
        return make("p", {}, box, " ", make("label", { for: box.id }, type ? `Rest with ${name}` : "Rest with all companions"));
      }), make("p", { class: "soft" }, "While memory rests nothing new is kept, and nothing is told to the model."));
    } catch (error) {
      this.#problem(error);
    }
  }

  async #forgetAll() {
    const type = this.form.elements.companion_type.value, name = this.names.get(type);
    const word = make("input", { autocomplete: "off", required: true, pattern: " *forget *" });
    const keep = make("input", { type: "checkbox", id: "ask-keep", name: "keep" });
    const values = await ask({
      title: type ? `Forget everything kept with ${name}?` : "Forget everything?", danger: true, yes: "Forget for good",
      text: "The memories go for good, and what tells of them in your conversations goes too. Nothing brings them back.",
      fields: [make("p", {}, keep, " ", make("label", { for: "ask-keep" }, "Keep the messages in my conversations")),
        field("word", "Write “forget” to go on", word)],
    });
    if (!values) return;
    try {
      const body = { ...(type ? { companion_type: type } : { all: true }), keep_transcript: values.has("keep") };
      const { forgotten } = await call("POST", "/v1/ai/memory/forget", body);
      this.said.textContent = `${forgotten} memories are forgotten.`;
      this.notices.tell(`${forgotten} memories are forgotten.`, { kind: "", key: "forgotten" });
      await this.show();
    } catch (error) {
      this.#problem(error);
    }
  }

  #problem(error) {
    if (error instanceof Problem && error.status === 404) this.show();
    this.notices.problem(error);
  }
}
