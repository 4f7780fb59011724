// What stands around the talk: the side, the drawer of memories, the wishes for the next answer, and where one looks.

import { get } from "./api.js";
import { find, make } from "./dom.js";

const MOST_PAGES = 25;

export class Layout {
  #panel = null;

  constructor({ notices }) {
    Object.assign(this, {
      notices, side: find("#side"), sideOpen: find("[data-side-open]"), drawer: find("[data-drawer]"),
      drawerOpen: find("[data-memory-open]"), scroller: find("[data-scroller]"), model: find("[data-model]"), mood: find("[data-mood]"),
    });
    this.sideOpen.addEventListener("click", () => this.#showSide(true));
    find("[data-side-close]").addEventListener("click", () => this.#showSide(false));
    this.drawerOpen.addEventListener("click", () => (this.drawer.hidden ? this.memories() : this.#closeDrawer()));
    find("[data-drawer-close]").addEventListener("click", () => this.#closeDrawer());
    find("[data-companion]")?.addEventListener("change", () => this.choose());
    find("[data-wishes]").addEventListener("toggle", (event) => { if (event.target.open) this.#models(); });
    document.addEventListener("click", (event) => {
      const wishes = find("[data-wishes]");
      if (wishes.open && !wishes.contains(event.target)) wishes.open = false;
    });
    document.addEventListener("keydown", (event) => this.#heed(event));
  }

  #heed(event) {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      this.#showSide(true);
      find("#search").select();
    } else if (event.key === "Escape" && !find("dialog[open]")) {
      const open = this.side.classList.contains("open") ? () => this.#showSide(false)
        : find("[data-wishes]").open ? () => { find("[data-wishes]").open = false; find("[data-wishes] summary").focus(); }
          : !this.drawer.hidden && this.drawer.contains(document.activeElement) ? () => this.#closeDrawer() : null;
      if (!open) return;
      event.preventDefault(); // it stops no answer then
      open();
    }
  }

  #showSide(open) {
    this.side.classList.toggle("open", open);
    this.sideOpen.setAttribute("aria-expanded", String(open));
    if (open) find("#search").focus();
    else if (getComputedStyle(this.sideOpen).display !== "none") this.sideOpen.focus();
  }

  // Opens the drawer: with all memories, or with those of these ids.
  async memories(ids = null) {
    this.drawer.hidden = false;
    this.drawerOpen.setAttribute("aria-expanded", "true");
    find("[data-drawer-close]").focus();
    try {
      const { MemoryPanel } = await import("./memory.js");
      this.#panel ??= new MemoryPanel(find("[data-memory]", this.drawer));
    } catch (error) {
      this.#closeDrawer();
      this.notices.problem(error);
      return;
    }
    await this.#panel.show(ids);
  }

  #closeDrawer() {
    this.drawer.hidden = true;
    this.drawerOpen.setAttribute("aria-expanded", "false");
    this.drawerOpen.focus();
  }

  // The model and the mood that the next message asks for, where any.
  wishes() {
    return Object.fromEntries([["model", this.model.value], ["mood", this.mood.value]].filter(([, value]) => value));
  }

  async #models() {
    if (this.model.options.length > 1) return;
    try {
      const { models } = await get("/v1/ai/models");
      this.model.append(...models.map(({ id, provider }) => make("option", { value: id }, `${id} (${provider})`)));
    } catch (error) {
      this.notices.problem(error);
    }
  }

  choose(type) {
    const list = find("[data-companion]");
    if (type) list.value = type;
    for (const one of document.querySelectorAll(".person")) one.setAttribute("aria-pressed", String(one.dataset.choose === list.value));
  }

  // The conversation has begun: with whom is settled, whose name this gives.
  began() {
    const chosen = find("[data-companion]");
    const name = chosen?.selectedOptions[0]?.textContent ?? "";
    if (name) find("[data-partner]").textContent = `with ${name}`;
    chosen?.remove();
    return name;
  }

  // The end of what was said; the view stays there while it grows, until somebody scrolls.
  toEnd() {
    this.scroller.scrollTop = 0; // it is laid out from its end
  }

  // The message that the address names, which may lie far back.
  async toMessage(messages, older) {
    const id = location.hash.match(/^#m-([0-9a-f-]{36})$/)?.[1];
    if (!id) return;
    for (let pages = 0; !messages.byId.has(id) && messages.cursor && pages < MOST_PAGES; pages += 1) await older();
    const node = messages.byId.get(id);
    if (!node) {
      this.notices.tell("This message is not there any more.", { kind: "warning" });
      return;
    }
    node.classList.add("found");
    node.tabIndex = -1;
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: "center" });
  }
}
