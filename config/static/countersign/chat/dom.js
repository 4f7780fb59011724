// Making elements of text that comes from people and models: always as text, never as HTML.

// make("a", {class: "x", href: "/y", on: {click: f}}, "text", child, null): an element; what is null is left out.
export function make(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, heed] of Object.entries(value)) made.addEventListener(event, heed);
    else if (key === "data") Object.assign(made.dataset, value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// What has no look of its own (controls, marks that turn the direction of writing, odd spaces) is shown by its number,
// so that no name and no argument misleads who is to judge them.
export const visible = (text) =>
  numbered(text, /(?![\n\t])[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu);

// The same of what people and models say, which judges nothing: joiners of emoji and letters and the spaces of other
// scripts stay what they are, and only what turns or hides text is shown by its number.
export const readable = (text) =>
  numbered(String(text).replaceAll("\r\n", "\n"), /(?![\n\t])[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\u{E0000}-\u{E007F}]/gu);

const numbered = (text, which) =>
  String(text).replace(which, (one) => `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

export const find = (selector, within = document) => within.querySelector(selector);

// Puts these children into an element, in this order. What stays where it was is not touched, so that it keeps the focus,
// the selection and what was opened in it.
export function place(parent, children) {
  const held = document.activeElement, wanted = new Set(children);
  for (const one of [...parent.childNodes]) if (!wanted.has(one)) one.remove();
  for (const [at, one] of children.entries()) {
    if (parent.childNodes[at] !== one) parent.insertBefore(one, parent.childNodes[at] ?? null);
  }
  if (held !== document.activeElement && parent.contains(held)) held.focus({ preventScroll: true });
}

// Whether a key belongs to an input method, which ends a word with it (the number is what Safari says).
export const composing = (event) => event.isComposing || event.keyCode === 229;

// An id of ours begins with the time at which it was made, in milliseconds.
export const madeAt = (id) => new Date(parseInt(id.replaceAll("-", "").slice(0, 12), 16));

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MINUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const day = (when) => DAY.format(new Date(when));
export const minute = (when) => MINUTE.format(new Date(when));

// A time as page.js shows it: in the reader's own zone, and on asking in UTC, as the log has it.
const LOGGED = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
export const moment = (when) =>
  make("time", { datetime: new Date(when).toISOString(), title: `${LOGGED.format(new Date(when))} UTC` }, minute(when));

// "4 min 10 s", "3 h 5 min", "2 days": what is left, in the two largest units.
export function span(seconds) {
  const left = Math.max(0, Math.round(seconds));
  if (left < 60) return `${left} s`;
  if (left < 3600) return `${Math.floor(left / 60)} min ${left % 60} s`;
  if (left < 172800) return `${Math.floor(left / 3600)} h ${Math.floor((left % 3600) / 60)} min`;
  return `${Math.floor(left / 86400)} days`;
}

// A button that copies what `text()` gives. Browsers have a clipboard for pages of https and localhost alone; elsewhere
// the old command does it.
export function copyButton(text) {
  const button = make("button", { type: "button", class: "plain" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text())) ? "Copied" : "Not allowed here";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
