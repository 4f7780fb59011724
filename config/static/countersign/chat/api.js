// The JSON API as this page calls it: with the session's cookie, and the token against forgery from other sites.

const PATIENCE_MS = 30_000;

export class Problem extends Error {
  // What the server refused, or that it could not be reached (status 0).
  constructor(status, told = {}, retryAfter = null) {
    super(told.detail || told.title || "The server does not answer. Check your connection and try again.");
    this.status = status;
    this.code = told.code || "unreachable";
    this.errors = told.errors || [];
    this.told = told;
    this.retryAfter = retryAfter;
  }
}

// The cookie's, because another tab may have signed in anew since this page was made; else the page's own.
function token() {
  const found = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  return found ? decodeURIComponent(found[1]) : document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
}

// The workspace that this page shows: once another tab has switched to another, nothing of this one reaches that.
const workspace = document.body.dataset.workspace ?? "";

// A response whose status says that all went well; raises Problem.
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const options = { method, headers: { Accept: "application/json", "X-Workspace": workspace, ...headers }, signal, cache: "no-store", redirect: "error" };
  if (method !== "GET") options.headers["X-CSRFToken"] = token();
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After"));
  throw new Problem(response.status, told, Number.isFinite(seconds) && seconds > 0 ? seconds : null);
}

// What the answer's body says; null where it has none.
export async function call(method, path, body, more = {}) {
  const response = await send(method, path, { body, ...more });
  return response.status === 204 ? null : response.json();
}

// The same of what is only read. It ends after a while, for a line that broke without a word would leave its asker waiting.
export async function get(path) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    return await call("GET", path, undefined, { signal });
  } catch (error) {
    throw signal.aborted ? new Problem(0) : error;
  }
}

// Whether it may go better the next time.
export const passes = ({ status }) => status === 0 || status === 429 || status >= 500;

// What to tell a person of a problem: what happened and what they can do next.
export function words(problem) {
  if (!(problem instanceof Problem)) return "Something on this page went wrong. Reload it; what you wrote is kept.";
  const wait = problem.retryAfter ? ` Try again in ${problem.retryAfter} s.` : "";
  if (problem.status === 429) return `${problem.message}${problem.message.includes("seconds") ? "" : wait}`;
  if (problem.status === 401) return "You are signed out. Sign in again; what you wrote is kept.";
  if (problem.status >= 500 || problem.status === 0) return `${problem.message}${wait || " Try again."}`;
  return problem.message;
}
