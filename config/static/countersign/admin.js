// What the content policy forbids is not tried: no style sheet of htmx's own, no text turned into code, no other host.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
htmx.config.selfRequestsOnly = true;

document.addEventListener("DOMContentLoaded", () => import("./moments.js"));
