"""Unknown outcomes in the admin: what is known of them, and what people say became of them."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User, Workspace
from agents.models import SandboxEffect
from approvals.models import AuditEvent
from chat.models import Action, Run
from tests.admin.conftest import Home, url

Staff = Callable[[Role], Client]
RESOLUTIONS = [("done", "done", "succeeded"), ("not_done", "not_done", "ready"), ("abandon", "abandoned", "failed")]


def fresh(home: Home) -> Action:
    return Action.objects.get(pk=home[Action].pk)


@pytest.mark.parametrize(("page", "resolution", "state"), RESOLUTIONS)
def test_a_manager_says_what_became_of_it_after_being_asked(
    page: str, resolution: str, state: str, here: Home, staff: Staff
) -> None:
    client, address = staff(Role.MANAGER), url(Action, page, here[Action].pk)
    assert address in client.get(url(Action, "change", here[Action].pk)).text
    assert "What you saw" in client.get(address).text
    assert fresh(here).state == "unknown"
    said = {"note": "I looked at the charts.", "attempt": 1}
    client.post(address, said)
    row = fresh(here)
    assert (row.state, row.resolution, row.resolved_by) == (
        state,
        resolution,
        User.objects.get(email__startswith="staff"),
    )
    assert AuditEvent.objects.filter(type="action.resolved", target_id=row.pk).count() == 1
    assert address not in client.get(url(Action, "change", row.pk)).text
    assert "not unknown" in client.post(address, said, follow=True).text


@pytest.mark.parametrize("page", ["done", "not_done", "abandon"])
def test_a_word_on_an_attempt_that_was_not_the_last_is_not_taken(page: str, here: Home, staff: Staff) -> None:
    client, address = staff(Role.MANAGER), url(Action, page, here[Action].pk)
    assert '<input type="hidden" name="attempt" value="1"' in client.get(address).text
    Action.objects.filter(pk=here[Action].pk).update(attempt=2)
    stale = client.post(address, {"attempt": 1, "note": "I saw nothing."}, follow=True)
    assert "It was tried again since you looked." in stale.text
    for given in ({}, {"attempt": "x"}):
        assert "attempt: " in client.post(address, given).text.lower()
    row = fresh(here)
    assert (row.state, row.attempt, row.resolution, row.resolved_by) == ("unknown", 2, "", None)
    assert not AuditEvent.objects.filter(type="action.resolved").exists()
    client.post(address, {"attempt": 2})
    assert fresh(here).resolution != ""


def test_what_would_not_run_again_is_not_promised(here: Home, staff: Staff) -> None:
    client, address = staff(Role.MANAGER), url(Action, "not_done", here[Action].pk)
    assert "it runs once more" in client.get(address).text
    for over in ({"cancel_requested_at": Now()}, {"state": "completed", "active": False, "ended_at": Now()}):
        Run.objects.filter(pk=here[Run].pk).update(cancel_requested_at=None)
        Run.objects.filter(pk=here[Run].pk).update(**over)
        page = client.get(address).text
        assert "it is refused now, and does not run again" in page
        assert "run it again" not in page


def test_the_page_tells_what_is_known(here: Home, staff: Staff) -> None:
    SandboxEffect.objects.create(
        workspace=here[Workspace],
        world="inventory",
        key=str(here[Action].pk),
        tool="x",
        result={"done": "effect-canary"},
    )
    page = staff(Role.MANAGER).get(url(Action, "change", here[Action].pk)).text
    for told in ("effect-canary", "here asks", "Came too late"):
        assert told in page


@pytest.mark.parametrize("page", ["done", "not_done", "abandon"])
def test_auditors_and_the_person_behind_it_say_nothing(page: str, here: Home, there: Home, staff: Staff) -> None:
    address = url(Action, page, here[Action].pk)
    auditor = staff(Role.AUDITOR)
    assert address not in auditor.get(url(Action, "change", here[Action].pk)).text
    assert auditor.post(address).status_code == 403
    manager = staff(Role.MANAGER)
    Action.objects.update(person=User.objects.get(email="staff-manager@home.example"))
    assert "not the one on whose behalf" in manager.post(address, {"attempt": 1}, follow=True).text
    assert manager.post(url(Action, page, there[Action].pk)).status_code in (302, 403, 404)
    assert set(Action.objects.values_list("state", flat=True)) == {"unknown"}


def test_the_sidebar_counts_the_unknown_ones_of_the_own_workspaces(here: Home, there: Home, staff: Staff) -> None:
    client = staff(Role.AUDITOR)
    assert client.get(url(Action, "changelist")).text.count("data-sidebar-count") == 1
    Action.objects.filter(pk=here[Action].pk).update(state="succeeded")
    assert client.get(url(Action, "changelist")).text.count("data-sidebar-count") == 0


def test_unknown_ones_are_found_by_their_state(here: Home, staff: Staff) -> None:
    client, address = staff(Role.MANAGER), url(Action, "changelist")
    page = url(Action, "change", here[Action].pk)
    assert page in client.get(f"{address}?state__exact=unknown").text
    assert page not in client.get(f"{address}?state__exact=succeeded").text
    with CaptureQueriesContext(connection) as captured:
        client.get(address)
    assert not any('"chat_action"."result"' in one["sql"] for one in captured), "what is heavy is not read"
