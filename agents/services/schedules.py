"""When agents wake by themselves: each agent's schedule, kept as a periodic task of Celery's beat."""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery.schedules import ParseException, crontab
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from agents.models import Agent, AgentKind
from core.errors import Invalid

WAKE = "chat.wake_agent"
SHORTEST, LONGEST = timedelta(seconds=10), timedelta(days=31)
UNITS = {"s": 1, "min": 60, "h": 3600}
EXPIRES_SECONDS = 60  # a message that no worker heard for so long wakes nobody: the next one will
_EVERY = re.compile(r"every ([0-9]{1,7}) ?(s|min|h)")
_FIELD = re.compile(r"[0-9a-z*,/-]{1,60}")
_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


class BadSchedule(Invalid):
    """The text is no schedule."""

    code = "bad_schedule"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either an interval in seconds or the five fields of a crontab line, in UTC."""

    seconds: int = 0
    fields: tuple[str, ...] = ()


def parse(text: str) -> Schedule | None:
    """The schedule that a text names, None for an empty one; raises BadSchedule, which says what would do."""
    words = text.strip().lower()
    if not words:
        return None
    if match := _EVERY.fullmatch(words):
        every = timedelta(seconds=int(match[1]) * UNITS[match[2]])
        if not SHORTEST <= every <= LONGEST:
            raise _bad(f"an interval is from {SHORTEST.seconds} seconds to {LONGEST.days} days long")
        return Schedule(seconds=int(every.total_seconds()))
    fields = tuple(words.split())
    if len(fields) != len(_FIELDS) or not all(map(_FIELD.fullmatch, fields)):
        raise _bad("write `every 30 s`, `every 5 min`, `every 2 h`, or a crontab line such as `*/5 * * * *` in UTC")
    try:
        crontab(**dict(zip(_FIELDS, fields, strict=True)))
    except (ValueError, ParseException) as error:
        raise _bad(f"the crontab line does not fit: {error}") from None
    return Schedule(fields=fields)


@transaction.atomic
def apply(agent: Agent) -> None:
    """Have the scheduler wake the agent as its schedule says, or not at all; raises BadSchedule.

    What is as it should be is left alone: the scheduler counts an interval from the last change.
    """
    schedule = parse(agent.schedule) if agent.kind == AgentKind.MANAGER and agent.enabled else None
    if schedule is None:
        drop(agent)
        return
    wanted = {
        "task": WAKE,
        "args": json.dumps([str(agent.pk)]),
        "interval": _interval(schedule.seconds) if schedule.seconds else None,
        "crontab": _crontab(schedule.fields) if schedule.fields else None,
        "expire_seconds": min(schedule.seconds, EXPIRES_SECONDS) or EXPIRES_SECONDS,
        "enabled": True,
    }
    task = PeriodicTask.objects.select_for_update().filter(name=_name(agent)).first()
    if task is None:
        PeriodicTask.objects.create(name=_name(agent), **wanted)
    elif any(getattr(task, name) != value for name, value in wanted.items()):
        for name, value in wanted.items():
            setattr(task, name, value)
        task.last_run_at = None
        task.save()


def drop(agent: Agent) -> None:
    """Have the scheduler wake the agent no more."""
    for task in PeriodicTask.objects.filter(name=_name(agent)):
        task.delete()  # one by one: it tells the scheduler


def connect() -> None:
    """Follow every agent that is saved or deleted: the admin, services and the demo all do so."""
    pre_save.connect(_check, sender=Agent, dispatch_uid="schedules")
    post_save.connect(_follow, sender=Agent, dispatch_uid="schedules")
    post_delete.connect(_forget, sender=Agent, dispatch_uid="schedules")


def _check(instance: Agent, **_: Any) -> None:
    parse(instance.schedule)  # raises before anything is written


def _follow(instance: Agent, created: bool, **_: Any) -> None:
    if instance.schedule or not created:
        apply(instance)


def _forget(instance: Agent, **_: Any) -> None:
    drop(instance)


def _name(agent: Agent) -> str:
    return f"agent {agent.pk}"


def _interval(seconds: int) -> IntervalSchedule:
    found = IntervalSchedule.objects.filter(every=seconds, period=IntervalSchedule.SECONDS).first()
    return found or IntervalSchedule.objects.create(every=seconds, period=IntervalSchedule.SECONDS)


def _crontab(fields: tuple[str, ...]) -> CrontabSchedule:
    named = {**dict(zip(_FIELDS, fields, strict=True)), "timezone": "UTC"}
    return CrontabSchedule.objects.filter(**named).first() or CrontabSchedule.objects.create(**named)


def _bad(why: str) -> Invalid:
    return BadSchedule.field("schedule", why, BadSchedule.code)
