"""What was used is drawn as a chart and told as a table, for those who run the workspace and of theirs alone."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import transaction
from django.test import Client

from accounts.pages import charts
from accounts.services import reports, usage
from accounts.services.reports import Part
from core import ids

pytestmark = pytest.mark.django_db


def used(actor, model: str, tokens: int, cost: str | None = "0.5") -> None:
    entry = usage.Used(
        workspace_id=actor.workspace.pk, user_id=actor.user.pk, agent_id=None, session_id=ids.new(), run_id=ids.new(),
        message_id=None, provider="openai", model=model, input_tokens=tokens, output_tokens=10,
        cost_usd=None if cost is None else Decimal(cost),
    )  # fmt: skip
    with transaction.atomic():
        usage.record([entry])


def page(actor, query: str = "") -> str:
    client = Client()
    client.force_login(actor.user)
    answer = client.get(f"/console/usage/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_use_is_told_by_person_model_and_provider(owner, member, stranger):
    used(owner, "gpt-4o-mini", 1000)
    used(member, "gpt-4o", 5000, None)
    used(stranger, "not-ours", 70_000)
    text = page(owner)
    for told in ("owner@home.example", "member@home.example", "gpt-4o-mini", "6,020", "5,010", "$0.5000", "not known"):
        assert told in text, told
    assert "not-ours" not in text
    assert "stranger" not in text


def test_each_day_of_a_period_has_a_column_and_the_table_says_the_same(owner):
    used(owner, "gpt-4o-mini", 990)
    text = page(owner, "?period=30&in=tokens")
    today = str(datetime.now(UTC).date())
    assert len(re.findall(r"<rect x=", text)) == 30
    assert f"<title>{today}: 1,000</title>" in text
    assert re.search(rf"<td>{today}</td><td class=\"number\">1,000</td>", text)
    assert 'role="img"' in text
    assert " style=" not in text
    assert len(re.findall(r"<rect x=", page(owner, "?period=year&in=cost"))) == 12


def test_an_empty_workspace_says_what_to_do(owner):
    assert "Nothing was used in this time." in page(owner)


@pytest.mark.parametrize("query", ["?period=ever", "?in=euros", "?period[]=1&in="])
def test_a_period_or_unit_that_is_none_is_refused(owner, query):
    client = Client(headers={"Accept": "text/html"})
    client.force_login(owner.user)
    assert client.get(f"/console/usage/{query}").status_code == 400


def test_reports_are_for_those_who_run_the_workspace(member, manager):
    day = date(2026, 1, 1)
    with pytest.raises(usage.MayNotRead):
        reports.told(Part.MODEL, day, day, by=member)
    assert reports.told(Part.MODEL, day, day, by=manager) == []


def test_a_meter_says_how_near_its_end_a_limit_is():
    assert [charts.meter(used, 100, "tokens").state for used in (0, 79, 80, 100, 250)] == [
        "",
        "",
        "near",
        "over",
        "over",
    ]
    assert charts.meter(250, 100, "tokens").full == "100.0"
    assert charts.meter(Decimal("0.5"), Decimal(2), "USD").text == "$0.5000 of $2.00 (25%)"
    assert charts.meter(0, 0, "tokens").state == "over"
