"""The sandbox: a home and an inventory of services that are made up, but keep their state and a log of effects.

Tools work on it wherever a workspace has no connection of its own. It is seeded on first use. A change and its entry
in the log of effects are one transaction, and a key that comes again changes nothing: it is counted, and given the
first result. So the log shows what really happened, and how often it was asked for.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from agents.models import SandboxEffect, SandboxItem
from agents.tools.registry import Context, ToolFailed
from core import ids

HOME, INVENTORY = "home", "inventory"
MOST_LINES = 200  # of a service's log

State = dict[str, Any]


def items(workspace_id: UUID, world: str) -> dict[str, State]:
    """The state of everything in one of the two worlds, by name."""
    rows = SandboxItem.objects.filter(workspace_id=workspace_id, world=world).order_by("name")
    found = dict(rows.values_list("name", "state"))
    if not found:
        _seed(workspace_id, world)
        found = dict(rows.values_list("name", "state"))
    return found


def names(workspace_id: UUID, world: str) -> list[str]:
    """What there is in one of the two worlds."""
    rows = SandboxItem.objects.filter(workspace_id=workspace_id, world=world).order_by("name")
    return list(rows.values_list("name", flat=True)) or list(items(workspace_id, world))


def change(
    context: Context, world: str, name: str, *, tool: str, arguments: dict[str, Any], by: Callable[[State, str], State]
) -> dict[str, Any]:
    """Change one item once for the context's key, and give what it is then; raises ToolFailed where there is none.

    `by` is given the state, which it may change, and the time; what it returns is the result.
    """
    with transaction.atomic():
        effect_id, result = _enter(context, world, tool, arguments)
        if result is not None:
            return result
        item = SandboxItem.objects.select_for_update().filter(workspace_id=context.workspace_id, world=world, name=name)
        row = item.first()
        if row is None:
            raise ToolFailed(f"There is no {name} in the sandbox {world}.")
        done = by(row.state, _written(_now()))
        row.save(update_fields=["state", "updated_at"])
        SandboxEffect.objects.filter(pk=effect_id).update(result=done)
        return done


def noted(state: State, at: str, words: str) -> None:
    """Add a line to a service's log, which keeps the latest."""
    state["log"] = [*state.get("log", []), f"{at} {words}"][-MOST_LINES:]


def break_down(item: SandboxItem) -> None:
    """Let a service stop as if by itself, so that it can be noticed; raises ToolFailed where it does not run."""
    with transaction.atomic():
        held = SandboxItem.objects.select_for_update().get(pk=item.pk)
        if held.world != INVENTORY or held.state["state"] != "running":
            raise ToolFailed(f"{held.name} is no service that runs.")
        at = _written(_now())
        held.state.update(state="stopped", since=at)
        noted(held.state, at, "FATAL exited with code 137: out of memory")
        held.save(update_fields=["state", "updated_at"])


def _enter(context: Context, world: str, tool: str, arguments: dict[str, Any]) -> tuple[UUID, dict[str, Any] | None]:
    """Take the key: the id of its entry, and the result that it had if it came before."""
    # Who comes second waits here for the first one's transaction, so that both never change anything.
    query = """
        INSERT INTO agents_sandboxeffect AS effect (id, workspace_id, world, key, tool, arguments, result, calls)
        VALUES (%s, %s, %s, %s, %s, %s, '{}', 1)
        ON CONFLICT (workspace_id, key) DO UPDATE SET calls = effect.calls + 1
        RETURNING id, calls, result
    """
    values: list[Any] = [ids.new(), context.workspace_id, world, context.key, tool, json.dumps(arguments)]
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        effect_id, calls, result = cursor.fetchone()
    return effect_id, json.loads(result) if calls > 1 else None


def _seed(workspace_id: UUID, world: str) -> None:
    """Make the world, unless somebody does so at the same moment."""
    now = _now()
    made = _services(now) if world == INVENTORY else _devices()
    rows = [SandboxItem(workspace_id=workspace_id, world=world, name=name, state=state) for name, state in made.items()]
    SandboxItem.objects.bulk_create(rows, ignore_conflicts=True)


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _devices() -> dict[str, State]:
    def made(name: str, room: str, state: str, value: float | None = None, device_class: str = "") -> State:
        return {"name": name, "room": room, "state": state, "value": value, "device_class": device_class}

    return {
        "light.kitchen": made("Kitchen lamp", "kitchen", "on", 80),
        "light.living_room": made("Living room lamp", "living room", "off", 0),
        "light.bedroom": made("Bedroom lamp", "bedroom", "off", 0),
        "switch.coffee_machine": made("Coffee machine", "kitchen", "off"),
        "climate.hallway": made("Hallway thermostat", "hallway", "heat", 20),
        "cover.living_room_blinds": made("Living room blinds", "living room", "open", 100, "blind"),
        "cover.garage_door": made("Garage door", "garage", "closed", 0, "garage"),
        "lock.front_door": made("Front door", "hallway", "locked"),
    }


_SERVICES = {  # the version, days since it began, and what it says every few minutes
    "web": ("2.14.1", 9, "GET /health 200 2ms"),
    "api": ("5.3.0", 9, "POST /v2/orders 201 41ms"),
    "worker": ("5.3.0", 3, "job 48213 done in 1.2s"),
    "database": ("17.4", 61, "checkpoint complete: wrote 812 buffers (5.0%)"),
    "cache": ("8.1.0", 61, "db0: 20417 keys, 0 evicted"),
    "mailer": ("1.9.2", 1, "queue length 3, delivered 17"),
}
_STOPPED = "mailer"  # so that there is something to notice


def _services(now: datetime) -> dict[str, State]:
    made: dict[str, State] = {}
    for name, (version, days, words) in _SERVICES.items():
        log = [f"{_written(now - timedelta(minutes=4 * ago))} INFO {words}" for ago in range(15, 0, -1)]
        state, since = "running", now - timedelta(days=days)
        if name == _STOPPED:
            state, since = "stopped", now - timedelta(minutes=3)
            log += [
                f"{_written(since)} ERROR cannot connect to smtp.example.net:587: connection timed out",
                f"{_written(since)} FATAL exited with code 1",
            ]
        made[name] = {"state": state, "since": _written(since), "version": version, "log": log}
    return made
