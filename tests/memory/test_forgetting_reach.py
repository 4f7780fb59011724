"""How far forgetting reaches: to whatever quotes it, and not to the evidence of what was done."""

import json
from typing import Any

import pytest

from accounts.models import IdempotentRequest
from approvals.models import Approval, AuditEvent, OutboxItem
from approvals.services import audit
from chat.models import Action, Conversation, Message
from chat.services import actions, conversations
from memory.extraction import Fact, Said
from memory.models import Author, Entry, Reading, Source
from memory.services import entries, forgetting, keeping, learning, portability, readings
from memory.services.entries import By, New
from memory.services.keeping import Told, Whose
from tests.memory.traces import SECRET, action_of, dumped, learned, left, run_of


def by_companion(member: Any) -> By:
    return By(Author.COMPANION, By.person(member).who)


def replay(member: Any, response: Any) -> IdempotentRequest:
    return IdempotentRequest.objects.create(
        workspace=member.workspace, user=member.user, key="k", endpoint="e", request_hash=b"x", status=200,
        response=response,
    )  # fmt: skip


def message_in(talk: Conversation, text: str, **more: Any) -> Message:
    part = {"type": "text", "text": text}
    return Message.objects.create(
        workspace=talk.workspace, conversation=talk, role="user", content=text, parts=[part], **more
    )


def evidence(talk: Conversation, tool: str, arguments: dict[str, Any], **more: Any) -> tuple[Action, Approval]:
    """A call that was countersigned and told outside, with what the log has of it."""
    run = run_of(talk)
    action = action_of(run, tool, arguments, "done", verdict="ask", **{"risk": "write", **more})
    approval = Approval.objects.create(
        workspace=talk.workspace, kind=actions.KIND, subject_id=action.pk, tool=tool, tool_version="v", digest="d",
        risk=action.risk, arguments=arguments, preview={"sentence": json.dumps(arguments)}, status="approved",
        reason=f"They are in {SECRET}", decided_at=run.created_at, expires_at=run.created_at,
    )  # fmt: skip
    Action.objects.filter(pk=action.pk).update(approval_id=approval.pk)
    told = {"approval_id": str(approval.pk), "summary": f"Do it in {SECRET}", "status": "approved"}
    OutboxItem.objects.create(workspace=talk.workspace, topic="webhook", type="approval.decided", payload=told)
    audit.record(actions.entry(action, "action.waiting"))
    return action, approval


def test_the_title_and_the_context_of_a_forgotten_message_go_with_it(member, talk):
    one = talk((f"{SECRET} is my home", "Noted."), title=f"{SECRET} is my home")
    asking = ("Ask me something.", f"Do you still love {SECRET}?")
    named = talk((f"{SECRET} is my harbour", "Noted."), asking, ("Yes, I do.", "Good."), title="My talk")
    Message.objects.filter(role="user", content__contains=SECRET).update(metadata={"place": SECRET})
    answer = Entry.objects.get(text="Yes, I do.")
    assert SECRET in answer.context
    for entry in Entry.objects.filter(text__contains=SECRET):
        forgetting.forget(entry, by=By.person(member), transcripts=entry.speaker == "person")
    message = Message.objects.get(content__contains=SECRET)  # forgotten without its transcript
    assert [line for line in left() if str(message.pk) not in line and "Yes, I do." not in line] == []
    answer.refresh_from_db()
    assert answer.context == ""
    assert list(Conversation.objects.order_by("pk").values_list("pk", "title")) == [(one.pk, ""), (named.pk, "My talk")]


def test_a_title_goes_where_it_holds_what_is_forgotten_and_not_where_it_shares_a_word(member, smart_home, talk):
    said = f"I live in {SECRET} near a very large and very old and very quiet harbour"
    source = talk((f"{said}, and I like it there.", "Noted."), title=f"{said}…")
    renamed = talk((f"I live in {SECRET}.", "Noted."), title=f"My move to {SECRET}")
    told = talk(("Where do penguins live?", "In the south."), ("Where am I?", f"In {SECRET}."),
                title="Where do penguins live?")  # fmt: skip
    named = talk(("Hello", "Hello."), title=f"I live in {SECRET}")
    entry = learned(member, smart_home, renamed)
    first = source.messages.earliest("created_at")
    Source.objects.create(entry=entry, message_id=first.pk, start=0, end=len(first.content))
    for one in (told, named):
        run_of(one, one.messages.filter(role="user").latest("created_at"), memories=[str(entry.pk)])
    forgetting.forget(entry, by=By.person(member))
    titles = dict(Conversation.objects.values_list("pk", "title"))
    assert (titles[source.pk], titles[renamed.pk], titles[named.pk]) == ("", "", "Hello")
    assert titles[told.pk] == "Where do penguins live?"
    assert [line for line in left() if SECRET in line] == []


