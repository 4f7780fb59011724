"""Whatever people and time do to a request, in whatever order: its states are lawful, and the log tells the same."""

import contextlib
import json
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.models import Membership, Role, Workspace
from approvals import kinds
from approvals.models import Approval, AuditPayload, Decision, Vote
from approvals.services import approvals, audit
from core import ids
from core.errors import DomainError
from tests.approvals.desk import KIND, Desk, fresh, request, terms
from tests.cast import person

ENDINGS = {"approved", "rejected", "expired", "cancelled", "superseded"}
PEOPLE = ["requester", "second", "mara", "noor", "olga"]


class Countersigning(RuleBasedStateMachine):
    """One request on behalf of a manager, four who may vote (one of them the requester's other account), and time."""

    @initialize(approve=st.integers(1, 3), reject=st.integers(1, 3))
    def begin(self, approve: int, reject: int) -> None:
        """Somebody asks."""
        self.desk = Desk()
        kinds.register(KIND, self.desk)
        workspace = Workspace.objects.create(name="Home", slug=f"w{ids.new()}")
        self.people = {name: person(workspace, name, Role.MANAGER) for name in PEOPLE}
        self.people["second"].user.same_person_as = self.people["requester"].user
        self.people["second"].user.save()
        self.desk.asks = {"web": terms(quorum_approve=2, quorum_reject=1)}
        quorum = {"quorum_approve": approve, "quorum_reject": reject}
        self.asked = request(self.desk, self.people["requester"], **quorum)
        self.ended = ""

    def try_to(self, who: str, **how: Any) -> None:
        """Decide, or be refused."""
        with contextlib.suppress(DomainError):
            approvals.decide(self.asked.pk, by=self.people[who], **how)
            assert who not in ("requester", "second"), "the person behind a request decided"

    @rule(who=st.sampled_from(PEOPLE))
    def approve(self, who: str) -> None:
        """Vote for it."""
        self.try_to(who, decision=Decision.APPROVE, digest=fresh(self.asked).digest)

    @rule(who=st.sampled_from(PEOPLE))
    def reject(self, who: str) -> None:
        """Vote against it."""
        self.try_to(who, decision=Decision.REJECT, reason="No.")

    @rule(who=st.sampled_from(PEOPLE), service=st.sampled_from(["billing", "mail", "web", "vault"]))
    def edit(self, who: str, service: str) -> None:
        """Vote for something else."""
        self.try_to(who, decision=Decision.APPROVE, arguments={"service": service})

    @rule(who=st.sampled_from(PEOPLE))
    def respond(self, who: str) -> None:
        """Answer in place of the tool."""
        self.try_to(who, decision=Decision.RESPOND, response="By hand.")

    @rule(who=st.sampled_from(PEOPLE))
    def vote_on_what_was_shown_first(self, who: str) -> None:
        """Which an edit may have replaced."""
        self.try_to(who, decision=Decision.APPROVE, digest=self.asked.digest)

    @rule(who=st.sampled_from(PEOPLE[2:]), role=st.sampled_from([Role.MEMBER, Role.MANAGER]))
    def change_role(self, who: str, role: Role) -> None:
        """Lose the right, or get it back."""
        Membership.objects.filter(user=self.people[who].user).update(role=role)

    @rule(over=st.booleans())
    def expire(self, over: bool) -> None:
        """The sweep comes by, after the time or before it."""
        if over:
            Approval.objects.filter(pk=self.asked.pk).update(expires_at=Now() - timedelta(seconds=1))
        approvals.expire_due()

    @rule()
    def cancel(self) -> None:
        """The run ends."""
        approvals.cancel(self.asked.run_id, who=audit.SYSTEM, reason="Stopped.")

    @rule()
    def supersede(self) -> None:
        """The policy changes."""
        approvals.supersede(self.asked.pk, reason="The policy changed.")

    @invariant()
    def one_end_at_most(self) -> None:
        """A terminal status is never left, and its owner heard of it once."""
        now = fresh(self.asked)
        assert now.status in ENDINGS | {"pending"}
        assert not self.ended or now.status == self.ended
        self.ended = now.status if now.status in ENDINGS else ""
        assert self.desk.heard == ([(now.pk, now.status)] if self.ended else [])

    @invariant()
    def votes_are_lawful(self) -> None:
        """One a person, none by the person behind it, and each on the version it was shown."""
        now = fresh(self.asked)
        votes = list(Vote.objects.filter(approval=now, void=False).select_related("user"))
        identities = [vote.user.identity for vote in votes]
        assert len(set(identities)) == len(identities)
        assert self.people["requester"].user.pk not in identities
        assert {vote.digest for vote in votes} <= {now.digest}
        if now.status == "approved":
            assert sum(vote.decision != Decision.REJECT for vote in votes) >= now.terms["quorum_approve"]
        if now.status == "rejected":
            assert sum(vote.decision == Decision.REJECT for vote in votes) >= now.terms["quorum_reject"]

    @invariant()
    def the_log_tells_the_same(self) -> None:
        """Rebuilt from the log alone, the request stands as it does."""
        now = fresh(self.asked)
        told = rebuilt(now)
        assert told["status"] == now.status
        for name in ("arguments", "terms", "digest", "version"):
            assert told[name] == getattr(now, name), name
        votes = Vote.objects.filter(approval=now, void=False).values_list("user_id", "decision")
        assert sorted(told["votes"], key=str) == sorted(((user, said) for user, said in votes), key=str)


def rebuilt(approval: Approval) -> dict[str, Any]:
    """The request as the log tells it."""
    state: dict[str, Any] = {"votes": []}
    rows = AuditPayload.objects.filter(event__target_id=approval.pk).select_related("event").order_by("event_id")
    for row in rows:
        kind, data = row.event.type.removeprefix("approval."), json.loads(row.data)
        if kind == "denied_attempt":
            continue
        if kind == "requested":
            state |= {"status": "pending", "arguments": data["arguments"], "terms": data["terms"]}
        elif kind == "edited":
            state |= {"arguments": data["after"]["arguments"], "terms": data["terms"], "votes": []}
        elif kind in ENDINGS:
            assert state["status"] == data["before"] == "pending"
            state["status"] = data["after"]
        state |= {"digest": data["digest"], "version": data["version"]}
        if data.get("decision"):
            state["votes"].append((row.event.actor_id, data["decision"]))
    return state


def test_no_order_of_events_breaks_a_promise(db):
    run_state_machine_as_test(
        Countersigning, settings=settings(max_examples=20, stateful_step_count=15, deadline=None, database=None)
    )
