"""A kind of approvals for tests: services of a desk that are switched, kept in memory, with a lock of their own."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Actor, Workspace
from accounts.services import keys
from approvals.calls import Behind, Call, Context, PastCall, Person
from approvals.kinds import Revision
from approvals.models import Approval, AuditEvent, PolicyVersion, Vote
from approvals.rules import Ask
from approvals.services import approvals
from approvals.terms import terms_of
from core import digest, ids
from core.errors import Forbidden, Invalid

KIND = "desk"
NOBODY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


class EditDenied(Forbidden):
    """Policy refuses the edited call."""

    code = "denied_by_policy"


@dataclass
class Matter:
    """What would be done."""

    arguments: dict[str, Any]
    policy_version: int = 1

    @property
    def digest(self) -> str:
        """What a decision is bound to."""
        return digest.hexdigest([self.arguments, self.policy_version])


class Desk:
    """Keeps what is asked about, and hears what became of it; `asks` has the terms for services that an edit
    names, `changes` what was changed since it was asked."""

    def __init__(self) -> None:
        self.matters: dict[UUID, Matter] = {}
        self.heard: list[tuple[UUID, str]] = []
        self.asks: dict[str, Ask] = {}
        self.changes: dict[UUID, str] = {}
        self.locked: list[UUID] = []
        self._writing = threading.Lock()

    def lock(self, subject_id: UUID) -> None:
        """As a row above the approval would be locked."""
        self.locked.append(subject_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", [str(subject_id)])

    def revise(self, approval: Approval, arguments: dict[str, Any]) -> Revision:
        """The desk knows one argument, and one service that nobody may touch."""
        if set(arguments) != {"service"} or not isinstance(arguments["service"], str):
            raise Invalid.field("arguments", "service: a text")
        if arguments["service"] == "vault":
            raise EditDenied
        matter = Matter(arguments, 2)
        self.matters[approval.subject_id] = matter
        ask = self.asks.get(arguments["service"])
        if ask is not None:
            rule(approval.workspace, approval.subject_id, ask)
        return Revision(
            arguments=arguments,
            digest=matter.digest,
            preview={"sentence": f"Restart {arguments['service']}."},
            policy_version=2,
            ask=ask,
        )

    def decided(self, approval: Approval) -> None:
        """Remember it."""
        with self._writing:
            self.heard.append((approval.pk, approval.status))

    def current(self, approval: Approval) -> tuple[str, Call]:
        """Of what is kept now."""
        return self.matters[approval.subject_id].digest, self.call(approval)

    def call(self, approval: Approval) -> Call:
        """The call as it is now."""
        arguments = self.matters[approval.subject_id].arguments
        return call(approval.workspace, agent=str(approval.subject_id), arguments=arguments)

    def changed(self, approval: Approval) -> str:
        """Whether the service is another by now."""
        return self.changes.get(approval.subject_id, "")

    def calls_since(self, workspace_id: UUID, since: datetime) -> Iterator[PastCall]:
        """None are kept."""
        return iter(())

    def context(self, approval: Approval) -> Context:
        """Nothing was said."""
        return Context(title="The desk")


def call(workspace: Workspace, person: Actor | None = None, **changes: Any) -> Call:
    """A call that an agent would make."""
    given = {
        "tool": "service_restart",
        "risk": "write",
        "arguments": {"service": "billing"},
        "agent": "devops",
        "agent_id": NOBODY,
        "autonomy": "autonomous",
        "companion": "devops",
        "run_id": ids.new(),
        "session_id": ids.new(),
        **changes,
    }
    behind = person and Person(person.user.pk, person.user.email, person.role)
    return Call(workspace_id=workspace.pk, tier=workspace.tier, person=behind, **given)


def terms(**changes: Any) -> Ask:
    """What a policy says of how to ask."""
    given = {
        "policy": "Restarts",
        "quorum_approve": 1,
        "quorum_reject": 1,
        "roles": ("manager",),
        "groups": (),
        "people": (),
        "escalate_after": None,
        "escalate_to": None,
        "request_lasts": timedelta(hours=24),
        "approval_lasts": timedelta(hours=1),
        "editable": True,
        "fresh_password": False,
        "digest_required": False,
        "may_remember": False,
        "most_per_run": 10,
        **changes,
    }
    return Ask(**given)


def request(desk: Desk, person: Actor | None, *, workspace: Workspace | None = None, **changes: Any) -> Approval:
    """A request on behalf of the person: changes of the call are named `call`, all others are of the terms."""
    workspace = workspace or person.workspace
    wanted = call(workspace, person, **changes.pop("call", {}))
    subject_id = ids.new()
    matter = desk.matters[subject_id] = Matter(wanted.arguments)
    ask = terms(**changes)
    rule(workspace, subject_id, ask)
    with transaction.atomic():
        return approvals.request(
            call=wanted,
            ask=ask,
            kind=KIND,
            subject_id=subject_id,
            call_id="call_1",
            tool_version="v1",
            digest=matter.digest,
            preview={"sentence": f"Restart {wanted.arguments.get('service')}."},
            policy_version=1,
            requested_by=person and person.user,
            behind=Behind(),
        )


def rule(workspace: Workspace, subject_id: UUID, ask: Ask) -> None:
    """Rules by which one matter is asked about on these terms, until a test makes rules of its own."""
    first = PolicyVersion.objects.filter(workspace=workspace, version=1).first()
    if PolicyVersion.objects.filter(workspace=workspace).exclude(version=1).exists():
        return
    own = {"id": str(ids.new()), "name": ask.policy, "agent": str(subject_id), "effect": "ask", "priority": 1_000}
    rows = [row for row in (first.rules if first else []) if row["agent"] != str(subject_id)]
    PolicyVersion.objects.filter(workspace=workspace).delete()
    PolicyVersion.objects.create(workspace=workspace, version=1, rules=[*rows, {**own, **terms_of(ask)}])


def events(approval: Approval) -> list[str]:
    """What the log says of it, in order, without the common beginning of the names."""
    rows = AuditEvent.objects.filter(target_id=approval.pk).order_by("id")
    return [name.removeprefix("approval.") for name in rows.values_list("type", flat=True)]


def fresh(approval: Approval) -> Approval:
    """The request as the database has it."""
    return Approval.objects.get(pk=approval.pk)


def untouched(approval: Approval) -> bool:
    """Whether nothing came of what was tried."""
    now = fresh(approval)
    return (now.status, now.version, now.digest, Vote.objects.count()) == ("pending", 1, approval.digest, 0)


def with_key(actor: Actor, *scopes: str) -> Actor:
    """The person with a key in their hand."""
    key, _ = keys.create(workspace=actor.workspace, user=actor.user, name="Tests", scopes=scopes)
    return Actor(actor.user, actor.workspace, actor.membership, key)
