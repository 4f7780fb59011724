"""Settings whose text lies in a file, as secrets are mounted into containers, and a Valkey that has none."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import bootstrap, env


def test_the_text_of_a_file_is_taken_without_its_last_line_end(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("  a long secret\n")
    (tmp_path / "number").write_text("7\n")
    monkeypatch.setenv("THE_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("THE_NUMBER_FILE", str(tmp_path / "number"))
    assert env.text("THE_KEY") == "a long secret"
    assert env.integer("THE_NUMBER", 1) == 7
    assert bootstrap.unset("THE_KEY") is False


def test_an_empty_file_is_as_good_as_none(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("\n")
    monkeypatch.setenv("THE_KEY_FILE", str(tmp_path / "key"))
    assert env.text("THE_KEY", "by default") == "by default"
    assert bootstrap.unset("THE_KEY") is True


def test_a_setting_that_is_set_twice_is_refused(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("one")
    monkeypatch.setenv("THE_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("THE_KEY", "another")
    with pytest.raises(ImproperlyConfigured, match="THE_KEY and THE_KEY_FILE are both set"):
        env.text("THE_KEY")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * (env.FILE_LIMIT + 1)])
def test_a_file_that_cannot_be_taken_is_named_and_what_is_in_it_is_not(content, monkeypatch, tmp_path):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("THE_KEY_FILE", str(file))
    with pytest.raises(ImproperlyConfigured, match="THE_KEY_FILE names") as refused:
        env.text("THE_KEY")
    assert "xxx" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@valkey:6379/0", "rediss://app:secret@10.0.0.7:6379/0", "redis://valkey:6379/0?password=secret",
        "redis://127.0.0.1:6379/0", "redis://localhost/0", "redis://[::1]:6379/0", "unix:///run/valkey.sock?db=0",
    ],
)  # fmt: skip
def test_a_valkey_of_this_machine_or_with_a_password_is_taken(url):
    env.refuse_open_valkey("REDIS_URL", url)


@pytest.mark.parametrize("url", ["redis://valkey:6379/0", "rediss://10.0.0.7:6379/0", "redis://app@valkey/0"])
def test_a_valkey_elsewhere_without_a_password_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL leads to (valkey|10.0.0.7) without a password"):
        env.refuse_open_valkey("REDIS_URL", url)
