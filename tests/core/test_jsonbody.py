"""What a JSON body may hold, and how fast the nastiest one is refused."""

import json
from contextlib import suppress

import pytest

from core.errors import TooLarge
from core.jsonbody import BadJSON, loads

MB = 1_000_000
DEEP = 64


@pytest.mark.parametrize(
    "body",
    [
        b'{"text":"hello","n":7,"list":[1,2.5,null,true]}',
        b'{"emoji":"\\ud83d\\ude00","slash":"\\\\u0000","quote":"a\\"[[["}',
        "{“”: 1}".replace("“”", '"é"').encode(),
        b'{"n":9007199254740991,"m":-9007199254740991}',
        b"[" * DEEP + b"]" * DEEP,
        json.dumps({"text": "[" * 1000, "more": "{" * 1000}).encode(),
        json.dumps([[]] * 1000).encode(),
    ],
)
def test_plain_json_is_read_as_the_standard_parser_reads_it(body):
    assert loads(body, limit=MB) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "line 1, column 1"),
        (b"{", "line 1"),
        (b'{"a":1,}', "line 1, column 8"),
        (b"\xef\xbb\xbf{}", "line 1, column 1"),
        (b"\xff\xfe{\x00}\x00", "byte 0"),
        (b'{"a":"\xed\xa0\x80"}', "byte 6"),
        (b'{"a":"\x00"}', "column 7"),
        (b'{"a":{"b":["x","\\u0000"]}}', "a.b.1"),
        (b'{"a\\u0000":1}', "a?"),
        (b'{"a":"\\ud800"}', "a"),
        (b'{"a":"\\udc00\\ud800"}', "a"),
        (b'{"\\uDFFF":1}', "?"),
        (b'{"a":"\\ud83d\\ude00\\ude00"}', "a"),
        (b'{"a":["x","\\ud83d\\\\ude00"]}', "a.1"),
        (b'{"a":"\\\\\\ud800"}', "a"),
        (b'{"decision":"reject","decision":"approve"}', "decision"),
        (b'[{"a":{"b":1,"c":2,"b":1}}]', "b"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1e999}', "1e999"),
        (b'{"a":9007199254740993}', "9007199254740993"),
        (b'{"a":' + b"9" * 5000 + b"}", "99999"),
        (b"[" * 65 + b"]" * 65, "64 levels"),
        (b"[" * 1000 + b"]" * 1000, "64 levels"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "64 levels"),
        (b"[" * 100_000, "64 levels"),
        (b"[" + b"{}," * 100_000 + b"1]", "100000 lists"),
        (b'["\\\\",' * 65 + b"1" + b"]" * 65, "64 levels"),
        (b'["' + b"x" * 70_000 + b'",' + b"[" * 65 + b"]" * 65 + b"]", "64 levels"),
    ],
)
def test_what_parsers_differ_on_or_a_database_cannot_store_is_refused_and_says_where(body, where):
    with pytest.raises(BadJSON) as refused:
        loads(body, limit=MB)
    assert refused.value.status == 400
    assert where in refused.value.detail


def test_a_body_over_the_limit_is_too_large_before_it_is_read():
    with pytest.raises(TooLarge) as refused:
        loads(b'"' + b"a" * 100 + b'"', limit=100)
    assert refused.value.status == 413
    assert loads(b'"' + b"a" * 98 + b'"', limit=100) == "a" * 98


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 12 * MB,
        b'{"a":' * 2 * MB,
        b'["' * 4 * MB,
        b'["' + b"\\" * 11 * MB + b'"]',
        b'["' + b'\\"' * 5 * MB + b'"]',
        (b"[" * 63 + b"]" * 63 + b",") * 90_000,
        b'["\\ud83d\\ude00"' + b',"a"' * MB + b"]",
        b"9" * 10 * MB,
        b'"' + b"a" * 11 * MB + b'"',
        ("{" + ",".join(f'"k{i}":{i}' for i in range(200_000)) + "}").encode(),
        b"[" + b"1," * 100_000 + b"1]",
        b"[" + b"[]," * (MB // 3) + b"1]",
        b'["\\ud83d\\ude00"' + b',"a"' * 2 * MB + b',"\\ud800"]',
        b'{"' + b"k" * 500 + b'":[' + b'"a",' * 2 * MB + b'"\\ud800"]}',
        b'["' + b"\\ud83d\\ude00" * (MB - 10) + b'\\ud800"]',
        ("[" + ",".join(f'{{"k{i}":{{}}}}' for i in range(700_000)) + ',"\\udc00"]').encode(),
        ("{" + ",".join(f'"k{i}":"x"' for i in range(700_000)) + ',"x":"\\udc00"}').encode(),
    ],
    ids=range(17),
)
@pytest.mark.timeout(30, func_only=True)
def test_the_nastiest_bodies_of_twelve_megabytes_are_read_or_refused(body):
    """Each takes less than a second, and minutes where its square is walked."""
    with suppress(BadJSON):
        loads(body, limit=12 * MB)


@pytest.mark.parametrize("end", [b"", b"\\ud800"])
@pytest.mark.timeout(30, func_only=True)
def test_a_pair_of_surrogates_below_long_names_costs_little(end):
    """About a second; a path that is made for each element costs minutes."""
    names = (b'{"' + b"k" * 900 + b'":') * 60
    body = names + b'["\\ud83d\\ude00"' + b",1" * 5_400_000 + b',"' + end + b'"]' + b"}" * 60
    with suppress(BadJSON):
        loads(body, limit=12 * MB)


def test_a_long_key_is_refused_and_a_path_stays_short():
    assert loads(b'{"' + b"k" * 1000 + b'":1}', limit=MB)
    for body in (b'{"' + b"k" * 1001 + b'":1}', (b'{"' + b"k" * 999 + b'":') * 9 + b'"\\ud800"' + b"}" * 9):
        with pytest.raises(BadJSON) as refused:
            loads(body, limit=MB)
        assert len(refused.value.detail) < 1000
