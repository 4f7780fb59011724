"""Who gets in with which credential, and how far."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts import authentication
from accounts.models import Membership, User, Workspace
from accounts.services import keys, login, mfa
from core import valkey
from tests.cast import Api

pytestmark = pytest.mark.urls("tests.accounts.urls")
ORIGIN = "https://app.example"


def refused(response, status, code):
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    assert response["Content-Type"] == "application/problem+json"
    if status == 401:
        assert response["WWW-Authenticate"] == "Bearer"
    return True


def jwt_of(actor, token_class=AccessToken, **changes):
    token = token_class()
    claims = {"user_id": str(actor.user.pk), "workspace_id": str(actor.workspace.pk), "stamp": login.stamp(actor.user)}
    for name, value in {**claims, **changes}.items():
        token[name] = value
    return str(token)


def test_a_key_and_a_token_both_say_who_is_asking(api, member):
    told = {"user": member.user.email, "workspace": "home", "role": "member"}
    assert api.get("/v1/whoami").json() == told
    assert Api(jwt_of(member)).get("/v1/whoami").json() == told
    assert Api().get("/v1/whoami", headers={"Authorization": f"bearer {api.key}"}).status_code == 200


def test_a_request_by_key_asks_the_database_once(api, django_assert_num_queries):
    api.get("/v1/whoami")
    with django_assert_num_queries(1):
        api.get("/v1/whoami")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer a b",
        "Bearer é",
        "Bearer \x00",
        "Bearer sk_live_cs_x",
        "Bearer eyJ.a.b",
        "Bearer null",
    ],
)
def test_a_header_that_is_no_credential_is_unauthorized(db, header):
    assert Api().get("/v1/whoami", headers={"Authorization": header}).status_code == 401


def test_no_credential_is_unauthorized(db):
    assert refused(Api().get("/v1/whoami"), 401, "unauthorized")


def test_a_key_in_the_url_is_refused_with_a_warning_even_beside_a_header(api):
    response = api.get(f"/v1/whoami?api_key={api.key}")
    assert refused(response, 401, "unauthorized")
    assert "rotate" in response["Warning"]
    assert api.key not in response.content.decode()
    hidden = api.get(f"/v1/whoami?api_key={api.key.replace('_', '%5F')}")
    assert refused(hidden, 401, "unauthorized")
    assert "rotate" in hidden["Warning"]


def test_a_token_must_be_ours_of_the_right_kind_unexpired_and_whole(member, settings):
    expired = AccessToken()
    expired.set_exp(lifetime=timedelta(seconds=-60))
    bad = [
        jwt_of(member)[:-2] + "xx",
        jwt_of(member, RefreshToken),
        jwt_of(member, user_id="not a uuid"),
        jwt_of(member, workspace_id=5),
        jwt_of(member, stamp="other"),
        str(AccessToken()),
        str(expired),
        "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoiMSJ9.",
    ]
    for text in bad:
        assert refused(Api(text).get("/v1/whoami"), 401, "invalid_token")


def test_a_token_ends_with_the_membership_the_person_and_the_password(member, stranger):
    client = Api(jwt_of(member))
    assert client.get("/v1/whoami").status_code == 200
    assert Api(jwt_of(member, workspace_id=str(stranger.workspace.pk))).get("/v1/whoami").status_code == 401
    User.objects.filter(pk=member.user.pk).update(is_active=False)
    assert client.get("/v1/whoami").status_code == 401
    User.objects.filter(pk=member.user.pk).update(is_active=True)
    member.user.set_password("another password")
    member.user.save()
    assert client.get("/v1/whoami").status_code == 401
    fresh = Api(jwt_of(member))
    assert fresh.get("/v1/whoami").status_code == 200
    Membership.objects.filter(pk=member.membership.pk).delete()
    assert fresh.get("/v1/whoami").status_code == 401


def test_a_publishable_key_opens_pages_from_its_origins_only(member):
    _, text = keys.create(
        workspace=member.workspace, user=member.user, name="page", kind="publishable", origins=[ORIGIN]
    )
    client = Api(text)
    assert client.get("/v1/page", headers={"Origin": ORIGIN}).status_code == 200
    assert refused(client.get("/v1/whoami", headers={"Origin": ORIGIN}), 403, "secret_key_required")
    for origin in ("https://evil.example", "https://app.example.evil.example", "null", "http://app.example", ""):
        assert refused(client.get("/v1/page", headers={"Origin": origin}), 403, "origin_not_allowed")
    assert client.get("/v1/page").status_code == 200  # a page's own origin, of which browsers say nothing, or an app


def test_a_scope_opens_its_views_and_nothing_else(member):
    def client(*scopes):
        return Api(keys.create(workspace=member.workspace, user=member.user, name="k", kind="scoped", scopes=scopes)[1])

    assert client("chat").get("/v1/whoami").status_code == 200
    assert client().get("/v1/unscoped").status_code == 200
    answer = client("memory").get("/v1/whoami")
    assert refused(answer, 403, "scope_required")
    assert answer.json()["detail"] == "The key's scopes do not cover this: it needs `chat`."
    answer = client("chat").get("/v1/unscoped")
    assert refused(answer, 403, "scope_required")
    assert answer.json()["detail"] == "The key's scopes do not cover this: it needs a key without scopes."


def test_a_role_opens_what_is_for_it_and_an_admin_has_them_all(owner, manager, member, client_of):
    assert client_of(manager).get("/v1/managers").status_code == 200
    assert client_of(owner).get("/v1/managers").status_code == 200
    assert refused(client_of(member).get("/v1/managers"), 403, "role_required")


def test_a_ticket_opens_once(api, member):
    told = api.post("/v1/auth/ticket").json()
    assert told["expires_in"] == 30
    assert 0 < valkey.client().ttl(authentication._ticket_name(told["ticket"])) <= 30
    actor = authentication.redeem_ticket(told["ticket"]).holder()
    assert (actor.user, actor.workspace) == (member.user, member.workspace)
    assert actor.key is not None
    for used in (told["ticket"], "wst_unknown", "", "\ud800", "é"):
        with pytest.raises(authentication.InvalidToken):
            authentication.redeem_ticket(used)


def test_a_ticket_ends_with_the_key_or_membership_that_it_was_issued_to(api, member):
    by_key = authentication.issue_ticket(keys.verify(api.key))
    by_token = authentication.issue_ticket(member)
    assert authentication.redeem_ticket(authentication.issue_ticket(member)).holder().user == member.user
    keys.revoke(keys.verify(api.key).key)
    Membership.objects.all().delete()
    for ticket in (by_key, by_token):
        with pytest.raises(authentication.InvalidToken):
            authentication.redeem_ticket(ticket)


@pytest.mark.parametrize("end", ["password", "session", "token", "second factor"])
def test_what_a_ticket_opened_ends_with_what_it_was_got_with(member, settings, end):
    settings.ROOT_URLCONF = "config.urls"
    client = Client()
    client.force_login(member.user)
    session = client.session.session_key
    old = jwt_of(member)
    by_session = authentication.redeem_ticket(authentication.issue_ticket(member, session_key=session))
    by_token = authentication.redeem_ticket(authentication.issue_ticket(member, token=old))
    assert by_session.holder().user == by_token.holder().user == member.user
    assert session not in repr(by_session)
    if end == "password":
        member.user.set_password("another password")
        member.user.save()
    elif end == "session":
        client.logout()
    elif end == "token":
        by_token = replace(by_token, token_ends=int(time.time()))
    else:
        Workspace.objects.update(require_mfa=True)
    ended = {"session": [by_session], "token": [by_token]}.get(end, [by_session, by_token])
    for ticket in ended:
        with pytest.raises(authentication.InvalidToken):
            ticket.holder()
    if end == "second factor":
        with pytest.raises(mfa.MfaSetupRequired):
            authentication.authenticate_token(old)


def test_a_ticket_got_by_a_session_names_it(member, settings):
    settings.ROOT_URLCONF = "config.urls"
    client = Client()
    client.force_login(member.user)
    ticket = client.post("/v1/auth/ticket").json()["ticket"]
    held = authentication.redeem_ticket(ticket)
    assert held.holder().user == member.user
    client.logout()
    with pytest.raises(authentication.InvalidToken):
        held.holder()


def test_the_schema_tells_of_both_as_bearer_tokens(client, settings):
    settings.ROOT_URLCONF = "config.urls"
    schemes = client.get("/api/schema/", headers={"Accept": "application/json"}).json()["components"]["securitySchemes"]
    assert {"apiKey", "token"} <= set(schemes)
    assert all((one["type"], one["scheme"]) == ("http", "bearer") for one in (schemes["apiKey"], schemes["token"]))
