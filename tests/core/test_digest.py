"""Canonical JSON: one text, and so one digest, for equal values."""

import pytest

from core import digest
from core.errors import Invalid


def test_the_text_is_that_of_rfc_8785():
    value = {"b": [1, 2.0, 1e21, 1e-7, True, None], "a": "é\u2028\n", "": "", "\U0001f600": 1, "\ufb33": 2}
    assert digest.canonical(value).decode() == (
        '{"":"","a":"é\u2028\\n","b":[1,2,1e+21,1e-7,true,null],"\U0001f600":1,"\ufb33":2}'
    )


def test_equal_values_have_one_digest_and_others_another():
    assert digest.sha256({"a": 1, "b": 2}) == digest.sha256({"b": 2, "a": 1.0})
    assert digest.sha256({"a": 1}) != digest.sha256({"a": "1"})
    assert len(digest.sha256(None)) == 32
    assert digest.hexdigest({}) == digest.sha256({}).hex()


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, -(2**53), "\ud800", {"\ud800": 1}, {1: 2}, object()]
)
def test_what_has_no_canonical_text_is_refused(value):
    with pytest.raises(Invalid):
        digest.canonical({"value": value})
