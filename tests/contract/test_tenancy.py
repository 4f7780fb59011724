"""Nobody reaches what is another's: every id of every operation of the schema."""

import json
import re
from typing import Any

import pytest

from core import ids
from tests.contract.conftest import PATHS, Someone, World
from tests.contract.operations import OPERATIONS, check_problem, rows, send, without_ids

# Each field of a body or a query that names an object, likewise.
FIELDS: dict[str, Any] = {
    "session_id": lambda one: str(one.session.pk),
    "companion": lambda one: one.companion.type,
    "model": lambda one: "theirs-only",
    "cursor": lambda one: str(one.message.pk),
    "workspace": lambda one: str(one.actor.workspace.pk),
    "agent": lambda one: one.companion.agent.slug,
    "companion_type": lambda one: one.companion.type,
    "actor": lambda one: str(one.actor.user.pk),
}
NOT_AN_ID = {
    "action", "after", "approved", "archived", "arguments", "attachments", "autonomy", "decision", "digest", "email",
    "enabled", "events", "forget", "limit", "memory_layers", "message", "metadata", "offset", "on_conflict", "password",
    "personality", "q", "reason", "refresh", "remember", "response", "risk", "rotate_secret", "since", "status",
    "api_key", "by", "from", "provider", "to", "validate",
    "stream", "title", "tone", "tool", "tools_allowed", "type", "until", "url", "wait",
    "body", "description", "document", "dry_run", "headers", "keep", "method", "name", "parameters", "places", "retry",
    "timeout", "transport", "program", "secrets", "definition",
    "hosts", "value", "words",
    "content", "expires_at", "keep_transcript", "layer", "memory_budget", "paused", "pinned",
    "memories",  # tests/memory/test_portability.py
    "signature",  # tests/chat/test_links.py
    "replaces",  # of the session that the message goes to: tests/chat/test_chat_page.py
    "newest", "code",
    "reports_to",  # tests/agents/test_reporting.py
    "all", "chat_mode", "mode", "mood", "slug",
    "capabilities", "instructions", "kind", "file", "number", "rename", "schedule", "task", "version",
    "may_ask", "message_ids", "skills", "tools",  # tests/agents/test_definitions.py, tests/chat/test_inbox.py
    "agents", "lead",  # slugs: tests/agents/test_teams.py
    "daily_time", "quiet_hours", "time_zone", "urgent_at_once",
    "results",  # of calls that the run in the path asked for: tests/chat/test_client_tools.py
    "ids",  # several, each answered for itself: tests/approvals/test_api.py
}  # fmt: skip
SHARED = {
    "type",
    "companion",
    "companion_type",
    "model",
    "workspace",
    "agent",
    "agent_id",
    "tool_id",
    "secret_name",
    "mcp_server_id",
    "mcp_tool_id",
    "team_id",
    "skill_id",
    "channel_id",
}  # of the workspace, so the same for a colleague
SEEN_BY_ADMINS = {"approval_id"}  # a colleague's too

# For admins, and an agent's model is looked for only when it is to answer.
NAMES_ANY_MODEL = {"POST /v1/ai/agents", "PATCH /v1/ai/agents/{agent_id}"}

# A sign-in that failed is told to the audit log.
LOG = {"approvals_auditevent", "approvals_auditpayload", "approvals_auditunsealed"}

with_path = [(one, name) for one in OPERATIONS for name in one.parameters("path")]
with_ids = [
    (one, place, name)
    for one in OPERATIONS
    for place, found in (("body", one.fields), ("query", one.parameters("query")))
    for name in found
    if name in FIELDS and str(one) not in NAMES_ANY_MODEL
]


def nobodys(name: str) -> str:
    known = {"type": "no-such-type", "model": "no-such-model"}
    known |= dict.fromkeys(("companion", "companion_type"), "no-such-type")
    return known.get(name) or str(ids.new())


def said(response: Any) -> Any:
    """The body of a response that is no stream."""
    return response.json() if response.content else None


@pytest.mark.parametrize("place", ["path", "body and query"])
def test_every_name_in_the_schema_is_in_the_cast(place):
    """A new route that takes an id fails here until the matrix has another's object for it."""
    if place == "path":
        missing = {(str(one), name) for one, name in with_path if name not in PATHS}
    else:
        missing = {
            (str(one), name)
            for one in OPERATIONS
            for name in {**one.fields, **one.parameters("query")}
            if name not in FIELDS and name not in NOT_AN_ID
        }
    assert not missing, f"add it to the cast: an id of another's for {missing}"


