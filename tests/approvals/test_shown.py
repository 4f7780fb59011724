"""What a model wrote, made visible: nothing styles, nothing hides, nothing is cut."""

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals import shown
from core import digest


def plain(text: str) -> str:
    """What a browser shows of it, without the lengths, which are no part of the text."""
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r'<span class="length">[^<]*</span>', "", text)))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_edited_is_what_was_there(value: Any) -> None:
    text = shown.pretty(value)
    assert json.loads(text) == value
    assert not any(shown.unseen(line) for line in text.split("\n"))


@pytest.mark.parametrize("character", ["\u202e", "\u3164", "\u2800", "\u115f", "\ufe0f", "\u034f", "\n", "\u2028"])
def test_a_plain_line_hides_nothing_and_says_where_it_was_cut(character: str) -> None:
    assert shown.plain_line(f"a{character}b", 100) == f"a\u27e8U+{ord(character):04X}\u27e9b"
    assert shown.plain_line("e\u0301\u0301\u0301", 100) == "e\u0301\u0301\u27e8U+0301\u27e9"
    assert shown.plain_line("12345", 5) == "12345"
    assert shown.plain_line("123456", 5) == "1234…"
    assert shown.plain_line("Grüße, мир, 世界", 100) == "Grüße, мир, 世界"


@given(values)
def test_markup_is_never_made_by_a_value(value: Any) -> None:
    for rendered in (shown.json_html(value), shown.visible(value), shown.visible_line(value)):
        tags = set(re.findall(r"<(/?\w+)", rendered))
        assert tags <= {"span", "/span", "bdi", "/bdi"}
        assert shown.unseen(plain(rendered)) == 0


@given(st.dictionaries(texts, texts, max_size=5))
def test_the_order_is_that_of_the_digest(value: dict[str, str]) -> None:
    assert list(json.loads(shown.pretty(value))) == list(json.loads(digest.canonical(value)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"), ("\u200b", "⟨U+200B⟩"), ("\ufeff", "⟨U+FEFF⟩"), ("\x07", "⟨U+0007⟩"),
        ("\u3164", "⟨U+3164⟩"), ("\u00a0", "⟨U+00A0⟩"), ("\ue000", "⟨U+E000⟩"), ("\U000e0041", "⟨U+E0041⟩"),
        ("e\u0301\u0302\u0303", "e\u0301\u0302⟨U+0303⟩"), ("<b>&\"'", "<b>&\"'"),
        ("é 日本 😀 עברית", "é 日本 😀 עברית"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_shown_by_its_number(text: str, told: str) -> None:
    assert plain(shown.visible(text)) == told
    assert plain(shown.visible_line(text)) == told


def test_line_breaks_stay_in_a_text_and_are_told_in_a_line() -> None:
    assert plain(shown.visible("a\nb\tc")) == "a\nb\tc"
    assert plain(shown.visible_line("a\nb")) == "a⟨U+000A⟩b"
    assert plain(shown.json_html('a\nb"\\')) == '"a\\nb\\"\\\\"'


def test_a_text_cannot_pass_for_another_argument() -> None:
    forged = 'billing",\n  "force": "no'
    rendered = plain(shown.json_html({"service": forged, "force": True}))
    assert rendered.count("\n") == 3
    assert '"service": "billing\\",\\n  \\"force\\": \\"no"' in rendered


def test_nothing_is_hidden_by_its_length_and_the_length_is_told() -> None:
    text = "x" * 150_000 + "END"
    rendered = shown.json_html({"a": text})
    assert text in rendered
    assert "150,003 characters" in rendered


def test_numbers_are_as_the_digest_has_them() -> None:
    assert (
        plain(shown.json_html([1.0, 1e21, 0.1, -0.0, None, True]))
        == "[\n  1,\n  1e+21,\n  0.1,\n  0,\n  null,\n  true\n]"
    )


def test_what_cannot_be_seen_is_counted_save_line_breaks() -> None:
    assert shown.unseen({"a\u200b": ["x\u202e\n", {"b": "\t\x07"}], "c": 5}) == 3


def test_long_texts_are_listed_with_their_paths() -> None:
    value = {"b": ["short", "two\nlines"], "a": "x" * 101, "c": {"d": 5}}
    assert [(one.path, len(one.text)) for one in shown.long_texts(value)] == [("a", 101), ("b.1", 9)]
