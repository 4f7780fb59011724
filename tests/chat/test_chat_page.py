"""The chat page and what it reads: whose it is, the newest messages first, and saying otherwise what was said last."""

import json
import re
from functools import partial

import pytest
from django.test import Client

from accounts.models import Actor
from approvals.models import Approval, ApprovalStatus
from chat.models import ActionState, Conversation, Message, MessageRole, Run, RunState
from chat.services import conversations, leases, recent, replacing, saying
from chat.services.runs import OnConflict
from chat.services.saying import Said
from core import ids
from tests.chat.acting import RESTART, of

pytestmark = pytest.mark.django_db
HOSTILE = "</script><script>alert(1)</script>"


def browser(actor: Actor) -> Client:
    client = Client()
    client.force_login(actor.user)
    return client


def answered(run: Run, text: str = "Well.") -> Message:
    """The run came to its end with this answer."""
    answer = Message.objects.create(
        workspace_id=run.workspace_id,
        conversation_id=run.conversation_id,
        role=MessageRole.ASSISTANT,
        content=text,
        parts=[{"type": "text", "text": text}],
        turn_at=run.message.turn_at,
    )
    Run.objects.filter(pk=run.pk).update(state=RunState.COMPLETED, active=False, answer_id=answer.pk)
    return answer


def test_a_conversation_is_read_by_its_person_alone(say, member, manager, stranger):
    run = say(HOSTILE)
    path = f"/c/{run.conversation_id}"
    page = browser(member).get(path)
    assert page.status_code == 200
    assert HOSTILE not in page.content.decode()
    assert "&lt;/script&gt;" in page.content.decode()
    assert "'unsafe-" not in page["Content-Security-Policy"]
    for other in (manager, stranger):
        refused = browser(other).get(path, headers={"Accept": "text/html"})
        assert refused.status_code == 404
        assert refused["Content-Type"].startswith("text/html")
        assert "There is no such conversation" in refused.content.decode()
        assert "/v1/" not in refused.content.decode()
    sent_away = Client().get(path)
    assert (sent_away.status_code, sent_away["Location"]) == (302, f"/account/login/?next={path}")


def test_the_page_of_a_new_conversation_says_what_to_try(member, devops):
    page = browser(member).get("/").content.decode()
    assert devops.name in page
    assert "Please restart the web service." in page


def test_a_new_conversation_is_with_who_was_talked_with_last_and_each_try_says_with_whom(
    say, member, smart_home, devops
):
    page = browser(member).get("/")
    assert page.context["chosen"] == min(smart_home, devops, key=lambda one: one.name).type
    for companion in (smart_home, devops, smart_home):
        say("Good morning", into=conversations.new(companion, by=member))
        page = browser(member).get("/")
        assert page.context["chosen"] == companion.type
        assert [one["companion"] for one in page.context["tries"][-2:]] == [companion, companion]
    for one in page.context["tries"]:
        text, companion = one["text"], one["companion"]
        assert f'data-try="{text}" data-choose="{companion.type}">{text} <' in page.text
        assert f">with {companion.name}</span></button>" in page.text
    assert browser(member).get("/?companion=devops").context["chosen"] == "devops"
    assert browser(member).get("/?companion=nobody").context["chosen"] == smart_home.type


def test_the_newest_messages_come_with_their_runs_and_lead_to_older_ones(say, api):
    first = say("One")
    answered(first)
    mine = Conversation.objects.get(pk=first.conversation_id)
    second = say("Two", into=mine)
    Run.objects.filter(pk=second.pk).update(memories=["01890a5d-ac96-774b-bcce-b302099a8060"])
    answer = answered(second)
    page = api.get(f"/v1/ai/sessions/{mine.pk}?newest=true&limit=2").json()
    assert [one["content"] for one in page["messages"]] == ["Two", "Well."]
    [turn] = page["turns"]
    assert (turn["asked"], turn["answer"], turn["status"]) == (str(second.message_id), str(answer.pk), "completed")
    assert turn["memories"] == ["01890a5d-ac96-774b-bcce-b302099a8060"]
    older = api.get(f"/v1/ai/sessions/{mine.pk}?newest=true&limit=2&cursor={page['next_cursor']}").json()
    assert [one["content"] for one in older["messages"]] == ["One", "Well."]
    assert older["next_cursor"] is None
    assert api.get(f"/v1/ai/sessions/{mine.pk}?newest=true&cursor={ids.new()}").status_code == 400


def test_what_was_said_last_is_replaced_with_its_answer(say, member):
    first = say("One")
    answered(first)
    mine = Conversation.objects.get(pk=first.conversation_id)
    second = say("Two", into=mine)
    answered(second)
    also = partial(replacing.replace_last, message_id=second.message_id, by=member)
    saying.begin(member, Said(text="Three"), mine, also=also)
    said = mine.messages.order_by("turn_at", "created_at").values_list("content", flat=True)
    assert list(said) == ["One", "Well.", "Three"]


