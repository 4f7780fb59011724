"""How little forgetting takes: what tells of it, not what shares a common word with it; and what it says before."""

from typing import Any

import pytest

from approvals.models import AuditEvent
from chat.models import Conversation, Message
from memory.extraction import Said, rules
from memory.models import Entry, Source, Tombstone
from memory.services import forgetting, learning
from memory.services.entries import By
from tests.memory.traces import SECRET, dumped, left, run_of

ONE = "I live in Hamburg and I like green tea. My name is Mia and I don't like jazz."


@pytest.fixture
def learned(mine: Any) -> Any:
    """Draws all facts from what the person said; gives them by what they say."""

    def learn(talk: Conversation) -> dict[str, Entry]:
        said = [
            Said(message_id=one.pk, conversation_id=talk.pk, by_person=True, text=one.content, said_at=one.created_at)
            for one in talk.messages.filter(role="user")
        ]
        return {one.text: one for one in learning.learn(mine, rules.find(said), model=rules.MODEL)}

    return learn


def said(talk: Conversation) -> list[str]:
    return list(talk.messages.order_by("created_at").values_list("content", flat=True))


def forget(entry: Entry, member: Any) -> None:
    forgetting.forget(entry, by=By.person(member))


def test_a_sentence_that_shares_a_common_verb_stays_and_the_title_is_made_of_what_is_left(member, talk, learned):
    one = talk((ONE, "Noted: you like green tea. No jazz then. Would you like something else?"), title=ONE)
    facts = learned(one)
    other = talk(
        ("What do you know of me?", "You asked.\n- Lives in Hamburg.\n- Likes green tea.\n- Does not like jazz.")
    )
    run_of(other, memories=[str(fact.pk) for fact in facts.values()])
    forget(facts["Does not like jazz."], member)
    kept = "I live in Hamburg and I like green tea."
    assert said(one) == [kept, "Noted: you like green tea. Would you like something else?"]
    assert said(other) == ["What do you know of me?", "You asked.\n- Lives in Hamburg.\n- Likes green tea."]
    one.refresh_from_db()
    assert one.title == kept
    home, name = (Source.objects.get(entry=facts[text]) for text in ("Lives in Hamburg.", "Is called Mia."))
    assert kept[home.start : home.end] == "I live in Hamburg"
    assert (name.start, name.end) == (0, 0), "its words went with the sentence"
    assert [line for line in dumped().splitlines() if "jazz" in line] == []


def test_a_title_stays_that_does_not_tell_of_it(member, talk, learned):
    one = talk(
        ("I like cats. They purr.", "Nice."), ("I don't like jazz. I live by the sea.", "I see."), title="I like cats."
    )
    forget(learned(one)["Does not like jazz."], member)
    one.refresh_from_db()
    assert (one.title, said(one)) == (
        "I like cats.",
        ["I like cats. They purr.", "Nice.", "I live by the sea.", "I see."],
    )


def test_of_a_common_verb_the_persons_own_words_stay_and_in_answers_what_another_memory_says(member, talk, learned):
    own = "My sister is called Anna. My dog is called Rex. Rex is a fool."
    answer = "A dog called after a king! Your sister is called Anna, how nice. They call it a silly name."
    one = talk((own, answer))
    forget(learned(one)["Their dog is called Rex."], member)
    assert said(one) == ["My sister is called Anna.", "Your sister is called Anna, how nice."]


@pytest.mark.parametrize(
    ("told", "answer", "left_of_it"),
    [
        (
            f"I live in {SECRET}. {SECRET} is hot.",
            f"So you live on an island! {SECRET} it is. Is it hot?",
            "Is it hot?",
        ),
        (f"I like {SECRET}.", f"{SECRET}, how nice. You may like it there.", "You may like it there."),
        ("I like Love Island.", "Island, again? Yes.", "Yes."),
        ("I work for Love.", "Love is a firm? Fine.", "Fine."),
        ("I work for Courtney Love.", "A firm of Love, then? Fine.", "Fine."),
        ("I like work.", "Work is fine. Fine.", "Fine."),
    ],
)
def test_what_tells_of_it_goes_as_ever(member, talk, learned, told, answer, left_of_it):
    one = talk((told, answer))
    (fact,) = learned(one).values()
    forget(fact, member)
    assert said(one) == ["(forgotten)", left_of_it]
    assert left() == []


def test_what_the_rehearsal_said_elsewhere_goes_though_it_is_not_kept(member, talk, learned):
    one, other = talk((f"I live in {SECRET}.", "Noted.")), talk(("Look it up.", f"It said: you live in {SECRET}. Bye."))
    answer = other.messages.get(role="assistant")
    Message.objects.filter(pk=answer.pk).update(model="rehearsal")
    Entry.objects.filter(message_id=answer.pk).delete()
    (fact,) = learned(one).values()
    forget(fact, member)
    assert (said(other)[1], left()) == ("Bye.", [])


def test_the_preview_tells_what_would_go_and_takes_nothing(member, api, talk, learned, manager, client_of):
    one = talk((ONE, "No jazz then. Noted."), title=ONE)
    fact = learned(one)["Does not like jazz."]
    before = dumped().count("jazz")
    path = f"/v1/ai/memory/{fact.pk}/forgetting"
    told = api.get(path).json()
    assert (told["memories"], told["messages"]) == (1, 2)
    assert [(cut["by_person"], cut["sentences"]) for cut in told["cuts"]] == [
        (False, ["No jazz then."]),
        (True, ["My name is Mia and I don't like jazz."]),
    ]
    assert {cut["session_id"] for cut in told["cuts"]} == {str(one.pk)}
    assert (dumped().count("jazz"), Tombstone.objects.count()) == (before, 0)
    assert not AuditEvent.objects.filter(type="memory.forgotten").exists()
    assert client_of(manager).get(path).status_code == 404
    run_of(one, state="running", active=True, memories=[str(fact.pk)])
    assert api.get(path).json()["code"] == "still_told"


def test_the_preview_of_a_message_is_all_of_it(member, api, talk):
    talk((ONE, "Noted."))
    told = api.get(f"/v1/ai/memory/{Entry.objects.get(speaker='person').pk}/forgetting").json()
    assert [cut["sentences"] for cut in told["cuts"]] == [[ONE]]