def test_what_tools_without_effect_were_told_for_a_forgotten_message_goes(member, api, talk):
    one = talk((f"{SECRET} is my home", f"{SECRET}, noted."))
    action_of(run_of(one), "web_search", {"query": f"plumber {SECRET}", "most": 5}, f"plumbers of {SECRET}")
    replay(member, {"id": "1", "response": f"{SECRET}, noted.", "state": "completed"})
    below = Conversation.objects.create(
        workspace=member.workspace, user=member.user, agent=one.companion.agent, parent=one
    )
    asked = message_in(below, f"Find a plumber in {SECRET}")
    run_of(below, asked, root_id=run_of(one).pk, parent=run_of(one), place="call", role="delegate")
    assert api.post("/v1/ai/memory/forget", {"all": True}).json() == {"forgotten": 2}
    assert left() == []
    assert Action.objects.get().arguments == {"query": "(forgotten)", "most": 5}
    assert IdempotentRequest.objects.get().response == {"id": "1", "response": "(forgotten)", "state": "completed"}


def test_what_the_companion_remembered_by_itself_is_found_where_it_did(member, smart_home, talk, mine):
    one = talk((f"Keep my home in mind: {SECRET}", f"I noted {SECRET}. Anything else?"))
    content = f"The person lives in {SECRET}."
    told = {"content": content, "layer": "identity", "about": "home"}
    action, approval = evidence(one, "remember", told)
    entry, _ = entries.write(mine, New(layer="identity", text=content, slot="home"), by=by_companion(member))
    forgetting.forget(entry, by=By.person(member))
    assert left() == []
    action.refresh_from_db()
    approval.refresh_from_db()
    assert action.arguments == {**told, "content": "(forgotten)"}
    assert (approval.status, approval.reason, approval.preview) == ("approved", "", {})
    assert OutboxItem.objects.get(payload__approval_id=str(approval.pk)).payload["status"] == "approved"
    assert one.messages.latest("created_at").content == "Anything else?"


def test_what_the_companion_looked_up_is_found_where_it_did(member, talk, note):
    entry, one = note(f"Lives in {SECRET}.", slot="home"), talk(("What do you know of me?", f"{SECRET}, that is all."))
    run = run_of(one, memories=[], answer_id=one.messages.latest("created_at").pk)
    action_of(run, "recall", {"query": "home"}, f"{entry.pk} [2026-01-01, identity, person] In {SECRET}, they say.")
    forgetting.forget(entry, by=By.person(member))
    assert left() == []
    assert one.messages.earliest("created_at").content == "What do you know of me?"


def test_a_forgotten_message_goes_from_what_was_looked_up(member, talk):
    talk((f"{SECRET} was fine. So was the food.", "Nice."))
    entry = Entry.objects.get(speaker="person")
    found = f"{entry.pk} [2026-01-01, history, person] {SECRET} was fine. So was the food.\nAnother was told."
    action = action_of(run_of(talk(("Where was I?", "There."))), "recall", {"query": "travel"}, found)
    forgetting.forget(entry, by=By.person(member))
    action.refresh_from_db()
    assert (action.result, left()) == ("Another was told.", [])


def test_what_answers_repeat_of_a_forgotten_message_goes_and_what_the_person_said_elsewhere_stays(member, talk):
    one = talk((f"My bicycle was stolen in {SECRET}.", f"A bicycle, in {SECRET}? I am sorry."))
    forgotten = Entry.objects.get(speaker="person")
    other = talk(("Where is my bicycle? Tell me.", f"In {SECRET} it was stolen. Shall we look for it?"))
    run_of(other, other.messages.earliest("created_at"), memories={str(forgotten.pk): 1.0})
    alone = talk(("A stolen bicycle is no fun.", "A bicycle never is."))
    response = {"id": "1", "response": f"I know: my bicycle was stolen in {SECRET}. Bye."}
    replayed = replay(member, response)
    forgetting.forget(forgotten, by=By.person(member))
    replayed.refresh_from_db()
    assert left() == []
    talks = [each.messages.order_by("created_at") for each in (one, other, alone)]
    told = [list(messages.values_list("content", flat=True)) for messages in talks]
    assert told == [
        ["(forgotten)", "I am sorry."],
        ["Where is my bicycle? Tell me.", "Shall we look for it?"],
        ["A stolen bicycle is no fun.", "A bicycle never is."],
    ]
    assert replayed.response["response"] == "Bye."
    assert set(Entry.objects.filter(speaker="companion").values_list("text", flat=True)) == {each[1] for each in told}


