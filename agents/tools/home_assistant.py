"""Home Assistant's REST API: states as devices, and commands as calls of its services."""

from typing import Any
from urllib.parse import quote

import msgspec

from agents.tools import http
from agents.tools.devices import TAKES, Device
from agents.tools.http import Remote

SERVICES: dict[tuple[str, str], tuple[str, str]] = {  # its service, and its name for the value
    ("light", "set"): ("turn_on", "brightness_pct"),
    ("fan", "set"): ("set_percentage", "percentage"),
    ("climate", "set"): ("set_temperature", "temperature"),
    ("cover", "set"): ("set_cover_position", "position"),
    ("cover", "open"): ("open_cover", ""),
    ("cover", "close"): ("close_cover", ""),
    ("lock", "lock"): ("lock", ""),
    ("lock", "unlock"): ("unlock", ""),
}
VALUES = {"light": "brightness", "fan": "percentage", "climate": "temperature", "cover": "current_position"}


class _State(msgspec.Struct):
    entity_id: str
    state: str
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)


async def devices(remote: Remote) -> list[Device]:
    """The devices that can be controlled; raises ToolError."""
    found = http.decode(remote, await http.request(remote, "GET", "/api/states"), list[_State])
    return [_device(one) for one in found if one.entity_id.partition(".")[0] in TAKES]


async def device(remote: Remote, name: str) -> Device:
    """One device; raises ToolFailed where there is none, ToolError."""
    raw = await http.request(remote, "GET", f"/api/states/{quote(name, safe='')}")
    return _device(http.decode(remote, raw, _State))


async def command(remote: Remote, on: Device, order: str, value: float | None = None) -> Device | None:
    """Tell the device, and give its new state where it is told at once; raises ToolError."""
    service, name = SERVICES.get((on.kind, order), (f"turn_{order}", ""))
    body: dict[str, Any] = {"entity_id": on.device}
    if name:
        body[name] = value
    raw = await http.request(remote, "POST", f"/api/services/{on.kind}/{service}", body=body)
    try:
        changed = msgspec.json.decode(raw, type=list[_State])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # it was done: an answer without words is none the worse
    return next((_device(one) for one in changed if one.entity_id == on.device), None)


def _device(state: _State) -> Device:
    kind = state.entity_id.partition(".")[0]
    value = state.attributes.get(VALUES.get(kind, ""))
    number = float(value) if isinstance(value, int | float) else None
    if kind == "light":
        number = 0.0 if state.state == "off" else number and round(number / 2.55)
    return Device(
        device=state.entity_id,
        name=str(state.attributes.get("friendly_name") or state.entity_id),
        state=state.state,
        value=number,
        device_class=str(state.attributes.get("device_class") or ""),
    )
