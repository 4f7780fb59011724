"""Tools for a home: its devices, and to control them. They work on Home Assistant or on the sandbox home."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from agents.models import ConnectionKind
from agents.tools import devices, home_assistant, http, sandbox
from agents.tools.devices import Device
from agents.tools.http import Remote
from agents.tools.registry import Change, Context, Preview, Retry, Risk, ToolError, ToolResult, tool
from core import bridge
from core.errors import Invalid

SANDBOX = "sandbox home"
MOST_NAMED = 30

WHERE = http.place(ConnectionKind.HOME_ASSISTANT)
PATTERN = r"^[a-z_]{1,40}\.[a-z0-9_]{1,100}$"  # of ids, as Home Assistant has them

Id = Annotated[str, Meta(description="The id of the device.", pattern=PATTERN)]
Room = Annotated[str, Meta(description="Only devices with this in their room, name or id.", max_length=100)]
Command = Literal["on", "off", "set", "lock", "open", "close"]
Value = Annotated[float, Meta(description="With set: brightness or opening in percent, or a temperature.")]


def _home(workspace_id: UUID, place: str = "") -> Remote | None:
    return http.connected(workspace_id, ConnectionKind.HOME_ASSISTANT, place)


def _in_sandbox(workspace_id: UUID) -> list[Device]:
    found = sandbox.items(workspace_id, sandbox.HOME)
    return [_of_sandbox(name, state) for name, state in found.items()]


def _of_sandbox(name: str, state: sandbox.State) -> Device:
    return msgspec.convert({"device": name, **state}, Device)


async def _names(remote: Remote) -> list[str]:
    return [one.device for one in await home_assistant.devices(remote) if re.fullmatch(PATTERN, one.device)]


def _known(workspace_id: UUID) -> list[str]:
    """The ids of the workspace's devices; none where its home does not tell."""
    try:
        remote = _home(workspace_id)
    except ToolError:
        return []
    return http.names(remote, _names) or [] if remote else sandbox.names(workspace_id, sandbox.HOME)


def _choices(workspace_id: UUID) -> Mapping[str, Sequence[str]]:
    known = _known(workspace_id)
    return {"device": known, "door": [name for name in known if name.startswith(("lock.", "cover."))]}


def _looked_up(workspace_id: UUID, name: str, field: str) -> Device | None:
    """The device as it is; None where the home cannot be asked; raises Invalid where there is none of this name."""
    try:
        remote = _home(workspace_id)
        found = http.look(remote, home_assistant.devices) if remote else _in_sandbox(workspace_id)
    except ToolError:
        return None
    for one in found:
        if one.device == name:
            return one
    names = [one.device for one in found if re.fullmatch(PATTERN, one.device)]
    there = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    raise Invalid.field(field, f"there is none of this id; there are: {there or 'none at all'}.")


def _takes(context: Context, device: str, command: str, value: float | None) -> None:
    found = _looked_up(context.workspace_id, device, "device")
    devices.check(found or Device(device, device, "not known now"), command, value)


def _is_door(context: Context, door: str) -> None:
    found = _looked_up(context.workspace_id, door, "door")
    if found:
        devices.check_entry(found)


def _preview(context: Context, name: str, field: str, order: str, value: float | None) -> Preview:
    """A command: the device as it is, and as it would be."""
    try:
        remote = _home(context.workspace_id)
        where = remote.place if remote else SANDBOX
        now = _looked_up(context.workspace_id, name, field)
    except ToolError as error:
        where, now = error.detail, None
    words = f"{order} to {value:g}" if value is not None else order
    sentence = f"{words.capitalize()}: {now.name if now else name} ({where})."
    if now is None:
        return Preview(sentence, details={"device": name, "where": where, "state": "not known now"})
    change = Change(f"state of {name}", devices.told(now), devices.told(devices.after(now, order, value)))
    return Preview(sentence, [change], details={"device": name, "room": now.room or "not told", "where": where})