def test_what_was_asked_of_other_agents_goes_too(member, smart_home, talk):
    one = talk((f"I live in {SECRET}.", "Noted."))
    below = Conversation.objects.create(
        workspace=member.workspace, user=member.user, agent=smart_home.agent, parent=one
    )
    message_in(below, f"{SECRET}: who repairs pipes there? Be quick.")
    forgetting.forget(learned(member, smart_home, one), by=By.person(member))
    assert left() == []
    assert below.messages.get().content == "Be quick."


@pytest.mark.parametrize("content", ["Unlock the front door, please.", "lock front door", "lock"])
def test_no_choice_of_words_takes_the_evidence_of_what_was_done(member, talk, api, content):
    one = talk(("Unlock the front door, please.", "Done."))
    arguments = {"entity_id": "lock.front_door", "say": "Unlock the front door, please."}
    action, approval = evidence(one, "lock_control", arguments)
    body = {"layer": "history", "content": content, "companion_type": "smart-home"}
    memory = api.post("/v1/ai/memory", body).json()["id"]
    run_of(one, memories=[memory])
    assert api.delete(f"/v1/ai/memory/{memory}").status_code == 204
    assert api.post("/v1/ai/memory/forget", {"all": True}).status_code == 200
    assert not one.messages.filter(content__contains="Unlock").exists()
    action.refresh_from_db()
    approval.refresh_from_db()
    assert (action.arguments, action.result) == (arguments, "done")
    assert (approval.arguments, approval.reason) == (arguments, f"They are in {SECRET}")
    assert "lock.front_door" in AuditEvent.objects.select_related("payload").get(type="action.waiting").payload.data


def test_what_was_to_be_countersigned_is_evidence_even_of_a_tool_that_only_reads(member, talk, note):
    one, entry = talk(("Read it.", "Done.")), note("Reads salaries.xlsx", layer="history")
    action, approval = evidence(one, "read_file", {"path": "salaries.xlsx"}, risk="read")
    run_of(one, memories=[str(entry.pk)])
    forgetting.forget(entry, by=By.person(member))
    action.refresh_from_db()
    assert action.arguments == {"path": "salaries.xlsx"}


def test_places_in_a_message_are_found_again_once_it_says_less(member, talk, mine):
    one = talk(("I live in Rome with my old grandmother. I adore tea. Peanuts make me ill.", "Noted."))
    message = one.messages.earliest("created_at")
    said = Said(
        message_id=message.pk, conversation_id=one.pk, by_person=True, text=message.content,
        said_at=message.created_at,
    )  # fmt: skip
    at = message.content.index("Peanuts")
    home, allergy, lost = learning.learn(
        mine,
        [
            Fact(layer="identity", slot="home", text="Lives in Rome.", source=said, start=0, end=14),
            Fact(layer="identity", slot="allergies", text="Has a nut allergy.", source=said, start=at, end=at + 7),
            Fact(layer="history", slot="", text="Has family near.", source=said, start=15, end=38),
        ],
        model="m",
    )
    forgetting.forget(home, by=By.person(member))
    message.refresh_from_db()
    source = Source.objects.get(entry=allergy)
    assert message.content[source.start : source.end] == "Peanuts"
    assert list(Source.objects.filter(entry=lost).values_list("start", "end")) == [(0, 0)]
    forgetting.forget(allergy, by=By.person(member))
    message.refresh_from_db()
    assert message.content == "I adore tea."


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (" ".join(f"word{n}x" for n in range(500)) + f". I live in {SECRET}.", f"Lives in {SECRET}."),
        (f"Ich wohne in {SECRET} und ich arbeite dort mit meinen Freunden.", f"Wohnt in {SECRET}."),
        ("la " * 8_000 + f". I live in {SECRET}.", f"Lives in {SECRET}."),
    ],
)
def test_it_is_found_in_long_messages_and_in_other_languages(member, talk, note, told, kept):
    talk((told, "I see."))
    forgetting.forget(note(kept, slot="home"), by=By.person(member))
    assert left() == []


def test_the_same_text_elsewhere_goes_and_no_undo_brings_it_back(member, note, manager, smart_home):
    entry, other = note(f"Lives in {SECRET}.", slot="home"), note(f"lives in {SECRET}", layer="history")
    changed = note(f"Lives in {SECRET}.", layer="history", slot="where")
    entries.change(changed, by=By.person(member), text="Lives in Oslo.")
    assert forgetting.forget(entry, by=By.person(member)) == 2
    assert left() == []
    assert not Entry.objects.filter(pk=other.pk).exists()
    with pytest.raises(entries.NothingToUndo):
        entries.undo(changed, by=By.person(member))


