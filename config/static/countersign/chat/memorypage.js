// The page of memory: the panel by itself.

import { find } from "./dom.js";
import { MemoryPanel } from "./memory.js";

new MemoryPanel(find("[data-memory]")).show().then(() => { document.documentElement.dataset.ready = ""; });
