"""The pages whose time must not grow with their tables: of the API and the admin, filtered for much and for nothing.

Imports models: `countersigning.connect` comes first.
"""

import datetime
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core import signing
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, User, Workspace
from accounts.services import keys
from agents.models import Agent
from approvals.models import AuditEvent
from benchmarks import filling
from core import ids

API, ADMIN = "/v1/ai", "/admin/approvals"
CURSOR = "approvals.events"  # the salt of the log's cursors


@dataclass(frozen=True, slots=True)
class Page:
    """A page by a name of its own; `rows` is the list in its answer that must not be empty, or must where `empty`."""

    name: str
    client: Client
    path: str
    rows: str = ""
    empty: bool = False

    def get(self) -> None:
        """Load it; raises where it does not answer, or not with what was to be measured."""
        answer = self.client.get(self.path)
        body = answer.content
        assert answer.status_code == 200, (self.path, answer.status_code, body[:300])
        if self.rows:
            assert bool(json.loads(body)[self.rows]) is not self.empty, (self.path, body[:300])


def every(manager: dict[str, str]) -> list[Page]:
    """All pages, for the rows that there are now."""
    workspace = Workspace.objects.get(slug="demo")
    head = _api(User.objects.get(email=manager["email"]), workspace)
    busiest = User.objects.get(email="person0@bench.example")
    asker = User.objects.get(email="person1@bench.example")
    return [
        *_approvals("manager", head, _requests(workspace)),
        *_approvals("member", _api(asker, workspace), {"own": {"status": "all"}, "pending": {}}),
        *_events("manager", head, _log(workspace, busiest)),
        *_events("member", _api(asker, workspace), _own_log()),
        *_admin("manager", User.objects.get(email=manager["email"]), workspace),
        *_admin("operator", User.objects.get(email="admin@demo.example"), workspace),
    ]


Filters = dict[str, dict[str, Any]]
NOTHING = "nothing: "


def _requests(workspace: Workspace) -> Filters:
    everything = {"status": "all"}
    return {
        "pending": {},
        "pending of a risk": {"risk": "destructive"},
        "approved": {"status": "approved"},
        "expired": {"status": "expired"},
        "all": everything,
        "all, the last 20 of the first 160": {**everything, "offset": 140},
        "of a tool": {**everything, "tool": "tool_1"},
        "of a rare tool": {**everything, "tool": filling.RARE},
        "of a risk": {**everything, "risk": "write"},
        "of an agent": {**everything, "agent": "devops"},
        "rejected of a rare tool": {"status": "rejected", "risk": "write", "agent": "devops"},
        f"{NOTHING}a tool that nobody used": {**everything, "tool": "nothing"},
        f"{NOTHING}a risk that nobody asks for": {**everything, "risk": "read"},
        f"{NOTHING}a status that none has": {"status": "superseded"},
        f"{NOTHING}approved of a risk that none has": {"status": "approved", "risk": "read"},
        f"{NOTHING}cancelled of a tool that nobody used": {"status": "cancelled", "tool": "nothing"},
    }


def _log(workspace: Workspace, busiest: User) -> Filters:
    newest = AuditEvent.objects.filter(workspace=workspace).order_by("-pk")
    [session] = (
        newest.filter(type="action.started").exclude(session_id=None).values_list("session_id", flat=True)[20:21]
    )
    then = timezone.now() - datetime.timedelta(days=filling.DAYS / 2)
    day = {"since": then.isoformat(), "until": (then + datetime.timedelta(days=10)).isoformat()}
    silent = Agent.objects.create(workspace=workspace, slug=f"silent-{ids.new().hex[-12:]}", name="Silent")
    return {
        "all": {},
        "from the middle on": {"cursor": signing.dumps(str(ids.first_since(then)), salt=CURSOR)},
        "of a type": {"type": "action.started"},
        "of an actor": {"actor": str(busiest.pk)},
        "of an actor by address": {"actor": busiest.email},
        "of the system": {"actor": "system"},
        "of an agent": {"agent": "devops"},
        "of a session": {"session_id": session},
        "of a session and a type": {"session_id": session, "type": "action.started", "limit": 1},
        "of ten days": day,
        "of ten days and a type": {**day, "type": "action.succeeded"},
        f"{NOTHING}a type that never was": {"type": "workspace.frozen"},
        f"{NOTHING}an actor who did nothing": {"actor": "nobody@bench.example"},
        f"{NOTHING}an agent that did nothing": {"agent": silent.slug},
        f"{NOTHING}a day before all days": {"until": "2020-01-02T00:00:00Z"},
        f"{NOTHING}an actor with what they never do": {"actor": str(busiest.pk), "type": "approval.expired"},
        f"{NOTHING}an agent with what it never does": {"agent": "devops", "type": "login.failed"},
        f"{NOTHING}an actor and an agent": {"actor": str(busiest.pk), "agent": "devops"},
        f"{NOTHING}a day and a type that was not": {**day, "type": "workspace.frozen"},
    }