def test_an_import_does_not_bring_back_what_was_forgotten(member, smart_home, talk):
    one = talk((f"I live in {SECRET}. It is warm.", "Noted."), ("Hello.", "Hi."))
    lines = list(portability.export(member))
    forgetting.forget(learned(member, smart_home, one), by=By.person(member))
    forgetting.forget(Entry.objects.get(text="Hi."), by=By.person(member))
    done = portability.load(member, lines)
    assert ([one["code"] for one in done.refused], done.added, done.same) == (["forgotten"] * 2, 0, 2)
    assert left() == []
    again = [{**lines[3], "said_at": "2026-01-01T00:00:00Z"}]  # the same words at another time
    assert portability.load(member, again).added == 1


def test_a_repeated_request_is_answered_as_before_but_for_what_was_forgotten(member, note):
    entry = note("Completed the marathon.", layer="history")
    same = {"state": "completed", "status": "The marathon is completed", "content": "A marathon"}
    row = replay(member, [same, {"id": str(entry.pk), "content": "Completed it", "pinned": True}])
    forgetting.forget(entry, by=By.person(member))
    row.refresh_from_db()
    assert row.response == [same, {"id": str(entry.pk), "content": "(forgotten)", "pinned": True}]


def test_reading_goes_on_after_messages_were_forgotten(member, smart_home, talk, settings):
    settings.EXTRACTION = True
    one = talk(("Hello", "Hi"), ("Hello", "Hi"))
    readings.note([one.pk])
    Reading.objects.update(seq=4, error=f"malformed: {SECRET}")
    forgetting.forget_all(member, everything=True)
    assert list(Reading.objects.values_list("seq", "error")) == [(0, "")]
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    keeping.keep([(whose, Told(one.pk, message_in(one, "I live in Rome.").pk, "person", "I live in Rome."))])
    Reading.objects.update(due_at="2020-01-01T00:00:00Z")
    (part,) = readings.claim()
    assert [said.text for said in part.messages] == ["I live in Rome."]


def test_a_reading_that_ends_after_a_forget_does_not_pass_over_what_comes_next(member, smart_home, talk):
    one = talk(("Hello", "Hi"), ("Hello", "Hi"))
    readings.note([one.pk])
    Reading.objects.update(due_at="2020-01-01T00:00:00Z")
    (part,) = readings.claim()
    forgetting.forget_all(member, everything=True)
    readings.done(part, part.seq)
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    keeping.keep([(whose, Told(one.pk, message_in(one, "I live in Rome.").pk, "person", "I live in Rome."))])
    Reading.objects.update(due_at="2020-01-01T00:00:00Z")
    (part,) = readings.claim()
    assert [said.text for said in part.messages] == ["I live in Rome."]


def test_what_is_said_during_a_reading_is_read_after_it(member, smart_home, talk):
    one = talk(("Hello", "Hi"))
    readings.note([one.pk])
    Reading.objects.update(due_at="2020-01-01T00:00:00Z")
    (part,) = readings.claim()
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    keeping.keep([(whose, Told(one.pk, message_in(one, "I live in Rome.").pk, "person", "I live in Rome."))])
    readings.done(part, part.seq)
    (reading,) = Reading.objects.all()
    assert (reading.seq, reading.due_at is None) == (part.seq, False)
    Reading.objects.update(due_at="2020-01-01T00:00:00Z")
    (part,) = readings.claim()
    assert [said.text for said in part.messages] == ["I live in Rome."]
    readings.done(part, part.seq)
    assert Reading.objects.get().due_at is None


@pytest.mark.parametrize("forget", [True, False])
def test_a_deleted_session_takes_what_its_tools_were_told_if_it_is_forgotten(member, talk, forget):
    one = talk(("Hello", "Hi"))
    run = run_of(one)
    action_of(run, "web_search", {"query": f"plumber {SECRET}"}, f"plumbers of {SECRET}")
    door = action_of(run, "lock_control", {"entity_id": "door"}, risk="write")
    readings.note([one.pk])
    Reading.objects.update(error=f"malformed: {SECRET}")
    conversations.delete(one, by=member, forget=forget)
    assert (left() == []) is forget
    door.refresh_from_db()
    assert door.arguments == {"entity_id": "door"}
    assert "lock_control" in dumped()
