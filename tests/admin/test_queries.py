"""What the pages ask of the database."""

import datetime
from collections.abc import Callable

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, Workspace
from approvals.models import Approval, AuditEvent
from chat import figures
from chat.models import Action, Attachment, Compaction, Conversation, Message, Run, RunState
from chat.services import conversations, runs
from companions.models import Companion
from core import ids
from tests.admin.conftest import REHEARSAL, Home, kept, models, url

Staff = Callable[[Role], Client]
BIG = [Conversation, Message, Attachment, Compaction, Run, Action, Approval, AuditEvent]


def queries(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured]


def talk(home: Home, times: int) -> None:
    for number in range(times):
        conversation = conversations.new(home[Companion], by=home.member)
        run = runs.start(conversation, text=f"Message {number}", by=home.member, choice=REHEARSAL)
        kept(run, f"{home.name}-{number}")


@pytest.mark.parametrize("model", BIG, ids=lambda model: model._meta.label)
def test_a_longer_list_takes_no_more_queries(model: type[Model], here: Home, staff: Staff) -> None:
    client = staff(Role.MANAGER)
    short = queries(client, url(model, "changelist"))
    talk(here, 10)
    assert len(queries(client, url(model, "changelist"))) == len(short)


@pytest.mark.parametrize("model", BIG, ids=lambda model: model._meta.label)
def test_big_tables_are_neither_counted_nor_read_whole(model: type[Model], here: Home, staff: Staff) -> None:
    sent = queries(staff(Role.MANAGER), url(model, "changelist"))
    assert not [sql for sql in sent if "COUNT(" in sql and model._meta.db_table in sql and "LIMIT 1000" not in sql]
    asked = " ".join(sent)
    for column in (
        '"chat_run"."draft"',
        '"chat_message"."parts"',
        ' "chat_message"."content"',
        '"chat_compaction"."content"',
    ):
        assert column not in asked


@pytest.mark.parametrize("model", BIG, ids=lambda model: model._meta.label)
def test_big_tables_are_read_in_the_order_of_their_ids_alone(model: type[Model], here: Home, staff: Staff) -> None:
    asked = queries(staff(Role.MANAGER), f"{url(model, 'changelist')}?o=2.-3")
    read = next(sql for sql in asked if f'FROM "{model._meta.db_table}"' in sql and "LIMIT 50" in sql)
    assert read.endswith(f'ORDER BY "{model._meta.db_table}"."id" DESC LIMIT 50')


@pytest.mark.parametrize("model", models(), ids=lambda model: model._meta.label)
def test_every_list_takes_a_bounded_number_of_queries(model: type[Model], here: Home, staff: Staff) -> None:
    assert len(queries(staff(Role.ADMIN), url(model, "changelist"))) <= 13


def finish(run: Run, state: RunState, **changes: object) -> None:
    Run.objects.filter(pk=run.pk).update(state=state, active=False, **changes)


def test_the_first_page_tells_the_last_day_of_the_own_workspaces(here: Home, there: Home, staff: Staff) -> None:
    talk(here, 3)
    mine = list(Run.objects.filter(workspace=here[Workspace]).order_by("pk"))
    begun = mine[0].created_at
    finish(
        mine[0],
        RunState.COMPLETED,
        started_at=begun + datetime.timedelta(seconds=2),
        ended_at=begun + datetime.timedelta(seconds=5),
    )
    finish(
        mine[2],
        RunState.COMPLETED,
        started_at=mine[2].created_at + datetime.timedelta(seconds=2),
        ended_at=begun + datetime.timedelta(hours=8),  # when somebody approved what it asked for
        given_back=1,
    )
    finish(mine[1], RunState.FAILED, error_code="stalled")
    finish(there[Run], RunState.FAILED, error_code="yonder_code")
    day = figures.last_day(Run.objects.filter(workspace=here[Workspace]))
    assert day.states == {
        "Queued": 1, "Running": 0, "Waiting for approval": 0, "Waiting for its client": 0,
        "Completed": 2, "Failed": 1, "Cancelled": 0,
    }  # fmt: skip
    assert day.errors == [("stalled", 1)]
    assert [hour.total for hour in day.hours[:-2]] == [0] * 22
    assert sum(hour.total for hour in day.hours) == 4
    assert day.wait_median == datetime.timedelta(seconds=2)
    assert day.answer_p95 == datetime.timedelta(seconds=5)
    assert day.oldest_ready is not None
    assert datetime.timedelta() < day.oldest_ready < datetime.timedelta(minutes=1)
    page = staff(Role.AUDITOR).get(reverse("admin:index")).text
    assert "stalled" in page
    assert "yonder_code" not in page


def test_an_empty_day_is_told_as_one(db: None) -> None:
    day = figures.last_day(Run.objects.all())
    assert day.errors == []
    assert day.oldest_ready is None
    assert day.wait_median is None


def test_a_run_before_the_span_is_not_of_it(here: Home) -> None:
    born = Run.objects.get().pk
    assert ids.first_since(timezone.now() - datetime.timedelta(minutes=1)) < born
    assert ids.first_since(timezone.now() + datetime.timedelta(minutes=1)) > born
