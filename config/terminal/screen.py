"""What of an answer is shown, and how: words as they come, thoughts dim, calls and requests on lines of their own."""

from collections.abc import Callable
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

from rich.console import Console
from rich.text import Text

from config.terminal import harmless
from config.terminal.client import Event

RISKS = {"critical": "bold red", "dangerous": "red", "high": "red", "write": "yellow", "read": "green"}
LONGEST_ARGUMENTS = 10_000  # characters that somebody at a terminal reads to their end
WORDS = "none"  # the style of the answer itself: whatever the terminal has
WHY_NOT = {
    "requester": "not you: it was asked on your behalf",
    "role_required": "not you: a manager or an admin decides",
    "key_of_another": "not with this key, which somebody else made",
    "scope_required": "not with this key, whose scopes do not cover it",
}


class Screen:
    """The terminal; `plain` shows the answer's words alone, for pipes."""

    def __init__(self, out: Console, told: Console, *, plain: bool = False) -> None:
        self._out, self._told, self.plain = out, told, plain
        self._said = ""
        self._before = ""
        self._open = ""  # the style of the line that is not ended yet
        self.status = ""

    def begin(self) -> None:
        """A new answer."""
        self._said = self._before = self._open = self.status = ""

    def show(self, event: Event) -> None:
        """One event; what is not known is passed over."""
        handler: Callable[[dict[str, Any]], None] | None = getattr(self, f"_on_{event.name}", None)
        if handler is not None:
            handler(event.data)

    def line(self, text: object, style: str = "dim") -> None:
        """Something that is not of the answer, on a line of its own."""
        self._end_line()
        self._told.print(Text(harmless.text(str(text)), style=style), soft_wrap=True)

    def approval(self, asked: dict[str, Any]) -> bool:
        """A request with exactly what would run; False where that is more than can be judged here."""
        risk = harmless.line(asked["risk"], 20)
        self.line(f"── {harmless.line(asked['tool'], 100)} waits for approval ──", "bold")
        self.line(f"   what    {harmless.line(asked.get('summary') or '(no summary)', 500)}", "")
        arguments = harmless.exact(asked["arguments"])
        whole = len(arguments) <= LONGEST_ARGUMENTS
        told = arguments if whole else f"({len(arguments):,} characters of arguments, too many to show)"
        self.line(indent(told, " " * 11), "")
        self.line(f"   risk    {risk}", RISKS.get(risk, "yellow"))
        quorum = asked["quorum"]["approve"]
        self.line(f"   who     {_who(asked)}" + (f"; {quorum} must approve" if quorum > 1 else ""), "")
        self.line(f"   until   {left(asked['expires_at'])}", "")
        self.line(f"   digest  {harmless.line(asked['digest'], 64)}", "")
        if not whole:
            self.line(f"   Look at it and decide at /approvals/{asked['id']}/ in a browser.", "cyan")
        elif asked["may_decide"]:
            self.line(f"   /approve {asked['id']}   or   /reject {asked['id']} why", "cyan")
        return whole

    def _say(self, text: str, style: str) -> None:
        if self._open != style:
            self._end_line()
        self._out.print(Text(harmless.text(text), style=style), end="", soft_wrap=True)
        self._out.file.flush()
        self._open = "" if text.endswith("\n") else style

    def _end_line(self) -> None:
        if self._open:
            self._out.print()
        self._open = ""

    def _on_delta(self, data: dict[str, Any]) -> None:
        text = str(data.get("text", ""))
        self._said += text
        if not self._before:
            self._say(text, WORDS)
        elif self._before.startswith(self._said):
            return  # it was shown before the stream was cut
        elif self._said.startswith(self._before):
            self._say(self._said[len(self._before) :], WORDS)
            self._before = ""
        else:
            self._before = ""
            self.line("(the answer begins anew)")
            self._say(self._said, WORDS)

    def _on_reasoning(self, data: dict[str, Any]) -> None:
        if not self.plain:
            self._say(str(data.get("text", "")), "dim italic")

    def _on_restart(self, data: dict[str, Any]) -> None:
        self._before, self._said = self._before or self._said, ""

    def _on_tool_call(self, data: dict[str, Any]) -> None:
        given = ", ".join(f"{name}={value!r}" for name, value in (data.get("arguments") or {}).items())
        where = "  (another client is to make this call)" if data.get("client") else ""
        self.line(f"→ {harmless.line(data.get('name'), 100)}({harmless.line(given)}){where}", "cyan")

    def _on_tool_result(self, data: dict[str, Any]) -> None:
        mark, style = ("✓", "green") if data.get("ok") else ("✗", "red")
        self.line(f"{mark} {harmless.line(data.get('name'), 100)}: {harmless.line(data.get('summary'))}", style)

    def _on_approval_decided(self, data: dict[str, Any]) -> None:
        by = f" by {harmless.line(data['by'], 100)}" if data.get("by") else ""
        why = f": {harmless.line(data['reason'])}" if data.get("reason") else ""
        self.line(f"● {harmless.line(data.get('decision'), 20)}{by}{why}", "bold")

    def _on_status(self, data: dict[str, Any]) -> None:
        self.line(f"· {harmless.line(data.get('label'))}")

    def _on_team(self, data: dict[str, Any]) -> None:
        names = ", ".join(harmless.line(one.get("agent_name"), 60) for one in data.get("members", ()))
        self.line(f"· {names} answer together ({harmless.line(data.get('mode'), 30)})")

    def _on_error(self, data: dict[str, Any]) -> None:
        self.status = "failed"
        self.line(f"{harmless.line(data.get('message'), 500)} ({harmless.line(data.get('code'), 60)})", "bold red")

    def _on_done(self, data: dict[str, Any]) -> None:
        self.status = str(data.get("status", ""))
        self._end_line()
        if self.status == "cancelled":
            self.line("(stopped)")


def left(until: str) -> str:
    """How long it is until then, in words."""
    try:
        seconds = int((datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return harmless.line(until, 40)
    if seconds <= 0:
        return "over"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min left" if hours else f"{minutes} min {seconds % 60} s left"


def _who(asked: dict[str, Any]) -> str:
    if asked["may_decide"]:
        return "you may decide"
    why = str(asked.get("why_not") or "")
    return WHY_NOT.get(why, f"not you ({harmless.line(why, 60)})")
