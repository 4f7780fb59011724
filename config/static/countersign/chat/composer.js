// Where a message is written: keys, images, drafts. A draft is kept in this tab for its conversation, so that neither a
// reload nor a sign-in costs a word.

import { composing, find } from "./dom.js";
import { Pictures, sentBefore } from "./pictures.js";

export class Composer {
  // `onSend` is given {text, files, replaces}; where it resolves to false, what was written stays.
  constructor(form, limits, { key, onSend, onStop, onEditLast, onRefuse }) {
    Object.assign(this, { form, limits, key, onSend, onStop, onEditLast, onRefuse, mending: null, aside: null, busy: false });
    this.box = find("textarea", form);
    this.sendButton = find("[data-send]", form);
    this.stopButton = find("[data-stop]", form);
    this.stateLine = find("[data-state]", form);
    this.pictures = new Pictures(find("[data-pictures]", form), limits, { onRefuse, onChange: () => this.#refresh() });
    this.box.value = this.#draft();
    this.#listen();
    this.#refresh();
  }

  // The draft's name, once the conversation has one.
  rename(key) {
    this.#store("");
    this.key = key;
    this.#keep();
  }

  #draft() {
    try { return sessionStorage.getItem(`draft:${this.key}`) ?? ""; } catch { return ""; }
  }

  #store(text) {
    try {
      if (text) sessionStorage.setItem(`draft:${this.key}`, text);
      else sessionStorage.removeItem(`draft:${this.key}`);
    } catch { /* the tab may keep nothing: the draft lasts as long as the page */ }
  }

  #keep() {
    if (!this.mending) this.#store(this.box.value);
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.box.addEventListener("input", () => { this.#keep(); this.#refresh(); });
    this.box.addEventListener("keydown", (event) => this.#heed(event));
    this.box.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (!files.length) return;
      event.preventDefault();
      this.pictures.add(files);
    });
    this.stopButton.addEventListener("click", () => this.onStop());
    const files = find("[data-files]", this.form);
    find("[data-attach]", this.form).addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      this.pictures.add(files.files);
      files.value = "";
      this.box.focus();
    });
    find("[data-mend-off]", this.form).addEventListener("click", () => this.mendOff());
  }

  #heed(event) {
    if (composing(event)) return; // Enter ends a word then
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Escape" && this.mending) {
      event.stopPropagation();
      this.mendOff();
    } else if (event.key === "ArrowUp" && !this.box.value && !event.altKey && !event.ctrlKey && !event.metaKey) {
      if (this.onEditLast()) event.preventDefault();
    }
  }

  write(text) {
    this.box.value = text;
    this.#keep();
    this.#refresh();
  }

  // Takes up what was said last, to be said otherwise. What was being written is put aside.
  async mend(message) {
    if (!this.mending) this.aside = { text: this.box.value, files: this.pictures.files.map((one) => one.file) };
    this.mending = message;
    this.box.value = message.content;
    find("[data-mending]", this.form).hidden = false;
    this.pictures.clear();
    this.#refresh();
    this.box.focus();
    this.box.setSelectionRange(this.box.value.length, this.box.value.length);
    try {
      const files = await sentBefore(message.parts);
      if (this.mending === message && files.length) this.pictures.add(files);
    } catch {
      this.onRefuse("The images of this message cannot be fetched any more; add them again if they matter.");
    }
  }

  mendOff() {
    this.#takeUp("");
    this.box.focus();
  }

  // What was put aside, and after it what was written since.
  #takeUp(since) {
    this.mending = null;
    find("[data-mending]", this.form).hidden = true;
    this.box.value = [this.aside.text, since].filter(Boolean).join("\n\n");
    this.pictures.clear();
    this.pictures.add(this.aside.files);
    this.#keep();
    this.#refresh();
  }

  async submit() {
    const { mending } = this, text = this.box.value, pictures = [...this.pictures.files];
    if (this.busy || !(text.trim() || pictures.length)) return;
    if (text.length > this.limits.message) {
      this.onRefuse(`A message may have ${this.limits.message.toLocaleString()} characters; this has ${text.length.toLocaleString()}.`);
      return;
    }
    const files = async () => pictures.map((one) => one.file);
    const taken = await this.onSend({ text: text.trim() ? text : "(see the image)", files, replaces: mending });
    if (!taken || this.mending !== mending) return;
    const value = this.box.value, since = value.startsWith(text) ? value.slice(text.length).trimStart() : value; // the next message's
    for (const one of pictures) this.pictures.remove(one);
    if (mending) this.#takeUp(since);
    else this.write(since);
  }

  // While an answer comes the next message may be written, and sent once it is there.
  setBusy(busy, stoppable) {
    const held = [this.stopButton, this.sendButton].some((one) => one.matches(":focus-visible"));
    this.busy = busy;
    this.stopButton.hidden = !stoppable;
    this.#refresh();
    if (held) this.box.focus(); // a button that goes would take the place of the keyboard with it
  }

  setState(text) {
    if (this.stateLine.textContent !== text) this.stateLine.textContent = text;
  }

  #refresh() {
    this.sendButton.disabled = this.busy || !(this.box.value.trim() || this.pictures.count);
    this.sendButton.textContent = this.mending ? "Send instead" : "Send";
  }
}