def _control_preview(context: Context, device: str, command: str, value: float | None) -> Preview:
    return _preview(context, device, "device", command, value)


def _unlock_preview(context: Context, door: str) -> Preview:
    return _preview(context, door, "door", _opening(door), None)


def _opening(door: str) -> str:
    return "unlock" if door.startswith("lock.") else "open"


@tool(risk=Risk.READ, retry=Retry.IDEMPOTENT, timeout=15, where=WHERE)
async def device_list(context: Context, room: Room | None = None) -> ToolResult:
    """List the devices of the home with their states: lamps, switches, thermostats, covers and locks."""
    remote = await bridge.in_thread(_home, context.workspace_id, context.place)
    if remote is None:
        found = await bridge.in_thread(_in_sandbox, context.workspace_id)
    else:
        found = await home_assistant.devices(remote)
    if room:
        wanted = "".join(room.casefold().split())
        found = [one for one in found if wanted in _searched(one)]
    where = remote.title if remote else SANDBOX
    content = msgspec.json.encode({"from": where, "devices": found}).decode()
    return ToolResult(content, f"{len(found)} devices ({where})")


@tool(
    risk=Risk.WRITE, retry=Retry.IDEMPOTENT, timeout=30,
    validate=_takes, preview=_control_preview, narrow=_choices, where=WHERE,
)  # fmt: skip
async def device_control(context: Context, device: Id, command: Command, value: Value | None = None) -> ToolResult:
    """Control a device: on, off, lock, open, close, or set to a value. It opens no door: door_unlock does."""
    given = {"device": device, "command": command, "value": value}
    order = _Order("device_control", given, device, command, value)
    return await _do(context, order, lambda found: devices.check(found, command, value))


# A door that somebody has locked meanwhile must not open because an attempt is repeated: so nothing repeats it.
@tool(
    risk=Risk.DESTRUCTIVE, retry=Retry.UNKNOWN, timeout=30,
    validate=_is_door, preview=_unlock_preview, narrow=_choices, where=WHERE,
)  # fmt: skip
async def door_unlock(context: Context, door: Id) -> ToolResult:
    """Unlock a lock, or open a garage door or a gate: somebody can come in."""
    return await _do(context, _Order("door_unlock", {"door": door}, door, _opening(door)), devices.check_entry)


@dataclass(frozen=True, slots=True)
class _Order:
    """What a device is told to do, and by which call."""

    tool: str
    arguments: dict[str, Any]
    device: str
    command: str
    value: float | None = None


async def _do(context: Context, order: _Order, check: Callable[[Device], None]) -> ToolResult:
    """Tell a device, whose state of now is checked again; raises Invalid or ToolError."""
    remote = await bridge.in_thread(_home, context.workspace_id, context.place)
    if remote is None:
        where = SANDBOX
        now: Device | None = await bridge.in_thread(_do_in_sandbox, context, order, check)
    else:
        where = remote.title
        found = await home_assistant.device(remote, order.device)
        check(found)
        now = await home_assistant.command(remote, found, order.command, order.value)
    told = devices.told(now) if now else "told to, and not there yet"
    name = now.name if now else order.device
    answer = {"from": where, "done": order.command, "device": order.device, "name": name, "state": told}
    return ToolResult(msgspec.json.encode(answer).decode(), f"{name}: {order.command}; {told} ({where})")


def _do_in_sandbox(context: Context, order: _Order, check: Callable[[Device], None]) -> Device:
    def by(state: sandbox.State, _: str) -> sandbox.State:
        found = _of_sandbox(order.device, state)
        check(found)
        now = devices.after(found, order.command, order.value)
        state.update(state=now.state, value=now.value)
        return msgspec.to_builtins(now)  # type: ignore[no-any-return]

    told = sandbox.change(context, sandbox.HOME, order.device, tool=order.tool, arguments=order.arguments, by=by)
    return msgspec.convert(told, Device)


def _searched(device: Device) -> str:
    return "".join(f"{device.room}{device.name}{device.device}".casefold().replace("_", "").split())
