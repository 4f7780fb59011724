"""The page on which people say what they are told, and when."""

import re
from datetime import time

import pytest
from django.test import Client

from approvals.models import NotificationPreference
from approvals.preferences import EVENTS, By, When

pytestmark = pytest.mark.django_db
PAGE = "/account/notifications/"


def filled(**changes: str) -> dict[str, str]:
    """The form as a browser sends it."""
    events = {f"event_{name.replace('.', '_')}": "at_once" for name in EVENTS}
    return {**events, "time_zone": "Europe/Berlin", "daily_at": "07:30", "quiet_from": "", "quiet_until": "", **changes}


@pytest.fixture
def browser(member):
    client = Client()
    client.force_login(member.user)
    return client


def test_choices_are_kept_and_shown_again(browser, member):
    form = filled(
        event_approval_waiting="daily", event_agent_message="nothing", quiet_from="22:00", quiet_until="07:00"
    )
    answer = browser.post(PAGE, {**form, "urgent_at_once": "on"})
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    row = NotificationPreference.objects.get(membership=member.membership)
    assert row.events["approval.waiting"] == {"by": By.EMAIL.value, "when": When.DAILY.value}
    assert row.events["agent.message"]["by"] == By.NOTHING.value
    assert (row.time_zone, row.daily_at, row.quiet_from, row.quiet_until) == (
        "Europe/Berlin", time(7, 30), time(22), time(7),
    )  # fmt: skip
    assert row.urgent_at_once
    shown = browser.get(PAGE).text
    assert re.search(r'<option value="daily" selected>', shown)
    assert 'value="22:00"' in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"quiet_from": "22:00"},
        {"quiet_from": "22:00", "quiet_until": "22:00"},
        {"time_zone": "../etc/passwd"},
        {"daily_at": "25:00"},
        {"event_approval_waiting": "by pigeon"},
    ],
)
def test_what_cannot_be_is_marked_and_nothing_is_kept(browser, changes):
    answer = browser.post(PAGE, filled(**changes))
    assert answer.status_code == 400
    assert "errorlist" in answer.text
    assert not NotificationPreference.objects.exists()


def test_a_stranger_signs_in_first():
    answer = Client().get(PAGE)
    assert answer.status_code == 302
    assert "login" in answer["Location"]


def test_a_page_of_another_site_changes_nothing(member):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(member.user)
    assert browser.post(PAGE, filled()).status_code == 403
    assert not NotificationPreference.objects.exists()


def test_a_page_of_another_workspace_sets_nothing_in_this_one(browser, member, other_workspace):
    shown = browser.get(PAGE)
    [named] = re.findall(r'<form method="post" novalidate>.*?name="workspace" value="([^"]+)"', shown.text, re.DOTALL)
    assert named == str(member.workspace.pk)
    assert "no-store" in shown["Cache-Control"]
    refused = browser.post(PAGE, filled(workspace=str(other_workspace.pk)), headers={"Accept": "text/html"})
    assert refused.status_code == 409
    assert "You work in another workspace now" in refused.text
    assert not NotificationPreference.objects.exists()
    assert browser.post(PAGE, filled(workspace=named)).status_code == 302


@pytest.mark.parametrize("name", ["posix/Europe/Berlin", "right/Europe/Berlin", "localtime", "Factory"])
def test_only_a_clock_that_the_page_offers_is_kept(browser, api, name):
    assert f'value="{name}"' not in browser.get(PAGE).text
    assert browser.post(PAGE, filled(time_zone=name)).status_code == 400
    assert api.put("/v1/ai/notifications/preferences", {"events": [], "time_zone": name}).status_code == 400
    assert not NotificationPreference.objects.exists()


def test_a_clock_that_there_is_no_more_is_not_taken_for_another(browser, member):
    NotificationPreference.objects.create(membership=member.membership, time_zone="Europe/Atlantis")
    shown = browser.get(PAGE).text
    clocks = re.search(r'<select name="time_zone".*?</select>', shown, re.DOTALL)[0]
    assert " selected" not in clocks
    assert re.search(r"<option[^>]*>", clocks)[0] == '<option value="">', "a browser takes the first"
    assert browser.post(PAGE, filled(time_zone="")).status_code == 400


def test_choices_are_not_made_without_end(browser, settings):
    settings.LIMITS = {**settings.LIMITS, "write": 1}
    assert [browser.post(PAGE, filled()).status_code for _ in range(2)] == [302, 429]


def test_it_says_where_e_mails_reach_nobody(browser, settings):
    assert "No mail server is set here" in browser.get(PAGE).text
    settings.EMAIL_HOST = "mail.example"
    assert "No mail server" not in browser.get(PAGE).text
