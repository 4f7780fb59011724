"""Home Assistant's REST API as far as the tools use it, over real HTTP, answering as version 2026.6 does.

`calls` are the service calls that it has carried out.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.servers.plain import Handler

TOKEN = "eyJhbGciOiJIUzI1NiJ9.long-lived.home-assistant"
AT = "2026-07-01T06:00:00.000000+00:00"


def state(entity_id: str, now: str, name: str, **attributes: Any) -> dict[str, Any]:
    """A state as Home Assistant has it."""
    return {
        "entity_id": entity_id,
        "state": now,
        "attributes": {**attributes, "friendly_name": name},
        "last_changed": AT,
        "last_reported": AT,
        "last_updated": AT,
        "context": {"id": "01JZ", "parent_id": None, "user_id": None},
    }


@dataclass
class Home:
    """The states, and what was called."""

    token: str = TOKEN
    quiet: bool = False  # answers of service calls list no changed state, as of devices that take their time
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        states = (
            state("light.kitchen", "on", "Kitchen Light", brightness=128, supported_color_modes=["brightness"]),
            state("light.hall", "off", "Hall Light", brightness=None, supported_color_modes=["brightness"]),
            state("climate.hall", "heat", "Hall", temperature=20.5, current_temperature=19.8, hvac_modes=["heat"]),
            state("cover.garage", "closed", "Garage", current_position=0, device_class="garage"),
            state("cover.bedroom", "open", "Bedroom Shade", current_position=100, device_class="shade"),
            state("lock.front", "locked", "Front Door"),
            state("sun.sun", "above_horizon", "Sun", elevation=31.4),
            state("sensor.power", "412", "Power", unit_of_measurement="W"),
        )
        self.states = {one["entity_id"]: one for one in states}

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def call(self, service: str, data: dict[str, Any]) -> list[dict[str, Any]]:
        """Carry out a service call; the states that changed."""
        self.calls.append((service, data))
        one = self.states.get(data["entity_id"])
        if one is None:
            return []  # Home Assistant only logs that the entity is not there
        after = {
            "turn_on": "on", "turn_off": "off", "lock": "locked", "unlock": "unlocked",
            "open_cover": "open", "close_cover": "closed",
        }  # fmt: skip
        one["state"] = after.get(service.partition("/")[2], one["state"])
        if "brightness_pct" in data:
            one["attributes"]["brightness"] = round(data["brightness_pct"] * 2.55)
        if "temperature" in data:
            one["attributes"]["temperature"] = data["temperature"]
        if "position" in data:
            one["attributes"]["current_position"] = data["position"]
        return [] if self.quiet else [one]


SERVICES = {
    "light/turn_on", "light/turn_off", "switch/turn_on", "switch/turn_off", "climate/set_temperature",
    "climate/turn_on", "climate/turn_off", "cover/open_cover", "cover/close_cover", "cover/set_cover_position",
    "lock/lock", "lock/unlock",
}  # fmt: skip


class _Home(Handler):
    """One connection."""

    def answer(self, body: bytes) -> None:
        """Answer the request at hand."""
        home: Home = self.server.state  # type: ignore[attr-defined]
        if self.headers.get("Authorization") != f"Bearer {home.token}":
            self.text(401, b"401: Unauthorized")
            return
        match (self.command, [unquote(part) for part in self.path.strip("/").split("/")]):
            case "GET", ["api", "states"]:
                self.json(200, list(home.states.values()))
            case "GET", ["api", "states", name] if name in home.states:
                self.json(200, home.states[name])
            case "GET", ["api", "states", _]:
                self.json(404, {"message": "Entity not found."})
            case "POST", ["api", "services", domain, service] if f"{domain}/{service}" in SERVICES:
                self.json(200, home.call(f"{domain}/{service}", json.loads(body)))
            case "POST", ["api", "services", _, _]:
                self.text(400, b"400: Bad Request")
            case _:
                self.text(404, b"404: Not Found")


@contextmanager
def running() -> Iterator[Home]:
    """A home for as long as the block lasts."""
    home = Home()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Home)
    server.daemon_threads = True
    server.state = home  # type: ignore[attr-defined]
    home.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield home
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
