"""Secrets stay out of the log, wherever in a record they stand."""

import json
import logging
import sys

import pytest

from core.logs import Formatter, redact

KEY = "sk_live_cs_rhUggVvwFKux_MznZoXwVDKMNpQuuEy9hFYJtuSROLfX92RyJAG"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiMSJ9.Zm9vYmFyYmF6"
FORMATTER = Formatter(["levelname", "name", "message"], timestamp="at")


def written(message, *args, exc_info=None, **extra):
    record = logging.getLogger("t").makeRecord("t", logging.INFO, __file__, 1, message, args, exc_info, None, extra)
    text = FORMATTER.format(record)
    json.loads(text)
    return text


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        (f"called with {KEY}", "MznZoXwVDKMNpQuuEy9h"),
        (f"at_cs_{KEY[11:]}", "MznZoXwVDKMNpQuuEy9h"),
        ("key sk-proj-abcdefCANARY1234", "CANARY"),
        (f"token {JWT}", "Zm9vYmFyYmF6"),
        ("Authorization: Bearer abcdefCANARY", "CANARY"),
        ("authorization: Basic YWJjCANARY=", "CANARY"),
        ("password=CANARY", "CANARY"),
        ("Cookie: a=b; sessionid=CANARY", "CANARY"),
        ('{"password": "one CANARY \\" two", "name": "x"}', "CANARY"),
        ("{'api_key': 'CANARY'}", "CANARY"),
        ("OPENAI_API_KEY=CANARY", "CANARY"),
        ("postgresql://me:CANARY@host/db", "CANARY"),
        ("redis://:CANARY@host:6379/0", "CANARY"),
        ("card 4242 4242 4242 4242 given", "4242"),
        ("card 4242424242424242", "4242"),
    ],
)
def test_a_secret_in_a_text_is_masked_in_message_argument_extra_and_traceback(text, canary):
    assert canary not in written(text)
    assert canary not in written("said %s", text)
    assert canary not in written("said", more={"deep": [text]})
    try:
        raise ValueError(text)
    except ValueError:
        assert canary not in written("failed", exc_info=sys.exc_info())


@pytest.mark.parametrize(
    "name", ["password", "api_key", "Authorization", "refresh", "client_secret", "Set-Cookie", "token"]
)
def test_a_value_under_a_telling_name_is_masked_whatever_it_is(name):
    assert "CANARY" not in written("said", data={name: "CANARY"})
    assert "CANARY" not in written("said", **{name: {"x": "CANARY"}})


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/ai/sessions/01a1fbe2-4be1-7303-8d47-a7b692787b96 200",
        "usage input_tokens=12 output_tokens=34",
        "01999999-1234-7123-8123-123456789012",
        "2026-11-21T02:11:20.295123+00:00",
        "the token bucket is empty",
        "see https://example.org:8000/path@v1",
    ],
)
def test_what_is_no_secret_stays_readable(text):
    assert redact(text) == text
    assert redact({"input_tokens": 5, "max_tokens": 7}) == {"input_tokens": 5, "max_tokens": 7}


@pytest.mark.parametrize(
    "text",
    [
        "-eyJ" * 16_000,
        "a-" * 200_000,
        "eyJ-" * 100_000,
        "a" * 400_000,
        "http://" * 60_000,
        "password" * 50_000,
        "1 " * 200_000,
    ],
)
@pytest.mark.timeout(20, func_only=True)
def test_no_text_makes_redaction_slow(text):
    """Each takes milliseconds, and minutes where its square is walked."""
    redact(text)


def test_a_long_text_is_cut_a_traceback_at_its_beginning():
    assert len(written("a" * 50_000)) < 11_000
    try:
        raise ValueError("b" * 20_000 + "\nthe end")
    except ValueError:
        assert "the end" in written("failed", exc_info=sys.exc_info())
