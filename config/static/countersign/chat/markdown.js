// Markdown of models, shown as it comes. What was shown stays: each flush draws the last open block anew and no other,
// so that a long answer costs as much for each word as a short one.

import { marked } from "../../vendor/marked-18.2.1/marked.esm.js";
import "../../vendor/dompurify-3.4.18/purify.min.js";
import { copyButton, make, readable } from "./dom.js";

const purify = globalThis.DOMPurify;
const TAGS = [
  "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre",
  "s", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
];
const HIGHLIGHTED = 20_000; // characters of code; more of it stays plain
const escaped = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

// What is no Markdown is text: HTML of a model is shown, not obeyed, and an image would be fetched from anywhere.
marked.use({
  gfm: true,
  renderer: {
    html: ({ text }) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    if (!/^(https?:|mailto:)/i.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
  if (node.title) node.title = readable(node.title);
});

function fragment(text) {
  const clean = purify.sanitize(marked.parse(text), {
    ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ["href", "title", "start", "align", "class"], RETURN_DOM_FRAGMENT: true,
  });
  const texts = document.createTreeWalker(clean, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = readable(texts.currentNode.data);
  for (const one of clean.querySelectorAll("[class]")) {
    if (!/^language-[\w+#.-]{1,30}$/.test(one.className)) one.removeAttribute("class");
  }
  for (const table of clean.querySelectorAll("table")) {
    const frame = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const pre of clean.querySelectorAll("pre")) {
    const code = pre.firstElementChild ?? pre, block = codeBlock(code.className.replace("language-", ""));
    block.text.data = code.textContent.replace(/\n$/, "");
    pre.replaceWith(block.node);
    highlight(block);
  }
  return clean;
}

// A block of code with its language and a button that copies it.
function codeBlock(language) {
  const text = document.createTextNode(""), code = make("code", {}, text);
  const head = make("figcaption", {}, make("span", {}, language || "text"), copyButton(() => code.textContent));
  const pre = make("pre", { tabindex: "0", role: "region", "aria-label": language ? `Code, ${language}` : "Code" }, code);
  return { node: make("figure", { class: "code" }, head, pre), code, text, language };
}

// The highlighter is fetched for the first block that names its language, and works when nothing else is to be done.
const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 50));
function highlight({ code, language }) {
  if (!language || code.textContent.length > HIGHLIGHTED) return;
  idle(async () => {
    const { default: highlighter } = await import("../../vendor/highlight-11.12.0/highlight.min.js");
    if (!highlighter.getLanguage(language)) return;
    const { value } = highlighter.highlight(code.textContent, { language, ignoreIllegals: true });
    const how = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
    code.replaceChildren(purify.sanitize(value, how));
  });
}

const FENCE = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})\s*([\w+#.-]*)/, ITEM = /^ {0,3}([-*+]|\d{1,9}[.)])\s/;

// A text that grows, in an element of its own.
export class Growing {
  #text = ""; // what is not settled yet: the open block, and what came since
  #scanned = 0; // how far of it was looked at for the end of the block
  #fence = null; // the mark of the fence that the text is in
  #block = null; // the code of that fence: {node, text, shown}
  #blank = false;
  #list = false;
  #tail = null; // the elements of the open block
  #notBefore = 0;

  constructor(root) {
    this.root = root;
    this.root.classList.add("prose");
  }

  append(text) {
    this.#text += text;
  }

  // Draws what came, for about as long as until `deadline`; true where something is left to draw.
  draw(deadline) {
    while (this.#settle()) if (performance.now() > deadline) return true;
    if (performance.now() < this.#notBefore) return true;
    const began = performance.now();
    this.#drawTail();
    // A block that takes long to draw is drawn less often: an eighth of the time goes into it at most.
    this.#notBefore = began + 8 * (performance.now() - began);
    return false;
  }

  // Draws all of it: nothing comes any more.
  end() {
    if (!this.#text.endsWith("\n")) this.#text += "\n"; // a fence is known to be one by the end of its line
    while (this.#settle());
    if (this.#block) this.#endCode(this.#text.length);
    if (this.#text.trim()) this.#replaceTail(fragment(this.#text));
    this.#text = "";
    this.#tail = null;
  }

  // Settles the next whole block, if there is one. A block ends where a line begins that cannot belong to it, so a list
  // or a quotation that goes on after an empty line is not cut.
  #settle() {
    for (;;) {
      const end = this.#text.indexOf("\n", this.#scanned);
      if (end < 0) return false;
      const start = this.#scanned, line = this.#text.slice(start, end);
      this.#scanned = end + 1;
      if (this.#fence) {
        if (this.#closes(line)) {
          this.#fence = null;
          if (this.#block) {
            this.#endCode(start);
            this.#cut(end + 1);
            return true;
          }
        }
        continue;
      }
      if (!line.trim()) {
        this.#blank = true;
        continue;
      }
      const fence = line.match(FENCE), item = ITEM.test(line), indented = /^\s/.test(line);
      const within = this.#list && (indented || (this.#blank && item));
      const apart = start > 0 && !within && !indented && (this.#blank || (fence && !this.#list));
      this.#blank = false;
      if (apart) {
        this.#replaceTail(fragment(this.#text.slice(0, start)));
        this.#cut(start);
        this.#tail = null;
        return true; // the line is looked at again, as the first of the next block
      }
      if (item) this.#list = true;
      if (fence) {
        this.#fence = fence[1];
        if (start === 0 && !this.#list) {
          this.#block = { ...codeBlock(fence[2]), shown: end + 1 };
          this.#dropTail(); // the fence as far as it had come
          this.root.append(this.#block.node);
        }
      }
    }
  }

  #closes(line) {
    const mark = line.trim();
    return mark.length >= this.#fence.length && mark === this.#fence[0].repeat(mark.length);
  }

  #cut(at) {
    this.#text = this.#text.slice(at);
    this.#scanned = 0;
    this.#blank = this.#list = false;
  }

  #drawTail() {
    if (this.#block) {
      // Whole lines only: the one under way may turn out to be the end of the fence.
      const until = this.#text.lastIndexOf("\n") + 1;
      if (until > this.#block.shown) this.#moreCode(until);
    } else if (this.#text.trim()) {
      this.#replaceTail(fragment(this.#text));
    }
  }

  #moreCode(until) {
    this.#block.text.appendData(readable(this.#text.slice(this.#block.shown, until)));
    this.#block.shown = until;
  }

  #endCode(until) {
    if (until > this.#block.shown) this.#moreCode(until);
    this.#block.text.data = this.#block.text.data.replace(/\n$/, "");
    highlight(this.#block);
    this.#block = null;
    this.#text = this.#fence ? "" : this.#text;
    this.#tail = null;
  }

  #replaceTail(drawn) {
    const nodes = [...drawn.childNodes];
    this.#dropTail();
    this.root.append(...nodes);
    this.#tail = nodes;
  }

  #dropTail() {
    for (const node of this.#tail ?? []) node.remove();
    this.#tail = null;
  }
}

// A text that is whole.
export function whole(root, text) {
  const growing = new Growing(root);
  growing.append(text);
  growing.end();
}