def _own_log() -> Filters:
    return {
        "own": {},
        "own of a type": {"type": "action.started"},
        f"{NOTHING}a type that never was": {"type": "workspace.frozen"},
        f"{NOTHING}what only others do": {"type": "login.failed"},
    }


def _approvals(who: str, client: Client, lists: Filters) -> list[Page]:
    return _listed(f"GET /approvals, {who}", client, f"{API}/approvals", "approvals", lists)


def _events(who: str, client: Client, lists: Filters) -> list[Page]:
    return _listed(f"GET /events, {who}", client, f"{API}/events", "events", lists)


def _listed(title: str, client: Client, path: str, rows: str, lists: Filters) -> list[Page]:
    return [
        Page(f"{title}: {name}", client, f"{path}?{urlencode(query)}", rows, name.startswith(NOTHING))
        for name, query in lists.items()
    ]


def _admin(who: str, user: User, workspace: Workspace) -> list[Page]:
    client = Client(headers={"Host": "localhost"})
    client.force_login(user)
    newest = AuditEvent.objects.filter(workspace=workspace).order_by("-pk")
    [session] = (
        newest.filter(type="action.started").exclude(session_id=None).values_list("session_id", flat=True)[20:21]
    )
    half = ids.first_since(timezone.now() - datetime.timedelta(days=filling.DAYS / 2))
    paths = {
        "overview": "/admin/",
        "inbox": f"{ADMIN}/inbox/",
        "inbox, all that wait": f"{ADMIN}/inbox/?whose=all",
        "inbox, of a tool": f"{ADMIN}/inbox/?whose=all&tool=tool_1",
        "approvals": f"{ADMIN}/approval/",
        "approvals, rejected": f"{ADMIN}/approval/?status__exact=rejected",
        "approvals, of a rare tool": f"{ADMIN}/approval/?tool={filling.RARE}",
        "approvals, none superseded": f"{ADMIN}/approval/?status__exact=superseded",
        "approvals, of the last day": f"{ADMIN}/approval/?since=24",
        "approvals, from the middle on": f"{ADMIN}/approval/?before={half}",
        "audit log": f"{ADMIN}/auditevent/",
        "audit log, of a type": f"{ADMIN}/auditevent/?type=action.started",
        "audit log, of a type that never was": f"{ADMIN}/auditevent/?type=workspace.frozen",
        "audit log, of the last hour": f"{ADMIN}/auditevent/?since=1",
        "audit log, from the middle on": f"{ADMIN}/auditevent/?before={half}",
        "audit log, search for a session": f"{ADMIN}/auditevent/?q={session}",
        "audit log, search for a person": f"{ADMIN}/auditevent/?q=person0@bench.example",
        "audit log, search in vain": f"{ADMIN}/auditevent/?q={UUID(int=1)}",
        "audit event": f"{ADMIN}/auditevent/{newest.values_list('pk', flat=True)[0]}/change/",
        "trust": f"{ADMIN}/trust/",
    }
    return [Page(f"Admin, {who}: {name}", client, path) for name, path in paths.items()]


def _api(user: User, workspace: Workspace) -> Client:
    """A client that carries a new key of the person."""
    assert Membership.objects.filter(user=user, workspace=workspace).exists()
    _, secret = keys.create(workspace=workspace, user=user, name="Benchmark", scopes=["approvals", "audit"])
    return Client(headers={"Authorization": f"Bearer {secret}", "Host": "localhost"})
