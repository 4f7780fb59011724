"""The conversation at a terminal: what is typed, and the commands that begin with a slash."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from prompt_toolkit import PromptSession

from config.terminal import harmless
from config.terminal.client import Client, Event, Follower, Trouble
from config.terminal.screen import Screen, left

LOOK_SECONDS = 2.0
TWICE_SECONDS = 5.0  # within which a second Ctrl-C leaves
SHOWN = 6  # messages of a session that is gone on with
GOES_ON = "\0the run goes on"
HELP = """/new                  begin a new session
/sessions             your sessions; /open NUMBER goes on with one
/last                 go on with the newest session
/stop                 stop the answer that is under way
/approvals            what waits for approval
/approve ID           approve what was shown; /reject ID why rejects it
/memory [words]       what is remembered of you
/help  /quit          Ctrl-C stops an answer, twice it leaves"""


class Leave(Exception):
    """The person wants to go."""


class Talk:
    """One person at one terminal."""

    def __init__(self, client: Client, screen: Screen, *, companion: str, session: str = "") -> None:
        self._client, self._screen = client, screen
        self.companion, self.session = companion, session
        self._run = Follower()
        self._shown: dict[str, str] = {}  # the digest of each request that was shown, by its id
        self._listed: list[str] = []
        self._prompt: PromptSession[str] | None = None
        self._pressed = -TWICE_SECONDS
        self._commands: dict[str, Callable[[str], None]] = {
            "new": self._new, "sessions": self._sessions, "open": self._open, "last": self._last, "stop": self._stop,
            "approvals": self._approvals, "approve": self._approve, "reject": self._reject, "memory": self._memory,
            "help": lambda _: self._screen.line(HELP, ""), "quit": self._quit, "exit": self._quit,
        }  # fmt: skip

    def loop(self) -> None:
        """Until the person leaves."""
        self._prompt = PromptSession()
        typed = ""
        while True:
            try:
                with self._looking():
                    typed = self._prompt.prompt("you › ", default=typed)
                if typed == GOES_ON:
                    typed = self._prompt.default_buffer.text
                    self._answer(lambda: self._client.follow(self._run))
                    continue
                said, typed = typed.strip(), ""
                if said:
                    self.enter(said)
            except KeyboardInterrupt:
                typed = ""
                if self._pressed_again():
                    raise Leave from None
                self._screen.line("(Ctrl-C again leaves)")
            except Trouble as trouble:
                self._screen.line(trouble, "bold red")
            except (EOFError, Leave):
                return

    def enter(self, said: str) -> None:
        """What was typed: a command, or a message; raises Trouble or Leave."""
        if not said.startswith("/"):
            self.say(said)
            return
        name, _, rest = said[1:].partition(" ")
        command = self._commands.get(name.lower())
        if command is None:
            self._screen.line(f"There is no /{harmless.line(name, 30)}. /help lists what there is.", "yellow")
            return
        command(rest.strip())

    def say(self, text: str) -> str:
        """Send a message and show its answer; gives how that ended. Raises Trouble."""
        where = {"session_id": self.session} if self.session else {"companion": self.companion}
        self._run = Follower()
        return self._answer(lambda: self._client.say({"message": text, **where}, self._run))

    def resume(self, session_id: str) -> None:
        """Go on with a session, its last messages shown; raises Trouble."""
        found = self._client.get(f"/v1/ai/sessions/{session_id}", newest=True, limit=SHOWN)
        self.session, self.companion = str(found["id"]), str(found["companion"] or self.companion)
        self._run = Follower(run_id=str(found["active_run_id"] or ""))
        self._screen.line(f"── {harmless.line(found['title'] or 'untitled')} ──", "bold")
        for message in found["messages"]:
            who = "you" if message["role"] == "user" else "  "
            self._screen.line(f"{who} › {harmless.line(message['content'], 2_000)}", "")
        if self._run.run_id:
            self._answer(lambda: self._client.follow(self._run))

    def newest(self) -> str:
        """The session that was last spoken in, empty where there is none; raises Trouble."""
        query = {"companion": self.companion} if self.companion else {}
        rows = self._client.get("/v1/ai/sessions", limit=1, **query)["sessions"]
        return str(rows[0]["id"]) if rows else ""

    def _answer(self, events: Callable[[], Iterator[Event]]) -> str:
        """Show events to their end; Ctrl-C asks that the run stop, and reads on."""
        self._screen.begin()
        self._run.ended = False
        with self._stopping():
            for event in events():
                if event.name == "session":
                    self.session = str(event.data["session_id"])
                elif event.name == "approval_required":
                    self._ask(str(event.data["approval_id"]))
                else:
                    self._screen.show(event)
        if self._screen.status == "awaiting_approval":
            where = "there" if self._screen.plain else "here"
            gone = f" This command does not wait; the chat is at {self._client.url}." if self._screen.plain else ""
            self._screen.line(f"The answer waits for that.{gone} It goes on {where} once it is decided.", "yellow")
        elif self._screen.status == "awaiting_tools":
            self._screen.line("The answer waits for the result of a call that another client makes.", "yellow")
        return self._screen.status

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """While an answer comes, Ctrl-C stops it; the second leaves. It shows nothing: a word may be half shown."""

        def press(*_: object) -> None:
            if self._pressed_again():
                raise Leave
            threading.Thread(target=self._cancel, daemon=True).start()

        before = signal.signal(signal.SIGINT, press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _pressed_again(self) -> bool:
        """Whether Ctrl-C was pressed a moment ago already."""
        before, self._pressed = self._pressed, time.monotonic()
        return self._pressed - before < TWICE_SECONDS

    def _cancel(self) -> None:
        if self._run.run_id:
            with contextlib.suppress(Trouble):  # the stream says what came of it
                self._client.post(f"/v1/ai/runs/{self._run.run_id}/cancel")

    @contextlib.contextmanager
    def _looking(self) -> Iterator[None]:
        """While somebody types, look whether what waits for approval goes on, and take the prompt away then."""
        over = threading.Event()
        if self._screen.status != "awaiting_approval" or not self._run.run_id:
            yield
            return
        looker = threading.Thread(target=self._look, args=(over, self._run.run_id), daemon=True)
        looker.start()
        try:
            yield
        finally:
            over.set()

    def _look(self, over: threading.Event, run_id: str) -> None:
        while not over.wait(LOOK_SECONDS):
            with contextlib.suppress(Trouble):  # it may be back the next time
                if self._client.get(f"/v1/ai/runs/{run_id}")["status"] == "waiting_approval":
                    continue
                self._take_prompt_away(over)
                return

    def _take_prompt_away(self, over: threading.Event) -> None:
        app = self._prompt.app if self._prompt else None

        def leave() -> None:
            if app is not None and app.future is not None and not app.future.done():  # nothing was entered meanwhile
                app.exit(result=GOES_ON)

        if app is not None and app.loop is not None and not over.is_set():
            app.loop.call_soon_threadsafe(leave)

    def _ask(self, approval_id: str) -> None:
        """Show a request, with what one needs to decide it."""
        try:
            asked = self._client.get(f"/v1/ai/approvals/{approval_id}")
        except Trouble as trouble:  # the key may not read it; that something waits is told all the same
            self._screen.line(f"Something waits for approval ({approval_id}): {trouble}", "yellow")
            return
        if self._screen.approval(asked):
            self._shown[approval_id] = str(asked["digest"])

    def _approve(self, rest: str) -> None:
        self._decide(rest, "approve")

    def _reject(self, rest: str) -> None:
        self._decide(rest, "reject")

    def _decide(self, rest: str, decision: str) -> None:
        """Decide on exactly what was shown here; what was not is shown first."""
        approval_id, _, reason = rest.partition(" ")
        digest = self._shown.get(approval_id)
        if not approval_id or (decision == "reject" and not reason.strip()):
            needs = " and why" if decision == "reject" else ""
            self._screen.line(f"Say which{needs}: /{decision} ID{' why' if needs else ''}", "yellow")
        elif digest is None:
            self._ask(approval_id)
            if approval_id in self._shown:
                self._screen.line("This is what it is about. Say it again to decide.", "yellow")
        else:
            body = {"decision": decision, "digest": digest, "reason": reason.strip()}
            told = self._client.post(f"/v1/ai/approvals/{approval_id}", body)
            self._screen.line(f"● {harmless.line(told['status'], 20)}", "bold green")
            if told["status"] == "pending":
                self._screen.line("Others must decide too.")

    def _approvals(self, _: str) -> None:
        rows = self._client.get("/v1/ai/approvals", limit=20)["approvals"]
        for row in rows:
            about = f"{harmless.line(row['tool'], 60)}, {harmless.line(row['risk'], 20)}, {left(row['expires_at'])}"
            self._screen.line(f"{row['id']}  {about}: {harmless.line(row['summary'], 120)}", "")
        if not rows:
            self._screen.line("Nothing waits for approval.")

    def _new(self, _: str) -> None:
        self.session, self._run = "", Follower()
        self._screen.begin()
        self._screen.line("── a new session ──", "bold")

    def _sessions(self, _: str) -> None:
        rows = self._client.get("/v1/ai/sessions", limit=20)["sessions"]
        self._listed = [str(row["id"]) for row in rows]
        for number, row in enumerate(rows, 1):
            about = f"{harmless.line(row['updated_at'], 16)}  {harmless.line(row['companion'] or 'team', 30)}"
            self._screen.line(f"{number:>3}  {about}  {harmless.line(row['title'] or 'untitled', 80)}", "")
        if not rows:
            self._screen.line("There is none yet.")

    def _open(self, rest: str) -> None:
        if rest.isdecimal() and 0 < int(rest) <= len(self._listed):
            self.resume(self._listed[int(rest) - 1])
        else:
            self._screen.line("Say which: /sessions lists them with their numbers.", "yellow")

    def _last(self, _: str) -> None:
        if found := self.newest():
            self.resume(found)
        else:
            self._screen.line("There is none yet.")

    def _stop(self, _: str) -> None:
        if not self._run.run_id or self._screen.status not in ("awaiting_approval", "awaiting_tools"):
            self._screen.line("Nothing is under way.")
            return
        self._cancel()
        self._answer(lambda: self._client.follow(self._run))

    def _memory(self, words: str) -> None:
        query: dict[str, Any] = {"q": words} if words else {}
        rows = self._client.get("/v1/ai/memory", limit=20, **query)["memories"]
        for row in rows:
            self._screen.line(f"{harmless.line(row['type'], 30)}: {harmless.line(row['content'])}", "")
        if not rows:
            self._screen.line("Nothing is remembered.")

    def _quit(self, _: str) -> None:
        raise Leave
