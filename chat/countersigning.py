"""Tool calls as a kind of approvals: how the approvals app reaches back to the actions that wait."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse

from accounts.models import Membership
from agents.tools import registry
from approvals.calls import Call, Context, Deed, PastCall, Person, Said
from approvals.kinds import Revision
from approvals.models import Approval
from approvals.rules import Ask, Deny, Observe
from approvals.services import endings, policies
from chat.models import Action, ActionState, Conversation, Message, MessageRole
from chat.services import actions, gate, verdicts
from core.errors import Forbidden, Invalid

SAID = 12
CHANGED = (
    "The tool, where it reaches or as whom was changed since this was asked, so it would not run as it was shown. "
    "The agent is told so: have it propose the call again, and decide on that."
)
SAID_CHARACTERS = 4_000
PAGE = 500
SHOWN = ("step", "place", "tool", "state", "code", "summary")
STANDS = {
    ActionState.ALLOWED: "Allowed; it has not run.",
    ActionState.WAITING: "It waits for a decision.",
    ActionState.READY: "It runs next, unless a kill switch or the last check holds it.",
    ActionState.EXECUTING: "It runs now.",
    ActionState.DELEGATED: "Another agent works on it; what that one wants to do is asked about by itself.",
    ActionState.AWAITED: "The client makes this call; its result is awaited.",
    ActionState.SUCCEEDED: "It ran and succeeded.",
    ActionState.FAILED: "It failed.",
    ActionState.UNKNOWN: "It may have run: nobody knows, until a manager has looked and says so.",
    ActionState.REFUSED: "It did not run.",
}


class EditDenied(Forbidden):
    """Policy refuses the call with the edited arguments."""

    code = "denied_by_policy"
    title = "Policy denies the edited call"


class ToolCalls:
    """Approvals of tool calls; `subject_id` is the action's."""

    def lock(self, subject_id: UUID) -> None:
        """Lock the run, then the action."""
        actions.lock(subject_id)

    def revise(self, approval: Approval, arguments: dict[str, Any]) -> Revision:
        """Check and judge edited arguments and store them with the action; raises Invalid or EditDenied."""
        action = _action(approval)
        held = policies.current(action.workspace_id)
        judged = gate.revised(action, arguments, held)
        if isinstance(judged.verdict, Deny | Observe) or judged.code:
            raise EditDenied(judged.reason)
        if judged.spec is None:
            raise Invalid("The tool is gone.")
        action.arguments, action.tool_version = judged.arguments, judged.spec.version
        action.policy_version = held.version
        action.digest = gate.digest_of(action)
        action.save(update_fields=["arguments", "tool_version", "policy_version", "digest"])
        context = gate.context_of(gate.origin_of_action(action), action.pk)
        preview = judged.preview or registry.preview(judged.spec, action.arguments, context)
        return Revision(
            arguments=action.arguments,
            digest=action.digest,
            preview=dict(preview),
            policy_version=held.version,
            ask=judged.verdict if isinstance(judged.verdict, Ask) else None,
        )

    def decided(self, approval: Approval) -> None:
        """Release the action or refuse it, and let the run go on once nobody is waited for."""
        verdicts.decided(approval)

    def current(self, approval: Approval) -> tuple[str, Call]:
        """What would run, from the action's row as it is, and the call as policy judges it now."""
        action = _action(approval)
        return gate.digest_of(action), _call(action)

    def call(self, approval: Approval) -> Call:
        """The call as policy judges it now."""
        return _call(_action(approval))

    def changed(self, approval: Approval) -> str:
        """What is said where the tool is not of the version any more that was judged."""
        row = Action.objects.values_list("tool", "tool_version", "workspace_id").get(pk=approval.subject_id)
        tool, version, workspace_id = row
        spec = registry.get(tool, workspace_id)
        return "" if spec is not None and spec.version == version else CHANGED

    def calls_since(self, workspace_id: UUID, since: datetime) -> Iterator[PastCall]:
        """Every call that policy judged since then, oldest first, a page at a time."""
        members = Membership.objects.filter(workspace=workspace_id).select_related("user")
        people = {row.user_id: Person(row.user_id, row.user.email, row.role) for row in members}
        last: UUID | None = None
        while True:
            rows = (
                Action.objects.filter(workspace=workspace_id, created_at__gte=since)
                .exclude(risk="")
                .exclude(client=True)
            )
            rows = rows.filter(pk__gt=last) if last else rows
            page = list(rows.select_related("workspace", "agent").order_by("pk")[:PAGE])
            for action in page:
                person_id = action.person_id
                origin = gate.Origin(
                    workspace=action.workspace,
                    agent=action.agent,
                    companion=action.companion_type,
                    person=people.get(person_id, Person(person_id, "", "")) if person_id else None,
                    run_id=action.run_id,
                    session_id=action.conversation_id,
                    companion_id=None,
                    autonomy=action.agent.autonomy,
                    allowed=frozenset(),
                )
                call = gate.call_of(origin, action.tool, action.risk, action.arguments)
                yield PastCall(call=call, verdict=action.verdict, policy=action.policy_name, at=action.created_at)
            if len(page) < PAGE:
                return
            last = page[-1].pk

    def context(self, approval: Approval) -> Context:
        """The conversation, how the action stands, and the run's other calls."""
        action = _action(approval, "conversation__user", "conversation__team", "conversation__agent")
        said = Message.objects.filter(conversation=action.conversation_id).order_by("-turn_at", "-created_at")[:SAID]
        run = Action.objects.filter(run=action.run_id) if action.run_id else Action.objects.none()
        others = list(run.exclude(pk=action.pk).order_by("step", "place").only(*SHOWN))
        speakers = _speakers(action.conversation) if action.conversation else {}
        waits = sum(row.step == action.step and row.state in actions.OPEN for row in others)
        return Context(
            title=str(action.conversation) if action.conversation else "",
            person=action.person.email if action.person else "",
            said=[
                Said(row.role, row.content[:SAID_CHARACTERS], row.created_at, speakers.get(row.role, ""))
                for row in reversed(said)
            ],
            run_state=action.run.state if action.run else "",
            deed=_deed(action, waits),
            others=[_deed(row) for row in others],
        )


