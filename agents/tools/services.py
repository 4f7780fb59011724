"""Tools for services: their state and their logs, and to restart, stop and start them.

They work on a workspace's inventory, which is any server that speaks the few requests of docs/tools.md, or on the
sandbox inventory.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Meta

from agents.models import ConnectionKind
from agents.tools import http, sandbox
from agents.tools.http import Remote
from agents.tools.registry import Change, Context, Preview, Retry, Risk, ToolError, ToolResult, tool
from core import bridge
from core.errors import Invalid

SANDBOX = "sandbox inventory"
LOG_ROOM = 16_000  # characters of a log that a model is told: the latest lines
LONGEST_LINE = 1_000
MOST_NAMED = 30
WHERE = http.place(ConnectionKind.INVENTORY)
PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # of names, which become a part of a path

Name = Annotated[str, Meta(description="The name of the service.", pattern=PATTERN)]
Lines = Annotated[int, Meta(description="How many of the latest lines.", ge=1, le=sandbox.MOST_LINES)]


class Service(msgspec.Struct, omit_defaults=True):
    """A service as the inventory tells of it."""

    name: str
    state: str
    since: str = ""
    version: str = ""


class _Services(msgspec.Struct):
    services: list[Service]


class _Log(msgspec.Struct):
    lines: list[str]


class _Verb(msgspec.Struct, frozen=True):
    """What a change is called before and after it, and the state that it leads to."""

    order: str
    done: str
    state: str


VERBS = {
    "restart": _Verb("Restart", "restarted", "running"),
    "stop": _Verb("Stop", "stopped", "stopped"),
    "start": _Verb("Start", "started", "running"),
}


def _inventory(workspace_id: UUID, place: str = "") -> Remote | None:
    return http.connected(workspace_id, ConnectionKind.INVENTORY, place)


def _in_sandbox(workspace_id: UUID) -> list[Service]:
    found = sandbox.items(workspace_id, sandbox.INVENTORY)
    return [Service(name, state["state"], state["since"], state["version"]) for name, state in found.items()]


async def _listed(remote: Remote) -> list[Service]:
    return http.decode(remote, await http.request(remote, "GET", "/services"), _Services).services


async def _one(remote: Remote, name: str) -> Service:
    return http.decode(remote, await http.request(remote, "GET", f"/services/{quote(name, safe='')}"), Service)


async def _names(remote: Remote) -> list[str]:
    """The names by which services can be asked for: a name that does not fit into a path is passed over."""
    return [service.name for service in await _listed(remote) if re.fullmatch(PATTERN, service.name)]


def _known(workspace_id: UUID) -> list[str] | None:
    """The names of the workspace's services; None where its inventory does not tell."""
    try:
        remote = _inventory(workspace_id)
    except ToolError:
        return None
    return http.names(remote, _names) if remote else sandbox.names(workspace_id, sandbox.INVENTORY)


def _choices(workspace_id: UUID) -> Mapping[str, Sequence[str]]:
    return {"service": _known(workspace_id) or ()}


def _exists(context: Context, service: str | None = None, **_: Any) -> None:
    """Refuse a name that no service has, as far as the inventory can be asked; raises Invalid."""
    known = _known(context.workspace_id)
    if service is None or known is None or service in known:
        return
    if remote := _inventory(context.workspace_id):  # it may be a new one
        http.forget(remote)
        known = _known(context.workspace_id)
        if known is None or service in known:
            return
    there = ", ".join(known[:MOST_NAMED]) + (", …" if len(known) > MOST_NAMED else "")
    raise Invalid.field("service", f"there is none of this name; there are: {there or 'none at all'}.")


def _previewed(verb: str) -> Callable[..., Preview]:
    """A preview of a change: the service as it is, and as it would be."""

    def preview(context: Context, service: str) -> Preview:
        words = VERBS[verb]
        where, now, unknown = SANDBOX, Service(service, "not known now"), ""
        try:
            if remote := _inventory(context.workspace_id):
                where = remote.place
                now = http.look(remote, partial(_one, name=service))
            else:
                now = next((one for one in _in_sandbox(context.workspace_id) if one.name == service), now)
        except ToolError as error:
            unknown = error.detail
        after = words.state if verb != "restart" else "running, restarted"
        details = {
            "where": where,
            "not known because": unknown,
            "in this state since": now.since,
            "version": now.version,
        }
        return Preview(
            f"{words.order} the service {service} ({where}).",
            [Change(f"state of {service}", now.state, after)],
            details={name: value for name, value in details.items() if value},
        )

    return preview


