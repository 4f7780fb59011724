"""AG-UI's interrupts: who may answer them, what an answer decides, and what one that says nothing does."""

import pytest

from accounts.models import Role
from accounts.services import keys
from agents.models import Agent
from approvals.models import Approval, ApprovalStatus, AuditEvent
from chat.dialects import wishes
from chat.models import Conversation, Message, Run, RunState
from companions.models import Companion
from core import ids
from tests.cast import Api, person
from tests.chat.acting import RESTART
from tests.dialects.ag_ui.asking import body, refused, say, user


@pytest.fixture(autouse=True)
def _companions(smart_home):
    """The companion that is talked with."""


@pytest.fixture
def waiting(step) -> tuple[str, str]:
    """A thread of the member's whose run waits for an approval; the id of both."""
    run = step(RESTART)
    return str(run.conversation_id), str(Approval.objects.get(run_id=run.pk).pk)


DEVOPS = "/api/ag-ui/devops"
ASSISTANT = {"id": "a-1", "role": "assistant", "content": "I ask."}


def answer_to(interrupt: str, approved: bool | None = None, status: str = "resolved", **more) -> list[dict]:
    payload = {} if approved is None else {"payload": {"approved": approved, **more}}
    return [{"interruptId": interrupt, "status": status, **payload}]


def test_an_interrupt_that_is_left_uncovered_is_refused(api, waiting):
    thread, interrupt = waiting
    for message in (user(), ASSISTANT):
        for resume in ([], answer_to(str(ids.new()), True)):
            told = refused(say(api, message, path=DEVOPS, thread=thread, resume=resume), 400, "invalid")
            assert told["interrupts"] == [interrupt]
            assert told["errors"][0]["code"] == "interrupt_open"
    assert Message.objects.count() == 1


@pytest.mark.parametrize("approved", [True, False])
def test_who_asked_approves_nothing_by_a_resume(api, waiting, approved):
    thread, interrupt = waiting
    resume = answer_to(interrupt, approved, reason="I want it")
    assert say(api, ASSISTANT, path=DEVOPS, thread=thread, resume=resume).status_code == 200
    assert Approval.objects.get().status == ApprovalStatus.PENDING
    assert Run.objects.get().state == RunState.WAITING_APPROVAL
    assert AuditEvent.objects.filter(type="approval.denied_attempt").count() == 1


def test_an_answer_that_says_nothing_decides_nothing(api, waiting):
    thread, interrupt = waiting
    for payload in (None, {}, {"approved": "yes"}, [True], "approve", {"approved": None}):
        resume = [{"interruptId": interrupt, "status": "resolved", "payload": payload}]
        assert say(api, ASSISTANT, path=DEVOPS, thread=thread, resume=resume).status_code == 200
    assert not AuditEvent.objects.filter(type="approval.denied_attempt").exists()


def test_who_gives_up_stops_the_run_and_may_say_something_else(api, waiting):
    thread, interrupt = waiting
    resume = answer_to(interrupt, status="cancelled")
    assert say(api, user("Else", "m-9"), path=DEVOPS, thread=thread, resume=resume).status_code == 200
    assert [run.state for run in Run.objects.order_by("id")] == ["cancelled", "queued"]
    assert Approval.objects.get().status == ApprovalStatus.CANCELLED


def test_a_repeated_resume_asks_for_a_decision_once(api, waiting):
    thread, interrupt = waiting
    more = {"path": DEVOPS, "thread": thread, "headers": {"Idempotency-Key": "k-1"}}
    for replayed in (None, "true"):
        answer = say(api, ASSISTANT, resume=answer_to(interrupt, True), **more)
        assert answer.headers.get("Idempotency-Replayed") == replayed
    assert AuditEvent.objects.filter(type="approval.denied_attempt").count() == 1


def test_decisions_are_counted_for_themselves(api, waiting, settings):
    settings.LIMITS = {**settings.LIMITS, "decide": 1}
    thread, interrupt = waiting
    more = {"path": DEVOPS, "thread": thread, "resume": answer_to(interrupt, True)}
    assert say(api, ASSISTANT, **more).status_code == 200
    refused(say(api, ASSISTANT, **more), 429, "rate_limited")
    assert say(api, ASSISTANT, **{**more, "resume": answer_to(interrupt)}).status_code == 200


def deciding(actor, *scopes: str) -> Api:
    _, key = keys.create(workspace=actor.workspace, user=actor.user, name="Decides", scopes=["chat", *scopes])
    return Api(key)


def test_an_approver_decides_by_a_resume_without_being_shown_the_thread(waiting, manager):
    thread, interrupt = waiting
    answer = deciding(manager, "approvals").post(
        DEVOPS, body(user(), ASSISTANT, thread=thread, resume=answer_to(interrupt, True))
    )
    assert answer.status_code == 200
    assert answer.content.decode().count("data: ") == 2
    assert '"type":"RUN_FINISHED","threadId"' in answer.content.decode()
    assert "interrupt" not in answer.content.decode()
    assert Approval.objects.get().status == ApprovalStatus.APPROVED
    assert Conversation.objects.count() == 1


def test_a_key_that_may_not_decide_gets_the_pending_state(waiting, manager):
    thread, interrupt = waiting
    answer = deciding(manager).post(DEVOPS, body(user(), thread=thread, resume=answer_to(interrupt, True)))
    assert f'"interrupts":[{{"id":"{interrupt}","reason":"tool_call"' in answer.content.decode()
    assert Approval.objects.get().status == ApprovalStatus.PENDING


def test_an_approver_rejects_with_the_reason_or_one_of_ours(waiting, manager):
    thread, interrupt = waiting
    resume = answer_to(interrupt, False)
    assert deciding(manager, "approvals").post(DEVOPS, body(thread=thread, resume=resume)).status_code == 200
    approval = Approval.objects.get()
    assert (approval.status, approval.reason) == (ApprovalStatus.REJECTED, wishes.REJECTED)


def test_anothers_interrupt_is_as_one_that_is_not_there(waiting, workspace, stranger, client_of):
    Companion.objects.create(
        workspace=stranger.workspace, type="devops", name="Argus",
        agent=Agent.objects.create(workspace=stranger.workspace, slug="devops", name="Argus"),
    )  # fmt: skip
    thread, interrupt = waiting
    colleague = person(workspace, "colleague", Role.MEMBER)
    for actor in (stranger, colleague):
        told = []
        for one in (interrupt, str(ids.new())):
            answer = client_of(actor).post(DEVOPS, body(thread=thread, resume=answer_to(one, True)))
            told.append(refused(answer, 404, "unknown_approval")["message"].replace(one, "…"))
        assert told[0] == told[1]
    assert Approval.objects.get().status == ApprovalStatus.PENDING
