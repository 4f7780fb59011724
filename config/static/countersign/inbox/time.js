// Spans of time come from the database in seconds and are counted on by this page's own clock, which only runs.

const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
const SOON_SECONDS = 300;

const words = (seconds) => {
  const parts = [];
  let left = Math.max(0, Math.floor(seconds));
  for (const [size, unit] of UNITS) {
    const many = Math.floor(left / size);
    left -= many * size;
    if (many) parts.push(`${many} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
};

export const tick = () => {
  for (const time of document.querySelectorAll("time[data-up], time[data-down]")) {
    const up = "up" in time.dataset;
    time.since ??= performance.now();
    const passed = (performance.now() - time.since) / 1000;
    const now = up ? Number(time.dataset.up) + passed : Number(time.dataset.down) - passed;
    const text = words(now);
    if (time.textContent !== text) time.textContent = text;
    if (!up) time.parentElement.classList.toggle("soon", now < SOON_SECONDS);
  }
};

setInterval(tick, 1000);
tick();