@tool(risk=Risk.READ, retry=Retry.IDEMPOTENT, timeout=15, validate=_exists, narrow=_choices, where=WHERE)
async def service_status(context: Context, service: Name | None = None) -> ToolResult:
    """Tell the status of a service, or of all: running or stopped, since when, in which version."""
    remote = await bridge.in_thread(_inventory, context.workspace_id, context.place)
    if remote is None:
        found = await bridge.in_thread(_in_sandbox, context.workspace_id)
        found = [one for one in found if service in (None, one.name)]
    else:
        found = await _listed(remote) if service is None else [await _one(remote, service)]
    where = remote.title if remote else SANDBOX
    return ToolResult(_json({"from": where, "services": found}), f"{_counted(found)} ({where})")


@tool(risk=Risk.READ, retry=Retry.IDEMPOTENT, timeout=15, validate=_exists, narrow=_choices, where=WHERE)
async def service_logs(context: Context, service: Name, lines: Lines = 50) -> ToolResult:
    """Read the latest lines of a service's logs."""
    remote = await bridge.in_thread(_inventory, context.workspace_id, context.place)
    if remote is None:
        items = await bridge.in_thread(sandbox.items, context.workspace_id, sandbox.INVENTORY)
        found = list(items.get(service, {}).get("log", []))
    else:
        path = f"/services/{quote(service, safe='')}/logs?lines={lines}"
        found = http.decode(remote, await http.request(remote, "GET", path), _Log).lines
    where = remote.title if remote else SANDBOX
    told = _latest(found[-lines:])
    content = _json({"from": where, "service": service, "lines": told})
    return ToolResult(content, f"{len(told)} lines of {service}'s log ({where})")


@tool(
    risk=Risk.DESTRUCTIVE, retry=Retry.KEYED, timeout=60,
    validate=_exists, preview=_previewed("restart"), narrow=_choices, where=WHERE,
)  # fmt: skip
async def service_restart(context: Context, service: Name) -> ToolResult:
    """Restart a service: it is away for a moment, and what it is doing breaks off."""
    return await _change(context, "restart", service)


@tool(
    risk=Risk.DESTRUCTIVE, retry=Retry.KEYED, timeout=60,
    validate=_exists, preview=_previewed("stop"), narrow=_choices, where=WHERE,
)  # fmt: skip
async def service_stop(context: Context, service: Name) -> ToolResult:
    """Stop a service, until somebody starts it again."""
    return await _change(context, "stop", service)


@tool(
    risk=Risk.EXTERNAL, retry=Retry.KEYED, timeout=60,
    validate=_exists, preview=_previewed("start"), narrow=_choices, where=WHERE,
)  # fmt: skip
async def service_start(context: Context, service: Name) -> ToolResult:
    """Start a service that is stopped."""
    return await _change(context, "start", service)


async def _change(context: Context, verb: str, name: str) -> ToolResult:
    remote = await bridge.in_thread(_inventory, context.workspace_id, context.place)
    where = remote.title if remote else SANDBOX
    if remote is None:
        given = {"service": name}
        now = await bridge.in_thread(
            sandbox.change, context, sandbox.INVENTORY, name,
            tool=f"service_{verb}", arguments=given, by=_in_the_sandbox(verb),
        )  # fmt: skip
    else:
        path = f"/services/{quote(name, safe='')}/{verb}"
        now = _state_in(await http.request(remote, "POST", path, key=context.key))
    now.setdefault("done", VERBS[verb].done)
    state = f" It is {now['state']} since {now['since']}." if now.get("state") and now.get("since") else ""
    content = _json({"from": where, "service": name, **now})
    return ToolResult(content, f"{name}: {now['done']} ({where}).{state}")


def _in_the_sandbox(verb: str) -> Callable[[sandbox.State, str], sandbox.State]:
    def by(state: sandbox.State, at: str) -> sandbox.State:
        words = VERBS[verb]
        if verb != "restart" and state["state"] == words.state:
            return {"done": f"nothing, it was {words.state} already", "state": state["state"], "since": state["since"]}
        state["state"], state["since"] = words.state, at
        sandbox.noted(state, at, f"INFO {words.done} by an agent's action")
        return {"done": words.done, "state": words.state, "since": at, "version": state["version"]}

    return by


def _state_in(raw: bytes) -> dict[str, str]:
    """What an inventory says after a change; it was made, so that an answer without words is none the worse."""
    try:
        told = msgspec.json.decode(raw, type=Service)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {key: value for key in ("state", "since", "version") if (value := getattr(told, key))}


def _counted(found: Sequence[Service]) -> str:
    if len(found) == 1:
        return f"{found[0].name} is {found[0].state}"
    away = [one.name for one in found if one.state != "running"]
    return f"{len(found)} services, " + (f"not running: {', '.join(away[:MOST_NAMED])}" if away else "all running")


def _latest(lines: Sequence[str]) -> list[str]:
    """As many of the latest lines as there is room for."""
    kept, room = list[str](), LOG_ROOM
    for line in reversed(lines):
        room -= min(len(line), LONGEST_LINE)
        if room < 0:
            break
        kept.append(line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…")
    return kept[::-1]


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()  # a key that comes again is told the same
