"""Home Assistant over its REST API: what is read of its states, and which of its services are called."""

import json

import pytest

from agents.models import Connection, ConnectionKind, SandboxItem
from agents.tools import registry
from agents.tools.registry import ToolFailed
from core.errors import Invalid
from tests.agents.conftest import call, shown
from tests.servers import home_assistant
from tests.servers.home_assistant import TOKEN


@pytest.fixture
def server():
    with home_assistant.running() as server:
        yield server


@pytest.fixture
def connected(server, context, workspace):
    """The workspace is connected to Home Assistant; the maker of contexts."""
    Connection.objects.create(
        workspace=workspace, kind=ConnectionKind.HOME_ASSISTANT, base_url=server.base_url, token=TOKEN
    )
    return context


def test_devices_are_its_states_without_what_cannot_be_controlled(connected):
    told = json.loads(call("device_list", connected()).content)
    assert told["from"] == "Home Assistant"
    assert {one["device"]: (one["name"], one["state"], one.get("value")) for one in told["devices"]} == {
        "light.kitchen": ("Kitchen Light", "on", 50),
        "light.hall": ("Hall Light", "off", 0),
        "climate.hall": ("Hall", "heat", 20.5),
        "cover.garage": ("Garage", "closed", 0),
        "cover.bedroom": ("Bedroom Shade", "open", 100),
        "lock.front": ("Front Door", "locked", None),
    }
    assert not SandboxItem.objects.exists()


def test_devices_are_found_by_name_or_id(connected):
    told = json.loads(call("device_list", connected(), room="hall").content)
    assert [one["device"] for one in told["devices"]] == ["light.hall", "climate.hall"]


@pytest.mark.parametrize(
    ("arguments", "service", "data"),
    [
        ({"device": "light.hall", "command": "on"}, "light/turn_on", {}),
        ({"device": "light.kitchen", "command": "off"}, "light/turn_off", {}),
        ({"device": "light.kitchen", "command": "set", "value": 20}, "light/turn_on", {"brightness_pct": 20}),
        ({"device": "climate.hall", "command": "set", "value": 21}, "climate/set_temperature", {"temperature": 21}),
        ({"device": "cover.bedroom", "command": "close"}, "cover/close_cover", {}),
        ({"device": "cover.bedroom", "command": "open"}, "cover/open_cover", {}),
        ({"device": "cover.bedroom", "command": "set", "value": 30}, "cover/set_cover_position", {"position": 30}),
        ({"device": "lock.front", "command": "lock"}, "lock/lock", {}),
    ],
)
def test_a_command_is_a_call_of_its_service(server, connected, arguments, service, data):
    result = call("device_control", connected(), **arguments)
    assert server.calls == [(service, {"entity_id": arguments["device"], **data})]
    assert "(Home Assistant)" in result.summary


@pytest.mark.parametrize(
    ("door", "service", "state"),
    [("lock.front", "lock/unlock", "unlocked"), ("cover.garage", "cover/open_cover", "open, 0 % open")],
)
def test_a_door_is_opened_by_a_tool_of_its_own(server, connected, door, service, state):
    assert json.loads(call("door_unlock", connected(), door=door).content)["state"] == state
    assert server.calls == [(service, {"entity_id": door})]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("device_control", {"device": "cover.garage", "command": "open"}, "is a way in"),
        ("device_control", {"device": "light.attic", "command": "on"}, "there are: light.kitchen, light.hall"),
        ("device_control", {"device": "sensor.power", "command": "on"}, "there is none of this id"),
        ("door_unlock", {"door": "cover.bedroom"}, "neither a lock nor a door"),
    ],
)
def test_what_a_device_does_not_take_never_leaves(server, connected, name, arguments, said):
    with pytest.raises(Invalid, match=said):
        call(name, connected(), **arguments)
    assert server.calls == []


def test_a_garage_is_not_opened_even_where_it_was_not_known_to_be_one(server, connected, monkeypatch):
    """At the time of the check Home Assistant did not answer; at the time of the call it does."""
    monkeypatch.setattr(registry, "validate", lambda *_: None)
    with pytest.raises(ToolFailed, match="is a way in"):
        call("device_control", connected(), device="cover.garage", command="open")
    with pytest.raises(ToolFailed, match="Home Assistant answered 404: Entity not found"):
        call("device_control", connected(), device="light.attic", command="on")
    assert server.calls == []


def test_a_device_that_takes_its_time_is_not_said_to_be_there(server, connected):
    server.quiet = True
    told = json.loads(call("device_control", connected(), device="lock.front", command="lock").content)
    assert (told["name"], told["state"]) == ("lock.front", "told to, and not there yet")


def test_a_token_that_is_refused_is_said_so(server, connected):
    server.token = "another"
    with pytest.raises(ToolFailed) as caught:
        call("device_list", connected())
    assert caught.value.detail == "Home Assistant refused the token of the connection."


def test_a_manager_reads_the_state_before_and_after(server, connected):
    found = shown("device_control", connected(), device="light.kitchen", command="set", value=20)
    place = f"Home Assistant at 127.0.0.1:{server.port}"
    assert found["sentence"] == f"Set to 20: Kitchen Light ({place})."
    assert found["diff"] == [{"what": "state of light.kitchen", "before": "on, 50 %", "after": "on, 20 %"}]


def test_a_home_that_does_not_answer_is_previewed_all_the_same(server, connected):
    Connection.objects.update(base_url="http://home.invalid")
    found = shown("door_unlock", connected(), door="lock.front")
    assert found["sentence"] == "Unlock: lock.front (Home Assistant at home.invalid)."
    assert found["diff"] is None
    assert found["details"]["state"] == "not known now"


def test_a_model_is_offered_the_devices_there_are(server, connected, workspace):
    control, unlock = registry.offered(workspace.pk, ["device_control", "door_unlock"])
    assert len(control.parameters["properties"]["device"]["enum"]) == 6
    assert unlock.parameters["properties"]["door"]["enum"] == ["cover.garage", "cover.bedroom", "lock.front"]
