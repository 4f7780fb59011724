"""What a question brings back, and what it must not."""

from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models.functions import Now

from accounts.models import Actor
from companions.models import Companion
from config import env
from core import ids
from memory import embedders, recall
from memory.models import Entry, Owner
from memory.services import embedding, keeping, touching
from memory.services.keeping import Told
from tests.cast import person

SAID = (
    ("person", "I went to the lighthouse in Cascais with my sister on Sunday."),
    ("companion", "How lovely! What else did you do there?"),
    ("person", "We ate grilled sardines and talked about her wedding."),
    ("companion", "That sounds wonderful."),
    ("person", "My dentist moved to Porto, so I need a new one."),
)


def owner_of(actor: Actor, companion: Companion | None) -> Owner:
    found, _ = Owner.objects.select_related("user", "companion").get_or_create(
        workspace=actor.workspace, user=actor.user, companion=companion
    )
    return found


def say(owner: Owner, *said: tuple[str, str], at: datetime = datetime(2024, 5, 6, tzinfo=UTC)) -> None:
    talk = ids.new()
    told = [Told(talk, ids.new(), who, text, at + timedelta(minutes=place)) for place, (who, text) in enumerate(said)]
    keeping.keep_old(owner, told)


def texts(found: list[recall.Recalled]) -> list[str]:
    return [one.entry.text for one in found]


@pytest.fixture
def mine(member, smart_home) -> Owner:
    owner = owner_of(member, smart_home)
    say(owner, *SAID)
    return owner


@pytest.fixture(params=["local", "none"])
def _embedder(request, settings) -> str:
    settings.EMBEDDER = request.param
    return request.param


@pytest.mark.usefixtures("_embedder")
def test_the_memory_that_answers_comes_first_and_says_why(mine):
    embedding.embed_missing()
    first = recall.recall([mine], "Who moved to Porto?")[0]
    assert first.entry.text == SAID[4][1]
    assert first.score == pytest.approx(sum(first.parts.values()))
    assert first.parts["words"] > 0


def test_meaning_finds_what_no_word_of_the_question_says(mine):
    assert recall.recall([mine], "seafood meal") == []
    assert embedding.embed_missing() == len(SAID)
    assert texts(recall.recall([mine], "seafood meal"))[0] == SAID[2][1]
    assert embedding.embed_missing() == 0


def test_a_vector_of_another_embedder_is_never_compared_and_is_made_anew(mine):
    embedding.embed_missing()
    Entry.objects.update(embedder="another-model")
    assert recall.recall([mine], "seafood meal") == []
    assert texts(recall.recall([mine], "sardines"))[0] == SAID[2][1]
    assert embedding.embed_missing() == len(SAID)
    assert recall.recall([mine], "seafood meal") != []


def test_words_go_on_where_no_vector_can_be_made(mine):
    embedding.embed_missing()
    with mock.patch.object(embedders.current(), "embed_query", side_effect=embedders.EmbedderUnavailable("gone")):
        assert texts(recall.recall([mine], "grilled sardines"))[0] == SAID[2][1]


def test_what_was_changed_while_its_vector_was_made_waits_for_its_own(mine):
    real = embedders.current().embed

    def change_meanwhile(told):
        Entry.objects.update(text="Something else", content_hash="changed")
        return real(told)

    with mock.patch.object(embedders.current(), "embed", side_effect=change_meanwhile):
        embedding.embed_missing()
    assert not Entry.objects.exclude(embedding=None).exists()


def test_equal_texts_and_vectors_of_others_never_come(mine, member, smart_home, workspace, stranger):
    other_companion = Companion.objects.create(workspace=workspace, type="desk", name="Iris", agent=smart_home.agent)
    others = [
        owner_of(person(workspace, "other"), smart_home),
        owner_of(member, other_companion),
        owner_of(member, None),
        owner_of(stranger, None),
    ]
    for owner in others:
        say(owner, *SAID)
    while embedding.embed_missing():
        pass
    own = recall.recall([mine], "sardines and the lighthouse", limit=50)
    assert {one.entry.owner_id for one in own} == {mine.pk}
    both = recall.recall([mine, others[2]], "sardines and the lighthouse", limit=50)
    assert {one.entry.owner_id for one in both} == {mine.pk, others[2].pk}


def test_an_answer_is_found_by_the_words_of_its_question(member, smart_home, settings):
    settings.EMBEDDER = "none"
    owner = owner_of(member, smart_home)
    say(owner, ("companion", "What is your favourite colour?"), ("person", "Teal, and has always been."))
    say(owner, ("person", "The weather is fine."))
    found = recall.recall([owner], "favourite colour", limit=5)
    assert texts(found) == ["Teal, and has always been.", "What is your favourite colour?"]


def test_a_named_day_brings_what_was_said_then(member, smart_home):
    owner = owner_of(member, smart_home)
    say(owner, ("person", "We painted the fence."), at=datetime(2023, 3, 4, 10, tzinfo=UTC))
    say(owner, ("person", "We painted the shed."), at=datetime(2023, 8, 4, 10, tzinfo=UTC))
    now = datetime(2023, 9, 1, tzinfo=UTC)
    assert texts(recall.recall([owner], "What did we paint in March 2023?", now=now))[0] == "We painted the fence."
    assert texts(recall.recall([owner], "What did we paint on 4 August?", now=now))[0] == "We painted the shed."


