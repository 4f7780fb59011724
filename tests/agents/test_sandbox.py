"""The sandbox: made up, but it keeps its state, and shows that an action ran once."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from agents.models import SandboxEffect, SandboxItem
from agents.tools import sandbox
from agents.tools.registry import ToolFailed
from core import bridge
from core.errors import Invalid
from tests.agents.conftest import call, shown


def at_once(times, function):
    """The results of a function that so many threads call at the same moment."""
    with ThreadPoolExecutor(times) as threads:
        calls = [threads.submit(_and_close, function) for _ in range(times)]
        return [one.result() for one in calls]


def _and_close(function):
    try:
        return bridge.guarded(function)
    finally:
        connection.close()


def test_services_are_there_at_once_and_say_where_they_are(context):
    result = call("service_status", context())
    told = json.loads(result.content)
    assert told["from"] == "sandbox inventory"
    assert {one["name"]: one["state"] for one in told["services"]} == {
        "api": "running", "cache": "running", "database": "running",
        "mailer": "stopped", "web": "running", "worker": "running",
    }  # fmt: skip
    assert result.summary == "6 services, not running: mailer (sandbox inventory)"


def test_one_service_is_told_of_by_its_name(context):
    result = call("service_status", context(), service="web")
    assert [one["name"] for one in json.loads(result.content)["services"]] == ["web"]
    assert result.summary == "web is running (sandbox inventory)"


def test_the_log_of_a_service_is_the_latest_of_its_lines(context):
    told = json.loads(call("service_logs", context(), service="mailer", lines=2).content)
    assert told["from"] == "sandbox inventory"
    assert len(told["lines"]) == 2
    assert told["lines"][-1].endswith("FATAL exited with code 1")


def test_a_restart_begins_anew_and_is_in_the_log_and_among_the_effects(context, workspace):
    before = sandbox.items(workspace.pk, sandbox.INVENTORY)["web"]
    result = call("service_restart", context("key-1"), service="web")
    after = sandbox.items(workspace.pk, sandbox.INVENTORY)["web"]
    assert after["since"] > before["since"]
    assert after["log"][-1] == f"{after['since']} INFO restarted by an agent's action"
    assert result.summary == f"web: restarted (sandbox inventory). It is running since {after['since']}."
    effect = SandboxEffect.objects.get()
    assert (effect.key, effect.tool, effect.arguments, effect.calls) == (
        "key-1",
        "service_restart",
        {"service": "web"},
        1,
    )
    assert effect.result["since"] == after["since"]


def test_a_key_that_comes_again_changes_nothing_and_gets_the_first_result(context, workspace):
    first = call("service_stop", context("key-1"), service="web")
    call("service_start", context("key-2"), service="web")
    again = call("service_stop", context("key-1"), service="web")
    assert again == first
    assert sandbox.items(workspace.pk, sandbox.INVENTORY)["web"]["state"] == "running"
    assert SandboxEffect.objects.get(key="key-1").calls == 2


def test_the_same_key_of_another_workspace_is_another_one(context, other_workspace):
    call("service_stop", context("key-1"), service="web")
    call("service_stop", context("key-1", other_workspace), service="web")
    assert SandboxEffect.objects.filter(key="key-1", calls=1).count() == 2


def test_starting_what_runs_says_that_nothing_was_to_be_done(context, workspace):
    result = call("service_start", context(), service="web")
    assert result.summary.startswith("web: nothing, it was running already (sandbox inventory).")
    assert "started" not in str(sandbox.items(workspace.pk, sandbox.INVENTORY)["web"]["log"])


def test_twenty_at_once_with_one_key_have_one_effect(context):
    one = context("key-1")
    sandbox.items(one.workspace_id, sandbox.INVENTORY)

    def change():
        return sandbox.change(
            one, sandbox.INVENTORY, "web", tool="t", arguments={}, by=lambda state, at: {"n": _count(state)}
        )

    results = at_once(20, change)
    assert results == [{"n": 1}] * 20
    assert SandboxEffect.objects.get().calls == 20
    assert SandboxItem.objects.get(name="web").state["n"] == 1


def _count(state):
    state["n"] = state.get("n", 0) + 1
    return state["n"]


def test_twenty_at_once_with_keys_of_their_own_all_have_their_effect(context, workspace):
    sandbox.items(workspace.pk, sandbox.INVENTORY)

    def change():
        return sandbox.change(
            context(), sandbox.INVENTORY, "web", tool="t", arguments={}, by=lambda state, at: {"n": _count(state)}
        )

    assert sorted(one["n"] for one in at_once(20, change)) == list(range(1, 21))


def test_a_world_that_many_come_upon_at_once_is_made_once(context, workspace):
    found = at_once(10, lambda: sandbox.items(workspace.pk, sandbox.HOME))
    assert all(one == found[0] for one in found)
    assert SandboxItem.objects.filter(world="home").count() == 8


def test_a_change_that_is_refused_leaves_nothing(context):
    def refuse(state, at):
        state["state"] = "broken"
        raise ToolFailed("no")

    one = context("key-1")
    sandbox.items(one.workspace_id, sandbox.INVENTORY)
    with pytest.raises(ToolFailed):
        sandbox.change(one, sandbox.INVENTORY, "web", tool="t", arguments={}, by=refuse)
    with pytest.raises(ToolFailed, match="There is no nothing"):
        sandbox.change(one, sandbox.INVENTORY, "nothing", tool="t", arguments={}, by=refuse)
    assert not SandboxEffect.objects.exists()
    assert SandboxItem.objects.get(name="web").state["state"] == "running"


def test_a_log_keeps_its_latest_lines():
    state = {"log": ["old"]}
    for number in range(300):
        sandbox.noted(state, "now", f"line {number}")
    assert len(state["log"]) == sandbox.MOST_LINES
    assert state["log"][-1] == "now line 299"


def test_a_service_that_is_not_there_is_refused_with_those_that_are(context):
    with pytest.raises(Invalid) as caught:
        call("service_restart", context(), service="website")
    assert caught.value.detail == (
        "service: there is none of this name; there are: api, cache, database, mailer, web, worker."
    )


@pytest.mark.parametrize("name", ["", "..", "../etc", "a b", "x" * 101, "web/restart", "ünder"])
def test_a_name_that_could_not_be_a_part_of_a_path_is_refused(context, name):
    with pytest.raises(Invalid):
        call("service_restart", context(), service=name)


def test_a_manager_reads_what_a_restart_changes(context):
    found = shown("service_restart", context(), service="mailer")
    assert found["sentence"] == "Restart the service mailer (sandbox inventory)."
    assert found["diff"] == [{"what": "state of mailer", "before": "stopped", "after": "running, restarted"}]
    assert found["details"]["where"] == "sandbox inventory"


def test_devices_are_there_at_once_and_can_be_asked_for_by_room(context):
    assert len(json.loads(call("device_list", context()).content)["devices"]) == 8
    told = json.loads(call("device_list", context(), room="Living Room").content)
    assert told["from"] == "sandbox home"
    assert [one["device"] for one in told["devices"]] == ["cover.living_room_blinds", "light.living_room"]


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        ({"device": "light.bedroom", "command": "on"}, "on, 100 %"),
        ({"device": "light.kitchen", "command": "off"}, "off, 0 %"),
        ({"device": "light.kitchen", "command": "set", "value": 30}, "on, 30 %"),
        ({"device": "light.kitchen", "command": "set", "value": 0}, "off, 0 %"),
        ({"device": "switch.coffee_machine", "command": "on"}, "on"),
        ({"device": "climate.hallway", "command": "set", "value": 21.5}, "heat, 21.5 degrees"),
        ({"device": "climate.hallway", "command": "off"}, "off, 20 degrees"),
        ({"device": "cover.living_room_blinds", "command": "close"}, "closed, 0 % open"),
        ({"device": "cover.living_room_blinds", "command": "set", "value": 40}, "open, 40 % open"),
        ({"device": "cover.garage_door", "command": "close"}, "closed, 0 % open"),
        ({"device": "lock.front_door", "command": "lock"}, "locked"),
    ],
)
def test_a_device_does_what_its_preview_says(context, arguments, state):
    preview = shown("device_control", context(), **arguments)
    told = json.loads(call("device_control", context(), **arguments).content)
    assert told["state"] == state == preview["diff"][0]["after"]
    assert told["from"] == "sandbox home"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"device": "light.attic", "command": "on"}, "there is none of this id; there are: climate.hallway"),
        ({"device": "light.kitchen", "command": "lock"}, "light.kitchen takes on, off, set."),
        ({"device": "switch.coffee_machine", "command": "set", "value": 5}, "switch.coffee_machine takes on, off."),
        ({"device": "lock.front_door", "command": "open"}, "lock.front_door takes lock. Use door_unlock"),
        ({"device": "cover.garage_door", "command": "open"}, "cover.garage_door is a way in. Use door_unlock"),
        ({"device": "cover.garage_door", "command": "set", "value": 5}, "cover.garage_door is a way in."),
        ({"device": "light.kitchen", "command": "set"}, "needs one of 0 to 100 %"),
        ({"device": "light.kitchen", "command": "set", "value": 101}, "needs one of 0 to 100 %"),
        ({"device": "climate.hallway", "command": "set", "value": 90}, "needs one of 5 to 35 degrees"),
        ({"device": "light.kitchen", "command": "on", "value": 5}, "it is given with `set` alone."),
        ({"device": "light.kitchen", "command": "unlock"}, "must be one of"),
        ({"device": "../lock", "command": "on"}, "must match"),
    ],
)
def test_a_command_that_a_device_does_not_take_is_refused(context, arguments, said):
    with pytest.raises(Invalid) as caught:
        call("device_control", context(), **arguments)
    assert said in caught.value.detail
    assert not SandboxEffect.objects.exists()


@pytest.mark.parametrize(
    ("door", "sentence", "state"),
    [
        ("lock.front_door", "Unlock: Front door (sandbox home).", "unlocked"),
        ("cover.garage_door", "Open: Garage door (sandbox home).", "open, 100 % open"),
    ],
)
def test_a_door_is_opened_by_a_tool_of_its_own(context, door, sentence, state):
    preview = shown("door_unlock", context(), door=door)
    assert (preview["sentence"], preview["diff"][0]["after"]) == (sentence, state)
    assert json.loads(call("door_unlock", context(), door=door).content)["state"] == state
    effect = SandboxEffect.objects.get()
    assert (effect.tool, effect.arguments) == ("door_unlock", {"door": door})


def test_what_is_no_door_is_not_unlocked(context):
    with pytest.raises(Invalid, match="neither a lock nor a door"):
        call("door_unlock", context(), door="cover.living_room_blinds")
