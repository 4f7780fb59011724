"""Devices of a home: what each kind takes, and what it is afterwards. Pure: it knows no home."""

import msgspec

from core.errors import Invalid


class Device(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device; `value` is a lamp's brightness, a thermostat's temperature, how far a cover is open."""

    device: str
    name: str
    state: str
    room: str = ""
    value: float | None = None
    device_class: str = ""

    @property
    def kind(self) -> str:
        """The part of its id before the dot, such as `light`."""
        return self.device.partition(".")[0]

    @property
    def entry(self) -> bool:
        """Whether somebody could come in by it once it is open."""
        return self.kind == "lock" or (self.kind == "cover" and self.device_class in ENTRIES)


ENTRIES = ("door", "garage", "gate")
RANGES = {"light": (0, 100, "%"), "fan": (0, 100, "%"), "cover": (0, 100, "% open"), "climate": (5, 35, "degrees")}
TAKES = {
    "light": ("on", "off", "set"),
    "fan": ("on", "off", "set"),
    "switch": ("on", "off"),
    "climate": ("on", "off", "set"),
    "cover": ("open", "close", "set"),
    "lock": ("lock",),
}
ON = {"climate": "heat"}  # what being on is called, where it is not `on`


def check(device: Device, command: str, value: float | None) -> None:
    """Whether the device takes the command; raises Invalid, with what it takes."""
    takes = TAKES.get(device.kind, ())
    if command not in takes:
        other = " Use door_unlock to open it." if device.kind == "lock" else ""
        raise Invalid.field("command", f"{device.device} takes {', '.join(takes) or 'no command'}.{other}")
    if device.entry and command in ("open", "set"):
        raise Invalid.field("command", f"{device.device} is a way in. Use door_unlock to open it.")
    if command != "set":
        if value is not None:
            raise Invalid.field("value", "it is given with `set` alone.")
        return
    low, high, unit = RANGES[device.kind]
    if value is None or not low <= value <= high:
        raise Invalid.field("value", f"`set` of {device.device} needs one of {low} to {high} {unit}.")


def check_entry(device: Device) -> None:
    """Whether it is a way in; raises Invalid."""
    if not device.entry:
        raise Invalid.field("door", f"{device.device} is neither a lock nor a door, a garage or a gate.")


def after(device: Device, command: str, value: float | None = None) -> Device:
    """The device as it is when it has done what it was told."""
    state, now = device.state, device.value
    match command:
        case "on":
            state = ON.get(device.kind, "on")
            now = 100 if device.kind in ("light", "fan") and not now else now
        case "off":
            state = "off"
            now = 0 if device.kind in ("light", "fan") else now
        case "lock" | "unlock":
            state = f"{command}ed"
        case "open" | "close":
            state, now = ("open", 100) if command == "open" else ("closed", 0)
        case "set":
            now = value
            if device.kind == "cover":
                state = "open" if value else "closed"
            elif device.kind != "climate":
                state = "on" if value else "off"
    return msgspec.structs.replace(device, state=state, value=now)


def told(device: Device) -> str:
    """Its state in a few words."""
    if device.value is None:
        return device.state
    return f"{device.state}, {device.value:g} {RANGES[device.kind][2] if device.kind in RANGES else ''}".strip()
