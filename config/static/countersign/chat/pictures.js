// Images that are about to be sent: pasted, dropped or chosen; shown from this browser's memory, and measured before
// anything is uploaded.

import { make, visible } from "./dom.js";

const BASE64 = 4 / 3;

export class Pictures {
  constructor(root, limits, { onRefuse, onChange }) {
    Object.assign(this, { root, limits, onRefuse, onChange, files: [] });
  }

  get count() {
    return this.files.length;
  }

  add(files) {
    for (const file of files) {
      const why = this.#refusal(file);
      if (why) {
        this.onRefuse(why);
        continue;
      }
      const url = URL.createObjectURL(file), name = file.name || "Image";
      const one = { file, url };
      const remove = make("button", { type: "button", class: "plain", "aria-label": `Remove ${visible(name)}` }, "×");
      one.node = make("li", {}, make("img", { src: url, alt: visible(name), width: 64, height: 64 }), remove);
      remove.addEventListener("click", () => this.remove(one));
      this.files.push(one);
      this.root.append(one.node);
    }
    this.onChange();
  }

  #refusal(file) {
    const { images, image_bytes: most, image_types: types, body_bytes: whole } = this.limits;
    const name = visible(file.name || "The image");
    if (!types.includes(file.type)) return `${name} is no PNG, JPEG, WebP or GIF; save it as one of these.`;
    if (file.size > most) return `${name} has ${megabytes(file.size)}; an image may have ${megabytes(most)}. Make it smaller.`;
    if (this.count >= images) return `A message takes ${images} images; send the others with the next one.`;
    const together = this.files.reduce((sum, one) => sum + one.file.size, file.size) * BASE64;
    if (together > whole - 1_000_000) return `These images are too large for one message together; send ${name} with the next one.`;
    return "";
  }

  remove(one) {
    this.files = this.files.filter((other) => other !== one);
    URL.revokeObjectURL(one.url);
    one.node.remove();
    this.onChange();
  }

  clear() {
    for (const one of [...this.files]) this.remove(one);
  }
}

// Files as a message takes them.
export const attachments = (files) =>
  Promise.all(files.map(async (file) => ({ type: "image", media_type: file.type, data: await base64(file) })));

const megabytes = (bytes) => `${(bytes / 1_000_000).toFixed(1)} MB`;

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

// The images of a message that was sent, to be sent again with what replaces it.
export async function sentBefore(parts) {
  const images = parts.filter((part) => part.type === "image");
  return Promise.all(images.map(async (part) => {
    const response = await fetch(part.url, { cache: "no-store" });
    if (!response.ok) throw new Error("an image is gone");
    return new File([await response.blob()], "Image", { type: part.media_type });
  }));
}
