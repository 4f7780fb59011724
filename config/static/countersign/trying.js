// A talk with an agent: sends a message, shows the answer as it is streamed, and goes on reading where it was cut off.
// Whatever comes is put into the page as text.
(() => {
  "use strict";
  const page = document.querySelector("[data-try]");
  if (!page) return;

  const BREAKS = 6, FIRST_PAUSE_MS = 500, NOBODY = "00000000-0000-0000-0000-000000000000";
  const talk = page.querySelector("[data-talk]"), form = page.querySelector("[data-say]");
  const box = form.elements.message, send = page.querySelector("[data-send]"), cancel = page.querySelector("[data-cancel]");
  const status = page.querySelector("[data-status]");
  let run = null; // the one under way
  let unwanted = false; // it was cancelled before it was known which it is
  let spent = ""; // what the answer took, which stays once it is over

  const make = (name, kind, text = "") => {
    const made = document.createElement(name);
    made.className = kind;
    made.textContent = text;
    return made;
  };
  // What has no look of its own is shown by its number, so that no name or argument misleads.
  const visible = (text) =>
    text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (one) =>
      `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
  const refuse = (text) => {
    const told = make("p", "refused", visible(text));
    told.setAttribute("role", "alert");
    talk.append(told);
  };
  const turn = (who, kind) => {
    talk.querySelector("[data-empty]")?.remove();
    const made = make("article", `turn ${kind}`);
    made.append(make("h2", "text-subtle text-xs", who));
    talk.append(made);
    return made;
  };

  // One answer: its texts, thoughts and calls in the order in which they come.
  const answer = () => {
    const shown = turn(visible(page.dataset.name), ""), calls = new Map(), asked = new Map();
    let last = null, key = "";
    let spot = null; // where stands what is told anew: above the calls that it came before
    const put = (node) => spot ? spot.before(node) : shown.append(node);
    const more = (kind, data) => {
      const wanted = `${kind} ${data.agent_name ?? ""}`;
      if (key !== wanted) {
        key = wanted;
        if (data.agent_name) {
          const name = make("div", "text-subtle text-xs", visible(data.agent_name));
          name.dataset.said = "";
          put(name);
        }
        last = make("div", "plain");
        if (kind === "reasoning") {
          last.classList.add("text-subtle");
          const thought = make("details", "thought");
          thought.append(make("summary", "text-subtle text-xs", "Thought"), last);
          put(thought);
        } else put(last);
        last.dataset.said = "";
      }
      last.append(visible(data.text));
    };
    const call = (id, name) => {
      if (!calls.has(id)) {
        const made = make("details", "call"), head = make("summary", "");
        head.append(make("code", "", visible(name)), make("span", "state"), make("span", "summary"));
        made.append(head, make("pre", "exact"));
        calls.set(id, made);
        shown.append(made);
        key = "";
        spot = null;
      }
      return calls.get(id);
    };
    const stands = (one, kind, state, summary = "") => {
      one.className = `call ${kind}`;
      one.querySelector(".state").textContent = state;
      one.querySelector(".summary").textContent = visible(summary);
    };
    const shows = {
      delta: (data) => more("text", data),
      reasoning: (data) => more("reasoning", data),
      restart: () => {
        const told = [...shown.querySelectorAll("[data-said]")].map((said) => said.closest(".thought") ?? said);
        spot = document.createComment("");
        (told[0] ?? shown.querySelector(".call"))?.before(spot);
        if (!spot.parentNode) spot = null;
        for (const one of told) one.remove();
        key = "";
      },
      tool_call: (data) => {
        const one = call(data.call_id, data.name);
        one.querySelector("pre").textContent = visible(JSON.stringify(data.arguments, null, 2));
        stands(one, "asked", "is asked for");
      },
      approval_required: (data) => {
        const one = call(data.call_id, data.name), link = make("a", "text-link", "Look at the request");
        asked.set(data.approval_id, one);
        stands(one, "waits", `waits for approval (${data.risk})`);
        link.href = page.dataset.approval.replace(NOBODY, encodeURIComponent(data.approval_id));
        one.querySelector(".summary").append(link);
        status.textContent = "Waits for approval";
      },
      approval_decided: (data) => {
        const one = asked.get(data.approval_id), who = data.deciders?.join(" and ") || data.by;
        if (one) stands(one, "", who ? `${data.decision} by ${visible(who)}` : data.decision, data.reason);
        if (!one || !data.edited) return;
        const exact = one.querySelector("pre"), runs = visible(JSON.stringify(data.edited.arguments, null, 2));
        exact.textContent = `Changed by ${visible(data.edited.by || "an approver")}:\n${runs}\n\nWhat the agent asked for:\n${exact.textContent}`;
      },
      tool_result: (data) => {
        stands(call(data.call_id, data.name), data.ok ? "good" : "bad", data.ok ? "done" : "failed", data.summary);
        key = "";
        spot = null; // what is said now is said of it
      },
      status: (data) => { status.textContent = visible(data.label); },
      usage: (data) => {
        const cost = data.cost_usd === null ? "" : `, $${data.cost_usd}`;
        status.textContent = spent = `${data.input_tokens} tokens in, ${data.output_tokens} out${cost}`;
      },
      error: (data) => refuse(`${data.message} (${data.code})`),
      done: (data) => {
        if (data.status === "cancelled") shown.append(make("p", "text-subtle text-xs", "Cancelled; what was said is kept."));
      },
    };
    // Nothing more comes: a call that has no end gets none.
    const over = () => {
      for (const one of calls.values()) {
        if (one.matches(".asked, .waits")) stands(one, "", one.matches(".asked") ? "stopped" : "not run");
      }
    };
    return { show: ({ event, data }) => shows[event]?.(data), over };
  };

  const frames = async function* (response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const found = (held + value).split("\n\n");
      held = found.pop();
      for (const text of found) {
        const frame = {};
        for (const line of text.split("\n")) {
          const colon = line.indexOf(": ");
          if (colon > 0) frame[line.slice(0, colon)] = line.slice(colon + 2);
        }
        if (frame.data) yield { id: frame.id, event: frame.event, data: JSON.parse(frame.data) };
      }
    }
  };
  const asked = (address, options = {}) =>
    fetch(address, { credentials: "same-origin", redirect: "manual", cache: "no-store", ...options });
  const posted = (address, more = {}) => {
    const body = new FormData();
    body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    for (const [name, value] of Object.entries(more)) body.set(name, value);
    return asked(address, { method: "POST", body });
  };
  const problem = async (response) => {
    const told = await response.json().catch(() => null);
    return told?.detail ?? "The server does not answer this any more. Reload the page.";
  };
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  // Reads the run to its end, over as many streams as it takes: one ends where the run waits long for approval.
  const follow = async (response) => {
    const { show, over } = answer();
    let after = 0, breaks = 0;
    for (;;) {
      try {
        response ??= await asked(`${page.dataset.events}?run=${run}&after=${after}`);
        if (!response.ok) { refuse(await problem(response)); return; }
        for await (const frame of frames(response)) {
          breaks = 0;
          if (frame.id !== undefined) after = Number(frame.id);
          if (frame.event === "session") {
            run = frame.data.run_id;
            if (unwanted) stop();
          }
          else if (frame.event === "error" && !frame.data.run_id) break; // the stream broke, not the run
          else show(frame);
          if (frame.event === "error" || (frame.event === "done" && frame.data.status !== "awaiting_approval")) {
            over();
            return;
          }
        }
      } catch (error) {
        console.warn("the stream broke", error);
      }
      response = null;
      if (!run || ++breaks > BREAKS) { refuse("The connection broke. Reload the page to go on reading."); return; }
      await pause(FIRST_PAUSE_MS * 2 ** (breaks - 1));
    }
  };
  const busy = async (work) => {
    send.disabled = true;
    cancel.hidden = cancel.disabled = unwanted = false;
    spent = "";
    status.textContent = "Answers…";
    try {
      await work();
    } finally {
      run = null;
      send.disabled = false;
      cancel.hidden = true;
      status.textContent = spent;
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = box.value;
    if (send.disabled || !text.trim()) return;
    busy(async () => {
      const response = await posted(form.action, { message: text }).catch(() => null);
      if (!response?.ok) {
        status.textContent = "";
        refuse(response ? await problem(response) : "The server cannot be reached. Try again.");
        return;
      }
      turn("You", "mine").append(make("div", "plain", visible(text)));
      box.value = "";
      await follow(response);
    });
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const stop = async () => {
    unwanted = false;
    const response = await posted(page.dataset.stop, { run }).catch(() => null);
    if (response?.ok) return;
    cancel.disabled = false;
    refuse(response ? await problem(response) : "The server cannot be reached. Try again.");
  };
  cancel.addEventListener("click", (event) => {
    if (!event.detail) box.focus(); // by the keyboard, whose place would be gone with the button
    cancel.disabled = true;
    status.textContent = "Is cancelled…";
    if (run) stop();
    else unwanted = true;
  });
  if (page.dataset.run) {
    run = page.dataset.run;
    busy(() => follow(null));
  }
})();