@pytest.mark.parametrize("who", ["me", "admin"])
@pytest.mark.parametrize(("operation", "name"), with_path, ids=str)
def test_anothers_object_is_as_one_that_does_not_exist(world: World, operation, name, who):
    caller: Someone = getattr(world, who)
    body = operation.least_body(world.examples)
    nobody = nobodys(name)
    expected = send(caller.api, operation, caller.url(operation, **{name: nobody}), body)
    expected = without_ids(check_problem(expected, 404), nobody)
    before = rows()
    for other in (world.stranger, world.colleague):
        if other is world.colleague and (name in SHARED or (who == "admin" and name in SEEN_BY_ADMINS)):
            continue
        theirs = PATHS[name](other)
        for method in {operation.method, "HEAD"} if operation.method == "GET" else {operation.method}:
            path = caller.url(operation, **{name: theirs})
            answer = caller.api.generic(method, path, json.dumps(body or {}), "application/json")
            assert answer.status_code == 404, (method, path)
            if method != "HEAD":
                assert without_ids(check_problem(answer, 404), theirs) == expected
    assert rows() == before


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.parameters("path")], ids=str)
def test_ones_own_object_is_there(world: World, operation):
    """Without this the matrix could pass for want of a right path."""
    answer = send(world.admin.api, operation, world.admin.url(operation), operation.least_body(world.examples))
    # The caller's session is busy; that it says so means that it was found.
    assert answer.status_code < 300, answer.content


@pytest.mark.parametrize(("operation", "place", "name"), with_ids, ids=str)
def test_anothers_id_in_a_body_or_a_query_is_as_one_that_does_not_exist(world: World, operation, place, name):
    def ask(value: str) -> Any:
        body = operation.least_body(world.examples)
        path = world.me.url(operation)
        if place == "query":
            return send(world.me.api, operation, f"{path}?{name}={value}", body)
        return send(world.me.api, operation, path, {**(body or {}), name: value})

    nobody = nobodys(name)
    expected = ask(nobody)
    before = rows()
    for other in (world.stranger, world.colleague):
        if other is world.colleague and name in SHARED:
            continue
        theirs = FIELDS[name](other)
        answer = ask(theirs)
        assert answer.status_code == expected.status_code
        assert without_ids(said(answer), theirs) == without_ids(said(expected), nobody)
    changed = {table for table, content in rows().items() if content != before[table]}
    assert changed <= ({*LOG, "axes_accessattempt"} if operation.path == "/v1/auth/login" else set())
    if place == "body":
        check_problem(expected)
        assert expected.status_code in ((401,) if operation.public else (400, 404))


def test_a_list_shows_the_callers_own_only(world: World):
    for one in (world.me, world.colleague, world.stranger):
        listed = one.api.get("/v1/ai/sessions").json()
        assert ([row["id"] for row in listed["sessions"]], listed["total"]) == ([str(one.session.pk)], 1)
    secrets = f"{world.stranger.actor.workspace.pk}|theirs|{world.colleague.session.pk}|{world.colleague.actor.user.pk}"
    for one in OPERATIONS:
        if one.method == "GET" and not one.parameters("path"):
            answer = world.me.api.get(one.path)
            if not answer.streaming:  # tests/memory/test_portability.py
                assert not re.search(secrets, answer.content.decode()), one


def test_a_cursor_of_anothers_list_shows_nothing_of_theirs(world: World):
    world.colleague.api.post("/v1/ai/sessions", {"companion": "smart-home"})
    cursor = world.colleague.api.get("/v1/ai/sessions?limit=1").json()["next_cursor"]
    answer = world.me.api.get("/v1/ai/sessions", {"cursor": cursor})
    assert answer.status_code in (200, 400)
    assert {row["id"] for row in answer.json().get("sessions", [])} <= {str(world.me.session.pk)}


def test_answers_are_kept_by_no_cache_and_differ_by_their_caller(world: World):
    for one in (world.me, world.stranger):
        answer = one.api.get("/v1/ai/sessions")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Authorization" in answer.headers["Vary"]
        assert answer.json()["sessions"][0]["id"] == str(one.session.pk)
