// Questions to the person, and notices: one dialog for all, because a page asks one thing at a time.

import { words } from "./api.js";
import { find, make, visible } from "./dom.js";

// Asks; resolves to the form's values where the person agrees, else to null. `fields` are elements with names. The
// button that does harm is never the one that has the focus.
export function ask({ title, text, fields = [], yes, danger = false }) {
  const dialog = find("[data-ask]");
  return new Promise((resolve) => {
    const cancel = make("button", { type: "button", value: "" }, "Cancel");
    const agree = make("button", { type: "submit", class: danger ? "danger" : "primary" }, yes);
    const form = make("form", { method: "dialog" },
      make("h2", { id: "ask-heading" }, title), ...(text ? [make("p", {}, text)] : []), ...fields,
      make("div", { class: "row end" }, cancel, agree));
    let answer = null;
    form.addEventListener("submit", () => { answer = new FormData(form); });
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => resolve(answer), { once: true });
    dialog.replaceChildren(form);
    dialog.showModal();
    (form.querySelector("input:not([type=checkbox]), textarea") ?? cancel).focus();
  });
}

export function field(name, label, element) {
  element.id = `ask-${name}`;
  element.name = name;
  return make("div", { class: "field" }, make("label", { for: element.id }, label), element);
}

// What went wrong and what to do, until the person puts it away or it is over. `action` is {label, href | run}.
export class Notices {
  constructor(root) {
    this.root = root;
  }

  tell(text, { kind = "error", key = text, action = null } = {}) {
    this.clear(key);
    const close = make("button", { type: "button", class: "plain", "aria-label": "Put this notice away" }, "×");
    const made = make("p", { class: `notice ${kind}`, data: { key } }, make("span", {}, visible(text)), actionOf(action), close);
    close.addEventListener("click", () => made.remove());
    this.root.append(made);
    return made;
  }

  // A problem of the API, in words; who is signed out is shown the way in, which leads back here.
  problem(error, more = {}) {
    if (error?.name === "AbortError") return;
    if (!(error?.status >= 0)) console.error(error);
    const here = encodeURIComponent(location.pathname + location.search);
    const action = error?.status === 401 ? { label: "Sign in", href: `/account/login/?next=${here}` } : null;
    this.tell(words(error), { key: error?.code, action, ...more });
  }

  clear(key) {
    for (const one of [...this.root.children]) if (key === undefined || one.dataset.key === key) one.remove();
  }
}

function actionOf(action) {
  if (!action) return null;
  if (action.href) return make("a", { class: "button", href: action.href }, action.label);
  return make("button", { type: "button", on: { click: action.run } }, action.label);
}