def _speakers(conversation: Conversation) -> dict[str, str]:
    """What those who speak in a conversation are called, by role; one from outside has no name."""
    answers = conversation.companion or conversation.team or conversation.agent
    asks = "" if conversation.external else endings.called(conversation.user)
    return {MessageRole.USER: asks, MessageRole.ASSISTANT: answers.name if answers else ""}


def _deed(action: Action, waits: int = 0) -> Deed:
    """An action for people; `waits` counts the calls of its step without which none of it goes on."""
    stands = STANDS[ActionState(action.state)]
    if action.state == ActionState.SUCCEEDED and action.code == "responded":
        stands = "It did not run: a person answered in its place."
    elif action.state == ActionState.FAILED and action.code == "abandoned":
        stands = "It was given up: nobody knows whether it ran."
    elif action.state == ActionState.ALLOWED and waits:
        stands = f"Allowed; it waits for {waits} other {'call' if waits == 1 else 'calls'} of this step."
    url = reverse("admin:chat_action_change", args=[action.pk])
    return Deed(tool=action.tool, state=stands, summary=action.summary, url=url)


def _action(approval: Approval, *more: str) -> Action:
    rows = Action.objects.select_related("workspace", "agent", "person", "run", "conversation__companion", *more)
    return rows.get(pk=approval.subject_id)


def _call(action: Action) -> Call:
    spec = registry.get(action.tool, action.workspace_id)
    origin = gate.origin_of_action(action)
    risk: str = spec.risk if spec else action.risk
    if spec is not None and spec.version == action.tool_version:  # else its arguments may be another's
        risk = registry.risk(spec, action.arguments, gate.context_of(origin, action.pk))
    return gate.call_of(origin, action.tool, risk, action.arguments)
