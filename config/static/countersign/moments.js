// Times of the page in the reader's own time, with the zone's name; in UTC, as the log has them, in the title.

const DAY = { year: "numeric", month: "short", day: "numeric" };
const MINUTES = { ...DAY, hour: "numeric", minute: "2-digit", timeZoneName: "short" };
const SECONDS = { ...MINUTES, second: "2-digit" };
const FORMATS = { "": MINUTES, precisely: SECONDS, finely: { ...SECONDS, fractionalSecondDigits: 3 } };

for (const time of document.querySelectorAll("time[data-moment]")) {
  time.title = time.textContent;
  time.textContent = new Intl.DateTimeFormat(undefined, FORMATS[time.dataset.moment]).format(new Date(time.dateTime));
}
