"""The key that signs the ends of the chains: made once, for its owner alone, and remembered when it is replaced."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from approvals.services import heads, verifying
from tests.approvals.auditing import chained

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path):
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")


def test_the_key_is_made_once_and_for_its_owner_alone(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    first = heads.public_key()
    assert heads.public_key() == first
    assert (tmp_path / "audit_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["short", "!" * 44, "c2hvcnQ="])
def test_a_key_that_is_none_is_named(settings, text):
    settings.AUDIT_SIGNING_KEY = text
    with pytest.raises(ImproperlyConfigured, match="AUDIT_SIGNING_KEY"):
        heads.public_key()


def test_an_older_key_is_known_to_who_kept_its_public_half(workspace, settings):
    chained(workspace)
    old = heads.public_key()
    settings.AUDIT_SIGNING_KEY = "bmV3IGtleSBvZiBleGFjdGx5IHRoaXJ0eSB0d28gYi4="
    assert not verifying.verify(workspace.pk).ok
    assert verifying.verify(workspace.pk, keys=[old]).ok
