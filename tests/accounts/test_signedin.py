"""A session of a browser as a credential of our own pages, and only of those."""

from functools import partial

import pytest
from django.test import Client

from accounts.models import Membership, Role, Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(member):
    client = Client(enforce_csrf_checks=True)
    client.force_login(member.user)
    return client


def token(browser: Client) -> str:
    """The token against forgery, as a page of ours gets it."""
    browser.cookies["csrftoken"] = "a" * 32
    return "a" * 32


def test_a_session_reads_what_its_person_may_read(browser):
    assert browser.get("/v1/ai/sessions").status_code == 200


def test_nobody_is_let_in_without_a_session():
    assert Client().get("/v1/ai/sessions").status_code == 401


def test_a_change_needs_the_token_against_forgery(browser, smart_home):
    body = {"companion": smart_home.type}
    refused = browser.post("/v1/ai/sessions", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    made = browser.post(
        "/v1/ai/sessions", body, content_type="application/json", headers={"X-CSRFToken": token(browser)}
    )
    assert made.status_code in (200, 201)


@pytest.mark.parametrize("path", ["/v1/models", "/api/agents/", "/api/teams/", "/api/chat/conversations"])
def test_a_cookie_is_no_credential_where_other_clients_call(browser, path):
    assert browser.get(path).status_code == 401


def test_a_bad_key_is_refused_whatever_the_cookie(browser):
    answer = browser.get("/v1/ai/sessions", headers={"Authorization": "Bearer cs_test_nothing"})
    assert answer.status_code == 401


def test_a_person_who_may_no_longer_sign_in_is_nobody(browser, member):
    member.user.is_active = False
    member.user.save(update_fields=["is_active"])
    assert browser.get("/v1/ai/sessions").status_code == 401


def test_the_workspace_that_one_chose_is_where_one_works(browser, member):
    other = Workspace.objects.create(name="The other", slug="the-other")
    Membership.objects.create(workspace=other, user=member.user, role=Role.MEMBER)
    data = {"workspace": str(other.pk), "next": "/memory/", "csrfmiddlewaretoken": token(browser)}
    answer = browser.post("/account/workspace/", data)
    assert (answer.status_code, answer["Location"]) == (302, "/memory/")
    assert browser.session["workspace"] == str(other.pk)


def test_a_page_of_another_workspace_than_one_works_in_does_nothing(browser, member, smart_home):
    other = Workspace.objects.create(name="The other", slug="the-other")
    Membership.objects.create(workspace=other, user=member.user, role=Role.MEMBER)
    shown = {"X-Workspace": str(member.workspace.pk), "X-CSRFToken": token(browser)}
    body = {"companion": smart_home.type}
    begin = partial(browser.post, "/v1/ai/sessions", body, content_type="application/json", headers=shown)
    assert begin().status_code == 201
    browser.post("/account/workspace/", {"workspace": str(other.pk), "csrfmiddlewaretoken": token(browser)})
    for answer in (begin(), browser.get("/v1/ai/sessions", headers=shown)):
        assert (answer.status_code, answer.json()["code"]) == (409, "other_workspace")
    assert browser.get("/v1/ai/sessions").json()["sessions"] == []


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_switching_leads_nowhere_else(browser, member, back):
    data = {"workspace": str(member.workspace.pk), "next": back, "csrfmiddlewaretoken": token(browser)}
    assert browser.post("/account/workspace/", data)["Location"] == "/"


@pytest.mark.parametrize("wanted", ["", "nonsense", "00000000-0000-7000-8000-000000000000"])
def test_a_workspace_of_others_is_not_found(browser, wanted):
    data = {"workspace": wanted, "csrfmiddlewaretoken": token(browser)}
    answer = browser.post("/account/workspace/", data, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert b"There is no such workspace." in answer.content
    assert "script-src 'self';" in answer["Content-Security-Policy"]


def test_a_stranger_is_sent_to_sign_in():
    answer = Client().post("/account/workspace/", {"workspace": ""})
    assert answer.status_code == 302
    assert "login" in answer["Location"]
