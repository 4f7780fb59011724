"""Whole lives of risky calls, through the services that web and workers call.

Imports models: `countersigning.connect` comes first.
"""

import time

from django.db import connection

from accounts.models import Actor, Membership, Workspace
from agents import brain
from agents.providers.base import ToolCall
from approvals.models import Decision
from approvals.services import approvals
from chat.models import Action, ActionState, Run, RunState
from chat.services import conversations, execution, finishing, leases, proposing, runs
from chat.services.actions import Asked
from chat.services.execution import Outcome
from chat.services.leases import Claim
from companions.models import Companion

STEPS = (
    "run.started", "action.waiting", "approval.requested", "run.waiting", "approval.approved", "action.allowed",
    "action.ready", "run.resumed", "action.started", "action.succeeded", "run.completed",
)  # fmt: skip
"""The audited changes of one life."""


class Lives:
    """Does what web and workers do for a risky call: asked for, proposed, countersigned, run, answered."""

    def __init__(self, number: int) -> None:
        workspace = Workspace.objects.get(slug="demo")
        self.worker = f"bench-{number}"
        self.companion = Companion.objects.select_related("agent").get(workspace=workspace, type="devops")
        self.choice = brain.choose(workspace, asked="rehearsal")
        self.member, self.manager = actor(workspace, "member"), actor(workspace, "manager")

    def turn(self) -> None:
        """Begin one life, and go on with all that can go on, whoever began it."""
        self.ask()
        while claims := leases.claim(self.worker, limit=1):
            self._finish(claims[0]) if claims[0].steps else self._countersign(claims[0])

    def ask(self) -> Run:
        """The message of somebody who wants something risky done."""
        conversation = conversations.new(self.companion, by=self.member)
        return runs.start(conversation, text="Restart web", by=self.member, choice=self.choice)

    def propose(self, claim: Claim) -> list[Asked]:
        """What the model makes of it: a call that waits for a manager."""
        call = ToolCall("call_1", "service_restart", {"service": "web"})
        parts = [{"type": "tool_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}]
        step = proposing.Step(
            run_id=claim.run_id,
            attempt=claim.attempt,
            number=1,
            seq=claim.seq + 2,
            parts=parts,
            usage=None,
            calls=[call],
        )
        return [one for one in proposing.propose(step) or [] if isinstance(one, Asked)]

    def _countersign(self, claim: Claim) -> None:
        for asked in self.propose(claim):
            approvals.decide(asked.approval_id, by=self.manager, decision=Decision.APPROVE)

    def _finish(self, claim: Claim) -> None:
        """Run what was approved, and answer; what another has in its hands is waited for."""
        busy = Action.objects.filter(run=claim.run_id, state__in=(ActionState.READY, ActionState.EXECUTING))
        while busy.exists():
            taken, _ = execution.claim(self.worker, limit=4)
            for one in taken:
                execution.settle(one, Outcome(True, "restarted", "restarted"))
        finishing.finish(
            [
                finishing.Outcome(
                    run_id=claim.run_id,
                    conversation_id=claim.conversation_id,
                    workspace_id=claim.workspace_id,
                    attempt=claim.attempt,
                    seq=claim.seq + 5,
                    state=RunState.COMPLETED,
                    parts=[{"type": "text", "text": "Done."}],
                    provider=claim.provider,
                    model=claim.model,
                )
            ]
        )


def actor(workspace: Workspace, name: str) -> Actor:
    """Somebody of the demo."""
    member = Membership.objects.select_related("user").get(
        workspace=workspace, user__email=f"{name}@{workspace.slug}.example"
    )
    return Actor(member.user, workspace, member)


def live(seconds: float, number: int) -> None:
    """Lives one after another for a time, on a connection of its own."""
    try:
        lives, end = Lives(number), time.monotonic() + seconds
        while time.monotonic() < end:
            lives.turn()
    finally:
        connection.close()
