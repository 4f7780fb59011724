"""What comes after a commit fails nobody."""

from functools import partial
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction

from core import commits

pytestmark = pytest.mark.django_db(transaction=True)
FLOORS = ("accounts", "agents", "approvals", "chat", "companions", "config", "core", "memory")


def test_what_fails_after_a_commit_is_logged_and_the_rest_is_done(caplog):
    done: list[str] = []

    def breaks(what: str) -> None:
        raise ConnectionError(what)

    with transaction.atomic():
        commits.after(breaks, "a function")
        commits.after(partial(breaks, "something without a name of its own"))
        commits.after(done.append, "the rest")
        assert done == []
    assert done == ["the rest"]
    assert [str(record.exc_info[1]) for record in caplog.records] == [
        "a function",
        "something without a name of its own",
    ]


def test_nothing_is_done_after_a_transaction_that_was_rolled_back():
    done: list[str] = []

    @transaction.atomic
    def broken() -> None:
        commits.after(done.append, "never")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert done == []


def test_no_part_asks_django_for_robust_hooks_which_break_on_whatever_has_no_name():
    root = Path(settings.BASE_DIR)
    asking = [str(path) for floor in FLOORS for path in (root / floor).rglob("*.py") if "robust=" in path.read_text()]
    assert asking == [str(root / "core" / "commits.py")]  # which says why