def test_i_and_you_say_whose_words_are_meant(member, smart_home):
    owner = owner_of(member, smart_home)
    say(owner, ("companion", "Green tea is good."))
    say(owner, ("person", "Green tea is good."))
    assert [one.entry.speaker for one in recall.recall([owner], "What do I think of green tea?")][0] == "person"
    assert [one.entry.speaker for one in recall.recall([owner], "What did you say of green tea?")][0] == "companion"
    called = recall.recall([owner], "What does Bob think of green tea?", names={"person": "Ann", "companion": "Bob"})
    assert called[0].entry.speaker == "companion"


@pytest.mark.parametrize("gone", ["deleted", "superseded", "pending", "expired"])
def test_only_what_counts_now_comes(mine, gone):
    chosen = Entry.objects.filter(text=SAID[4][1])
    assert texts(recall.recall([mine], "dentist Porto"))[0] == SAID[4][1]
    if gone == "deleted":
        chosen.delete()
    elif gone == "expired":
        chosen.update(expires_at=Now() - timedelta(seconds=1))
    else:
        chosen.update(status=gone)
    assert SAID[4][1] not in texts(recall.recall([mine], "dentist Porto", limit=50))


def test_what_is_deleted_in_the_middle_of_a_recall_does_not_come(mine):
    real = recall.scoring.scored

    def delete_meanwhile(*given, **named):
        Entry.objects.filter(text=SAID[4][1]).delete()
        return real(*given, **named)

    with mock.patch.object(recall.scoring, "scored", side_effect=delete_meanwhile):
        found = recall.recall([mine], "dentist Porto sardines", limit=50)
    assert SAID[2][1] in texts(found)
    assert SAID[4][1] not in texts(found)


def test_what_the_caller_has_and_layers_that_are_not_wanted_stay_out(mine):
    talk = Entry.objects.get(text=SAID[4][1]).conversation_id
    assert SAID[4][1] in texts(recall.recall([mine], "dentist Porto"))
    assert SAID[4][1] not in texts(recall.recall([mine], "dentist Porto", but=talk))
    with mock.patch.object(recall.candidates, "SEEN", 0):
        assert SAID[4][1] in texts(recall.recall([mine], "dentist Porto", but=talk)), "it is older than what is seen"
    assert recall.recall([mine], "dentist Porto", layers=["preferences"]) == []


@pytest.mark.parametrize("companion", ["its", "all"])
def test_nothing_comes_while_memory_is_paused(mine, member, companion):
    if companion == "all":
        shared = owner_of(member, None)
        shared.paused = True
        assert recall.recall([mine, shared], "dentist Porto") == []
    else:
        mine.paused = True
        assert recall.recall([mine], "dentist Porto") == []


@pytest.mark.parametrize("query", ["", "   ", "What did you do?", "\x00\x01", "?!…", "👍", "Hestia", "Member"])
def test_a_question_without_a_word_or_a_day_brings_nothing(mine, query):
    assert recall.recall([mine], query) == []


@pytest.mark.parametrize(
    "query",
    [
        "sardines " * 200_000,
        " ".join(f"word{n}" for n in range(20_000)),
        "sardines \x00\x07 \ud800 '); DROP TABLE memory_entry; -- %s %(x)s {0}",
        "sardines'\\'|&!():* <->",
        b"\xff\xfe\x00sardines".decode("latin-1"),
    ],
)
def test_any_query_is_taken(mine, query):
    embedding.embed_missing()
    found = recall.recall([mine], query, limit=10**6)
    assert len(found) <= recall.MOST


def test_nobody_asked_of_is_an_empty_answer(mine):
    assert recall.recall([], "sardines") == []
    assert recall.recall([mine], "sardines", limit=0) == []


def test_a_hundred_equal_messages_do_not_hide_the_one_that_differs(member, smart_home):
    owner = owner_of(member, smart_home)
    for _ in range(100):
        say(owner, ("person", "I like coffee."))
    say(owner, ("person", "Coffee from Kenya is what my brother grows."))
    assert "Kenya" in texts(recall.recall([owner], "Which coffee does my brother grow?"))[0]


def test_what_was_recalled_is_noted_when_it_is_told(mine):
    found = recall.recall([mine], "dentist Porto")
    assert not Entry.objects.exclude(last_recalled_at=None).exists()
    touching.store()  # what others noted in this process
    touching.note([found[0].entry.pk])
    assert touching.store() == 1
    assert [one.pk for one in Entry.objects.exclude(last_recalled_at=None)] == [found[0].entry.pk]


def test_every_part_has_a_weight(settings):
    assert set(settings.RECALL_WEIGHTS) == set(recall.scoring.PARTS)


def test_weights_come_from_the_environment_and_unknown_ones_are_refused(monkeypatch):
    monkeypatch.setenv("W", '{"session": 0.5}')
    assert env.weights("W", {"session": 1.5, "words": 1.0}) == {"session": 0.5, "words": 1.0}
    for wrong in ('{"sesion": 1}', "[1]", '{"session": "much"}', "{"):
        monkeypatch.setenv("W", wrong)
        with pytest.raises(ImproperlyConfigured, match="W "):
            env.weights("W", {"session": 1.5})
