"""Budgets, use and own keys in the admin."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client

from accounts.models import Budget, Role, UsageEntry, Workspace
from accounts.services import budgets
from agents.models import Agent, ProviderKey
from approvals.models import AuditEvent
from tests.admin.conftest import PROVIDER_KEY, Home, url

Staff = Callable[[Role], Client]


@pytest.fixture(autouse=True)
def _fresh():
    budgets.forget()
    yield
    budgets.forget()


def form_of(home: Home, **changes: object) -> dict[str, object]:
    base = {"workspace": home[Workspace].pk, "scope": "workspace", "period": "month", "tokens": "5000", "enabled": "on"}
    return {**base, **changes}


def test_an_admin_limits_a_workspace_a_person_and_an_agent(here: Home, staff: Staff) -> None:
    client, person = staff(Role.ADMIN), here.member.user
    Budget.objects.all().delete()
    for fields in (
        {"usd": "12.50"},
        {"scope": "person", "user": person.pk},
        {"scope": "agent", "agent": here[Agent].pk},
        {"scope": "each_person", "period": "day"},
    ):
        assert client.post(url(Budget, "add"), form_of(here, **fields)).status_code == 302
    made = Budget.objects.order_by("created_at").values_list("scope", "user", "agent_id", "tokens", "usd")
    assert list(made) == [
        ("workspace", None, None, 5000, Decimal("12.5")),
        ("person", person.pk, None, 5000, None),
        ("agent", None, here[Agent].pk, 5000, None),
        ("each_person", None, None, 5000, None),
    ]
    assert AuditEvent.objects.filter(type="budget.changed").count() == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"tokens": ""},
        {"tokens": "-1"},
        {"tokens": str(10**30)},
        {"usd": "a lot"},
        {"scope": "person"},
        {"scope": "agent"},
        {"scope": "everybody"},
    ],
)
def test_what_does_not_fit_together_is_shown_in_the_form(fields: dict[str, str], here: Home, staff: Staff) -> None:
    before = Budget.objects.count()
    assert staff(Role.ADMIN).post(url(Budget, "add"), form_of(here, **fields)).status_code == 200
    assert Budget.objects.count() == before


def test_an_agent_of_another_workspace_cannot_be_chosen(here: Home, there: Home, staff: Staff) -> None:
    before = Budget.objects.count()
    form = form_of(here, scope="agent", agent=there[Agent].pk)
    assert staff(Role.ADMIN).post(url(Budget, "add"), form).status_code == 200
    assert Budget.objects.count() == before


def test_a_budgets_limit_is_changed_and_what_it_counts_is_not(here: Home, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[Budget]
    form = form_of(here, scope="workspace", period="day", tokens="77", agent=here[Agent].pk)
    assert client.post(url(Budget, "change", row.pk), form).status_code == 302
    row.refresh_from_db()
    assert (row.scope, row.period, row.agent_id, row.tokens) == ("agent", "month", here[Agent].pk, 77)


def test_a_budget_without_its_agent_is_refused_in_the_form(here: Home, staff: Staff) -> None:
    answer = staff(Role.ADMIN).post(url(Budget, "change", here[Budget].pk), form_of(here, agent=""))
    assert answer.status_code == 200
    assert "Name the agent." in answer.text
    assert Budget.objects.get(pk=here[Budget].pk).agent_id == here[Agent].pk


def test_a_list_shows_what_is_used_of_each_budget(here: Home, staff: Staff) -> None:
    page = staff(Role.AUDITOR).get(url(Budget, "changelist")).text
    assert "100 of 1,000" in page
    assert "0.50 of 9.00" in page
    assert 'value="0.100"' in page


def test_a_budget_is_deleted_with_what_was_counted(here: Home, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[Budget]
    assert client.post(url(Budget, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not Budget.objects.filter(pk=row.pk).exists()


def test_the_ledger_is_read_and_never_written(here: Home, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[UsageEntry]
    page = client.get(url(UsageEntry, "change", row.pk))
    assert here.member.user.email in page.text
    assert client.post(url(UsageEntry, "change", row.pk), {"input_tokens": "1"}).status_code == 403
    assert client.post(url(UsageEntry, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_an_own_key_is_told_of_and_can_be_taken_away(here: Home, staff: Staff) -> None:
    client, row = staff(Role.ADMIN), here[ProviderKey]
    for page in (url(ProviderKey, "changelist"), url(ProviderKey, "change", row.pk)):
        shown = client.get(page).text
        assert here.member.user.email in shown
        assert PROVIDER_KEY not in shown
    assert client.post(url(ProviderKey, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not ProviderKey.objects.filter(pk=row.pk).exists()
    assert AuditEvent.objects.filter(type="provider_key.removed", target_id=row.pk).exists()
