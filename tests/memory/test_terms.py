"""Words as they are compared, whatever is written and in whichever language."""

import pytest

from memory import signs, terms


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("I was dancing with Anna's friends", "dances friend"),
        ("Ich wohne mit meinen Katzen in der Stadt", "Wo sind die Katzen?"),
        ("J'ai vu l'éléphant dans la ville", "où est l'éléphant"),
        ("Vivo en Lisboa y me gustan los gatos", "¿Dónde están los gatos?"),
        ("Я живу в Москве и люблю кошек", "Москва"),
        ("東京に住んでいます", "東京"),
        ("ฉันรักเชียงใหม่", "เชียงใหม่"),
        ("मुझे चाय पसंद है", "चाय"),
        ("서울에서 일해요", "서울"),
        ("Kocham moje koty", "koty"),
    ],
)
def test_a_question_finds_what_was_said_in_its_language(said, asked):
    there = set(terms.stems(said))
    assert any(concept & there for concept in terms.concepts(asked))


def test_a_single_word_finds_what_was_said_in_a_language_that_it_does_not_tell():
    there = set(terms.stems("Ich habe meine Katzen gefüttert und bin müde"))
    assert any(concept & there for concept in terms.concepts("Katze"))


def test_words_that_every_text_has_are_none():
    assert terms.stems("What did you do, and where were they?") == []
    assert terms.concepts("Wo bist du?") == []


def test_a_language_that_is_told_is_believed():
    assert terms.stems("Häuser", "de") == terms.stems("Häusern", "de-AT") != terms.stems("Häuser", "en")


def test_a_language_without_a_stemmer_goes_by_runs_of_characters():
    assert terms.stems("sông", "vi") == ["sôn", "ông"]


@pytest.mark.parametrize(
    "text", ["", " ", "\x00\x01", "'); --", "\\' | & ! :*", "\ud800", "?!…", "👍🏽" * 50, "'" * 500]
)
def test_any_text_is_taken(text):
    for found in ([*terms.stems(text)], signs.of(text)):
        assert all(isinstance(one, str) for one in found)


def test_what_is_huge_is_bounded():
    assert len(terms.stems("word " * 1_000_000)) <= terms.MOST_CHARACTERS
    assert len(terms.concepts(" ".join(f"w{n}" for n in range(10_000)))) == terms.MOST_CONCEPTS
    assert all(len(one) <= terms.LONGEST for one in terms.stems("x" * 100_000))
    assert terms.stems("東" * 100_000) == ["東東"] * (terms.MOST_CHARACTERS - 1)


def test_a_text_tells_what_it_is():
    assert signs.of("Did you go?") == [signs.ASKS]
    assert {*signs.of("I moved to Lisbon last year.")} == {signs.ME, signs.TIME, signs.PLACE, signs.NAME}
    assert signs.of("Nice") == []


def test_texts_without_blanks_are_not_kept_in_the_cache():
    before = terms._stemmed.cache_info().currsize
    for at in range(20):
        terms.stems("".join(chr(0x4E00 + at * 300 + n) for n in range(300)))
    assert terms._stemmed.cache_info().currsize == before