def test_a_title_made_of_the_first_message_follows_it_unless_a_person_gave_another(say, member):
    run = say("One")
    mine = Conversation.objects.get(pk=run.conversation_id)

    def instead(text: str) -> str:
        nonlocal run
        answered(run)
        also = partial(replacing.replace_last, message_id=run.message_id, by=member)
        run, _ = saying.begin(member, Said(text=text), Conversation.objects.get(pk=mine.pk), also=also)
        return Conversation.objects.get(pk=mine.pk).title

    assert instead("Two\nlines") == "Two"
    conversations.change(mine, title="Mine")
    assert instead("Three") == "Mine"
    conversations.change(mine, title="Four")
    answered(run)
    run = say("Four", into=mine)
    assert instead("Five") == "Four", "it was not made of this one"


def test_what_was_not_said_last_is_not_replaced_and_nothing_is_stored(say, member):
    first = say("One")
    answered(first)
    mine = Conversation.objects.get(pk=first.conversation_id)
    answered(say("Two", into=mine))
    for other in (first.message_id, ids.new()):
        also = partial(replacing.replace_last, message_id=other, by=member)
        with pytest.raises(replacing.NotLast):
            saying.begin(member, Said(text="Three"), mine, also=also)
    assert mine.messages.filter(role=MessageRole.USER).count() == 2


@pytest.mark.parametrize("how", [OnConflict.QUEUE, OnConflict.INTERRUPT])
def test_what_is_being_answered_is_said_otherwise_and_the_turn_is_the_new_ones(say, member, how):
    first = say("One")
    leases.claim("test", limit=1)
    mine = Conversation.objects.get(pk=first.conversation_id)
    also = partial(replacing.replace_last, message_id=first.message_id, by=member)
    run, _ = saying.begin(member, Said(text="Two", on_conflict=how), mine, also=also)
    run.refresh_from_db()
    assert (run.state, run.active) == (RunState.QUEUED, True)
    assert not Run.objects.filter(pk=first.pk).exists()
    assert list(mine.messages.values_list("content", flat=True)) == ["Two"]
    assert [claim.run_id for claim in leases.claim("test", limit=1)] == [run.pk]


def test_what_a_replaced_answer_waits_for_is_withdrawn(step, member):
    first = step(RESTART)
    [action] = of(first)
    mine = Conversation.objects.get(pk=first.conversation_id)
    also = partial(replacing.replace_last, message_id=first.message_id, by=member)
    run, _ = saying.begin(member, Said(text="Two", on_conflict=OnConflict.QUEUE), mine, also=also)
    run.refresh_from_db()
    assert run.active
    assert Approval.objects.get(pk=action.approval_id).status == ApprovalStatus.CANCELLED
    action.refresh_from_db()
    assert (action.state, action.run) == (ActionState.REFUSED, None)


def test_a_message_that_waits_in_line_is_replaced_without_stopping_who_answers(say, member):
    first = say("One")
    mine = Conversation.objects.get(pk=first.conversation_id)
    second = say("Two", into=mine, on_conflict=OnConflict.QUEUE)
    also = partial(replacing.replace_last, message_id=second.message_id, by=member)
    third, _ = saying.begin(member, Said(text="Three", on_conflict=OnConflict.QUEUE), mine, also=also)
    assert set(mine.runs.values_list("pk", "active")) == {(first.pk, True), (third.pk, False)}


def test_a_page_that_ends_early_leads_to_what_is_before_it(say, api, monkeypatch):
    monkeypatch.setattr(recent, "PAGE_CHARACTERS", 8)
    first = say("One")
    answered(first, "A long answer")
    path, seen, cursor = f"/v1/ai/sessions/{first.conversation_id}?newest=true&limit=5", [], ""
    while cursor is not None:
        page = api.get(path + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [one["content"] for one in page["messages"]]
        cursor = page["next_cursor"]
    assert seen == ["A long answer", "One"]


def test_the_companion_that_the_address_names_is_chosen(member, devops, smart_home):
    pressed = re.compile(r'data-choose="([\w-]+)" aria-pressed="true"')
    selected = re.compile(r'<select id="companion".*?<option value="([\w-]+)" selected>', re.DOTALL)
    for wanted in (devops.type, smart_home.type):
        page = browser(member).get(f"/?companion={wanted}").content.decode()
        assert pressed.findall(page) == selected.findall(page) == [wanted]
    assert len(pressed.findall(browser(member).get("/?companion=nobody").content.decode())) == 1


def test_switching_the_workspace_leads_to_no_conversation_of_the_other(say, member):
    page = browser(member).get(f"/c/{say('One').conversation_id}").content.decode()
    assert '<input type="hidden" name="next" value="/">' in page
    assert f'data-workspace="{member.workspace.pk}"' in page
    assert '<input type="hidden" name="next" value="/memory/">' in browser(member).get("/memory/").content.decode()


def test_what_turns_the_direction_of_writing_is_seen_before_any_script_has_run(say, member):
    run = say("safe \u202eexe.txt, \u00a0👩\u200d💻")
    page = browser(member).get(f"/c/{run.conversation_id}").content.decode()
    assert '<div class="body plain">safe ⟨U+202E⟩exe.txt, \u00a0👩\u200d💻</div>' in page


def test_a_message_of_the_api_that_replaces_none_is_refused(say, api):
    first = say("One")
    answered(first)
    body = {"message": "Three", "session_id": str(first.conversation_id), "replaces": str(ids.new())}
    refused = api.post("/v1/ai/chat", json.dumps(body), content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_the_last_answer")
