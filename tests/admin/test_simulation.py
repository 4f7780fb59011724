"""A policy tried on the calls of the last days, in the admin."""

from collections.abc import Callable
from typing import Any

from django.test import Client

from accounts.models import Role, Workspace
from approvals.models import Policy
from chat.models import Action
from tests.admin.conftest import HOSTILE, Home
from tests.approvals.test_admin_policies import form_of

Staff = Callable[[Role], Client]


def tried(client: Client, home: Home, **changes: Any) -> str:
    """What the page of a simulation says."""
    form = form_of(home[Workspace], name="Draft", _simulate="1", **changes)
    return " ".join(client.post("/admin/approvals/policy/add/", form).text.replace("</b>", "").split())


def test_it_tells_which_calls_would_be_judged_otherwise(here: Home, there: Home, staff: Staff) -> None:
    client, before = staff(Role.ADMIN), Policy.objects.count()
    page = tried(client, here, effect="deny", tool="*")
    assert "1 of 1 calls would be judged otherwise" in page
    assert "here_tool" in page
    assert "yonder" not in page
    assert HOSTILE not in page
    assert "0 of 1 calls would be judged otherwise" in tried(client, here, effect="deny", tool="other_*")
    assert "args.nothing" in tried(client, here, condition="args.nothing")
    assert Policy.objects.count() == before


def test_a_call_before_the_span_is_not_looked_at(here: Home, staff: Staff) -> None:
    Action.objects.update(created_at="2020-01-01T00:00:00Z")
    assert "0 of 0 calls" in tried(staff(Role.ADMIN), here, effect="deny", tool="*")


def test_a_policy_that_is_there_is_tried_changed(here: Home, staff: Staff) -> None:
    client, policy = staff(Role.ADMIN), here[Policy]
    form = form_of(here[Workspace], name="Draft", effect="deny", tool="here_*", _simulate="1")
    page = client.post(f"/admin/approvals/policy/{policy.pk}/change/", form)
    assert "calls would be judged otherwise" in page.text
    assert Policy.objects.get(pk=policy.pk).effect == "ask"
