"""Every kind of credential at every operation of the schema: what opens which, and what opens nothing."""

import base64
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import resolve
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.models import KeyKind
from accounts.services import keys
from tests.cast import Api
from tests.contract.conftest import Someone, World, signed
from tests.contract.operations import OPERATIONS, check_problem, rows, send

PUBLIC = {"GET /v1/ai/health", "POST /v1/auth/login", "POST /v1/auth/refresh"}
# What a restricted key needs, where that is not `chat`; None: no scope opens it.
SCOPES = {
    "GET /v1/ai/keys": "keys",
    "POST /v1/ai/keys": "keys",
    "DELETE /v1/ai/keys/{provider}": "keys",
    "PUT /v1/ai/companions/{type}/config": "admin",
    "GET /v1/ai/info": None,
    "GET /v1/auth/me/export": None,
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/agents") and one.method != "GET"},
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/skills") and one.method != "GET"},
    "GET /v1/ai/agents/{agent_id}/versions": "admin",
    "GET /v1/ai/agents/{agent_id}/export": "admin",
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/webhooks")},
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/notifications/channels")},
    "GET /v1/ai/notifications/preferences": "approvals",
    "PUT /v1/ai/notifications/preferences": "approvals",
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/tools") and one.method != "GET"},
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/tool-secrets")},
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/mcp-servers")},
    **{str(one): "admin" for one in OPERATIONS if one.path.startswith("/v1/ai/teams") and one.method != "GET"},
    "POST /v1/ai/teams/{team_id}/chat": "chat",
    "GET /v1/ai/events": "audit",
    **{str(one): "memory" for one in OPERATIONS if one.path.startswith("/v1/ai/memory")},
    **{str(one): "approvals" for one in OPERATIONS if one.path.startswith("/v1/ai/approvals")},
}

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
guarded = pytest.mark.parametrize("operation", [one for one in OPERATIONS if not one.public], ids=str)


def test_the_public_operations_are_those_that_are_named():
    assert {str(one) for one in OPERATIONS if one.public} == PUBLIC


def token(claims: dict[str, Any], algorithm: str = "none") -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}."


def worthless(who: Someone) -> dict[str, str]:
    """Authorization headers that no door may open for, by what is wrong with them."""
    claims = {"user_id": str(who.actor.user.pk), "workspace_id": str(who.actor.workspace.pk)}
    late, unstamped = signed(AccessToken(), who.actor), signed(AccessToken(), who.actor)
    late.set_exp(from_time=datetime.now(UTC) - timedelta(hours=2))
    unstamped["stamp"] = "0" * 16
    gone, revoked = keys.create(workspace=who.actor.workspace, user=who.actor.user, name="Gone")
    keys.revoke(gone)
    past = datetime.now(UTC) - timedelta(seconds=1)
    _, expired = keys.create(workspace=who.actor.workspace, user=who.actor.user, name="Old", expires_at=past)
    return {
        "no scheme": who.key,
        "another scheme": f"Basic {who.key}",
        "no token": "Bearer",
        "two tokens": f"Bearer {who.key} {who.key}",
        "a wrong checksum": f"Bearer {who.key[:-1]}{'0' if who.key[-1] != '0' else '1'}",
        "a wrong secret": f"Bearer {who.key[:30]}",
        "another kind": "Bearer " + who.key.replace("sk_live", "pk_live"),
        "another mode": "Bearer " + who.key.replace("sk_live", "sk_test"),
        "not ASCII": "Bearer schlüssel",
        "a revoked key": f"Bearer {revoked}",
        "an expired key": f"Bearer {expired}",
        "an unsigned token": f"Bearer {token({**claims, 'token_type': 'access', 'exp': 2**33})}",
        "a refresh token": f"Bearer {signed(RefreshToken(), who.actor)}",
        "an expired token": f"Bearer {late}",
        "a token of an old password": f"Bearer {unstamped}",
    }


def without_log(tables: dict[str, str]) -> dict[str, str]:
    """The tables without the audit log, which tells of keys that were refused."""
    return {name: digest for name, digest in tables.items() if not name.startswith("approvals_audit")}


@guarded
def test_without_a_credential_that_holds_nothing_opens(world: World, operation):
    headers = {"none": None, **worthless(world.me)}
    path, body = world.me.url(operation), operation.least_body(world.examples)
    before = without_log(rows())
    for what, header in headers.items():
        answer = send(Api(), operation, path, body, headers={} if header is None else {"Authorization": header})
        problem = check_problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer", what
        assert world.me.key[-20:] not in json.dumps(problem), what
    assert without_log(rows()) == before


@every_operation
def test_what_needs_no_credential_is_served_without_one(world: World, operation):
    if operation.public:
        assert send(Api(), operation, operation.path, operation.least_body(world.examples)).status_code == 200


@guarded
def test_a_publishable_key_opens_no_native_route(world: World, operation):
    actor, origin = world.admin.actor, "https://example.org"
    _, secret = keys.create(
        workspace=actor.workspace, user=actor.user, name="Page", kind=KeyKind.PUBLISHABLE, origins=[origin]
    )
    path, body = world.admin.url(operation), operation.least_body(world.examples)
    for headers in ({"Origin": origin}, {"Origin": "https://elsewhere.example"}, {}):
        check_problem(send(Api(secret), operation, path, body, headers=headers), 403)


@pytest.mark.parametrize("kind", [KeyKind.SECRET, KeyKind.SCOPED])
@guarded
def test_each_scope_opens_its_own_operations_and_no_other(world: World, operation, kind):
    needed = SCOPES.get(str(operation), "chat")
    actor = world.admin.actor
    path, body = world.admin.url(operation), operation.least_body(world.examples)
    for scope in ("chat", "admin", "memory"):
        _, secret = keys.create(workspace=actor.workspace, user=actor.user, name=scope, kind=kind, scopes=[scope])
        if scope != needed:
            assert check_problem(send(Api(secret), operation, path, body), 403)["code"] == "scope_required"
    if needed:
        _, secret = keys.create(workspace=actor.workspace, user=actor.user, name="Right", kind=kind, scopes=[needed])
        assert send(Api(secret), operation, path, body).status_code < 300


@every_operation
def test_the_view_of_an_operation_names_the_scope_that_the_matrix_says(world: World, operation):
    view = resolve(world.me.url(operation)).func.cls()
    view.request = SimpleNamespace(method=operation.method)
    assert getattr(view, "scope", None) == (None if operation.public else SCOPES.get(str(operation), "chat"))


@guarded
def test_a_key_in_the_query_string_is_refused_and_not_repeated(world: World, operation):
    path, body = world.me.url(operation), operation.least_body(world.examples)
    for api in (Api(), world.me.api):
        answer = send(api, operation, f"{path}?api_key={world.me.key}", body)
        check_problem(answer, 401)
        assert "rotate" in answer.headers["Warning"]
        assert world.me.key not in answer.content.decode()
