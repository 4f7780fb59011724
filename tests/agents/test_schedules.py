"""An agent's schedule becomes a periodic task of the scheduler, follows the agent's changes, and goes with it."""

from datetime import timedelta

import pytest
from celery import current_app
from django.utils.module_loading import autodiscover_modules
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from agents.models import Agent
from agents.services import schedules


@pytest.fixture
def make(workspace):
    def agent(schedule: str = "", **options) -> Agent:
        options = {"kind": "manager", "task": "Look.", "slug": "guard", "name": "Guard"} | options
        return Agent.objects.create(workspace=workspace, schedule=schedule, **options)

    return agent


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("every 10 s", 10), ("every 30 s", 30), ("every 30s", 30), ("Every 5 min", 300), (" every 2 h ", 7200),
        ("every 744 h", 31 * 86_400),
    ],
)  # fmt: skip
def test_an_interval_is_read(text, seconds):
    assert schedules.parse(text) == schedules.Schedule(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["*/5 * * * *", "0 4 * * *", "30 8-18/2 * * mon-fri", "0 0 1,15 * *", "0 0 29 2 *", "0   0 * JAN *"]
)
def test_a_crontab_line_is_read(text):
    assert schedules.parse(text) == schedules.Schedule(fields=tuple(text.lower().split()))


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_is_no_schedule(text):
    assert schedules.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "every 9 s", "every 0 s", "every 745 h", "every 9999999 h", "every 99999999999 s", "every -30 s", "every 1.5 h",
        "every day", "every 30", "30 s", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *",
        "* * 32 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "0 0 30 2 *", "1,,2 * * * *", "a b c d e", "@daily",
        "every ٣٠ s", "1;2 * * * *", ",".join(["1-5"] * 20) + " * * * *",
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_by_name_and_nothing_is_stored(text, make):
    with pytest.raises(schedules.BadSchedule) as refused:
        make(text)
    assert refused.value.errors[0].field == "schedule"
    assert not Agent.objects.exists()
    assert not PeriodicTask.objects.exists()


def test_an_agent_with_a_schedule_has_a_task_that_wakes_it(make):
    agent = make("every 30 s")
    task = PeriodicTask.objects.get()
    assert (task.name, task.task, task.enabled) == (f"agent {agent.pk}", "chat.wake_agent", True)
    assert task.args == f'["{agent.pk}"]'
    assert (task.interval.every, task.interval.period, task.crontab, task.expire_seconds) == (30, "seconds", None, 30)


def test_the_task_that_is_sent_exists(make):
    autodiscover_modules("tasks")
    make("every 30 s")
    assert PeriodicTask.objects.get().task in current_app.tasks


def test_a_change_of_the_schedule_is_followed(make):
    agent = make("every 30 s")
    agent.schedule = "*/5 * * * *"
    agent.save()
    task = PeriodicTask.objects.get()
    assert (task.interval, task.crontab.minute, str(task.crontab.timezone)) == (None, "*/5", "UTC")
    assert task.expire_seconds == 60


def test_another_change_of_the_agent_leaves_the_task_alone(make):
    agent = make("every 1 h")
    before = PeriodicTask.objects.values().get()
    told = PeriodicTasks.last_change()
    agent.instructions = "Look twice."
    agent.save()
    assert PeriodicTask.objects.values().get() == before
    assert PeriodicTasks.last_change() == told


@pytest.mark.parametrize("change", [{"schedule": ""}, {"enabled": False}, {"kind": "companion"}])
def test_an_agent_that_is_not_to_wake_has_no_task(make, change):
    agent = make("every 30 s")
    told = PeriodicTasks.last_change()
    for name, value in change.items():
        setattr(agent, name, value)
    agent.save()
    assert not PeriodicTask.objects.exists()
    assert PeriodicTasks.last_change() > told, "the scheduler is told"


def test_a_deleted_agent_has_no_task(make):
    make("every 30 s").delete()
    assert not PeriodicTask.objects.exists()


def test_agents_share_rows_of_the_same_schedule(make):
    for number in range(3):
        make("every 30 s", slug=f"a{number}")
        make("*/5 * * * *", slug=f"b{number}")
    assert (IntervalSchedule.objects.count(), CrontabSchedule.objects.count(), PeriodicTask.objects.count()) == (
        1,
        1,
        6,
    )


def test_agents_without_a_schedule_cost_nothing(make, django_assert_num_queries):
    with django_assert_num_queries(1):
        make(kind="companion")


@pytest.mark.django_db(transaction=True)
def test_the_scheduler_takes_a_change_up_while_it_runs(make):
    scheduler = DatabaseScheduler(app=current_app)
    assert set(scheduler.schedule) == {"housekeep", "sign heads", "notify", "post"}
    agent = make("every 30 s")
    name = f"agent {agent.pk}"
    assert scheduler.schedule[name].schedule.run_every == timedelta(seconds=30)
    assert scheduler.schedule[name].args == [str(agent.pk)]
    agent.schedule = "0 4 * * *"
    agent.save()
    assert scheduler.schedule[name].schedule.hour == {4}
    agent.delete()
    assert set(scheduler.schedule) == {"housekeep", "sign heads", "notify", "post"}
