"""Stopping runs from the admin."""

from collections.abc import Callable

from django.test import Client

from accounts.models import Role, Workspace
from chat.models import Run, RunState
from chat.services import conversations, runs
from companions.models import Companion
from tests.admin.conftest import REHEARSAL, Home, url

Staff = Callable[[Role], Client]


def state(run: Run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def test_a_manager_stops_a_run_after_being_asked(here: Home, staff: Staff) -> None:
    client, run = staff(Role.MANAGER), here[Run]
    address = url(Run, "cancel", run.pk)
    assert "Cancel the run" in client.get(address).text
    assert state(run) == RunState.QUEUED
    assert "asked to stop" in client.post(address, follow=True).text
    assert state(run) == RunState.CANCELLED
    assert "Asked to stop" in client.get(url(Run, "history", run.pk)).text
    assert "has ended already" in client.post(address, follow=True).text


def test_an_ended_run_offers_no_button(here: Home, staff: Staff) -> None:
    client, address = staff(Role.MANAGER), url(Run, "change", here[Run].pk)
    assert url(Run, "cancel", here[Run].pk) in client.get(address).text
    Run.objects.update(state=RunState.COMPLETED, active=False)
    assert url(Run, "cancel", here[Run].pk) not in client.get(address).text


def test_an_operator_stops_runs_anywhere(here: Home, there: Home, operator: Client) -> None:
    for home in (here, there):
        operator.post(url(Run, "cancel", home[Run].pk))
        assert state(home[Run]) == RunState.CANCELLED


def test_an_auditor_stops_nothing(here: Home, staff: Staff) -> None:
    client = staff(Role.AUDITOR)
    assert client.post(url(Run, "cancel", here[Run].pk)).status_code == 403
    client.post(url(Run, "changelist"), {"action": "cancel_selected", "_selected_action": [here[Run].pk]})
    assert state(here[Run]) == RunState.QUEUED
    assert url(Run, "cancel", here[Run].pk) not in client.get(url(Run, "change", here[Run].pk)).text


def test_from_the_list_the_own_ones_are_stopped(here: Home, there: Home, staff: Staff) -> None:
    other = runs.start(conversations.new(here[Companion], by=here.member), text="Hi", by=here.member, choice=REHEARSAL)
    Run.objects.filter(pk=other.pk).update(state=RunState.COMPLETED, active=False)
    chosen = {"action": "cancel_selected", "_selected_action": [here[Run].pk, there[Run].pk, other.pk]}
    page = staff(Role.MANAGER).post(url(Run, "changelist"), chosen, follow=True)
    assert "Asked to stop: 1" in page.text
    assert [state(run) for run in (here[Run], there[Run], other)] == ["cancelled", "queued", "completed"]


def test_runs_are_found_by_state_span_companion_error_and_id(here: Home, operator: Client, there: Home) -> None:
    run, conversation = here[Run], here[Run].conversation_id
    for query in (
        "companion_type=here-companion",
        "error_code=here_code",
        f"q={run.pk}",
        f"q={conversation}",
        f"workspace__id__exact={here[Workspace].pk}",
    ):
        text = operator.get(f"{url(Run, 'changelist')}?{query}").text
        assert f"{run.pk}/change/" in text, query
        assert f"{there[Run].pk}/change/" not in text, query
    for query in ("state__exact=failed", "q=nothing", "error_code=x"):
        assert f"{run.pk}/change/" not in operator.get(f"{url(Run, 'changelist')}?{query}").text
    assert f"{run.pk}/change/" in operator.get(f"{url(Run, 'changelist')}?since=1&state__exact=queued").text
