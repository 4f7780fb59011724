"""Keys: their text, their checking in one query, their rotation and end."""

import datetime
import re
from datetime import UTC, timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, Membership, User
from accounts.services import keys
from core.errors import Invalid


@pytest.fixture
def key(member):
    return keys.create(workspace=member.workspace, user=member.user, name="Server")


@pytest.mark.parametrize(
    ("kind", "mode", "prefix"),
    [
        ("secret", "live", "sk_live_cs_"),
        ("secret", "test", "sk_test_cs_"),
        ("publishable", "live", "pk_live_cs_"),
        ("publishable", "test", "pk_test_cs_"),
        ("scoped", "live", "at_cs_"),
    ],
)
def test_a_key_has_the_format_of_the_contract_and_only_its_hash_is_kept(member, kind, mode, prefix):
    key, text = keys.create(
        workspace=member.workspace, user=member.user, name="k", kind=kind, mode=mode, origins=["https://a.example"]
    )
    assert re.fullmatch(prefix + "[0-9A-Za-z]{12}_[0-9A-Za-z]{38}", text)
    parsed = keys.parse(text)
    assert (parsed.kind, parsed.mode, parsed.public_id) == (kind, mode, key.public_id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts_apikey::text FROM accounts_apikey")
        assert parsed.secret not in cursor.fetchone()[0]
    assert keys.verify(text).key == key


def test_every_single_wrong_character_is_refused_without_a_query(key, django_assert_num_queries):
    _, text = key
    with django_assert_num_queries(0):
        for index in range(len(text)):
            wrong = text[:index] + ("x" if text[index] != "x" else "y") + text[index + 1 :]
            with pytest.raises(keys.KeyRefused):
                keys.verify(wrong)


@pytest.mark.parametrize(
    "text", ["", "sk_live_cs_", "sk_live_" + "a" * 40, "sk_live_cs_é", "x" * 100_000, "sk_live_cs_\x00"]
)
def test_what_is_no_key_is_refused_without_a_query(db, text, django_assert_num_queries):
    with django_assert_num_queries(0), pytest.raises(keys.KeyRefused):
        keys.verify(text)


def test_a_right_checksum_is_not_enough(key, member):
    row, text = key
    parsed = keys.parse(text)
    body = f"sk_live_cs_{parsed.public_id}_{'a' * 32}"
    with pytest.raises(keys.KeyRefused):
        keys.verify(body + keys._checksum(body))
    body = f"sk_test_cs_{parsed.public_id}_{parsed.secret}"
    with pytest.raises(keys.KeyRefused):
        keys.verify(body + keys._checksum(body))


def test_a_key_is_checked_in_one_query_that_brings_all_of_the_caller(key, member):
    _, text = key
    keys.verify(text)
    with CaptureQueriesContext(connection) as queries:
        actor = keys.verify(text)
        assert (actor.user, actor.workspace, actor.membership) == (member.user, member.workspace, member.membership)
        assert actor.key.workspace.slug == "home"
        assert actor.membership.user.email == member.user.email
        assert (actor.role, actor.key.scopes, actor.user.is_active) == ("member", [], True)
    assert len(queries) == 1


def test_use_is_recorded_at_most_once_a_minute(key):
    row, text = key
    keys.verify(text)
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    keys.verify(text)
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiKey.objects.update(last_used_at=Now() - timedelta(seconds=61))
    keys.verify(text)
    row.refresh_from_db()
    assert row.last_used_at > first


def test_a_key_ends_with_its_time_its_revocation_its_person_or_their_membership(key, member):
    row, text = key
    whole = ApiKey.objects.filter(pk=row.pk)

    def works():
        try:
            return keys.verify(text).key == row and keys.still_good(row.public_id).key == row
        except keys.KeyRefused:
            assert keys.still_good(row.public_id) is None
            return False

    assert works()
    whole.update(expires_at=Now() + timedelta(seconds=30))
    assert works()
    whole.update(expires_at=Now() - timedelta(seconds=1))
    assert not works()
    whole.update(expires_at=None)
    User.objects.update(is_active=False)
    assert not works()
    User.objects.update(is_active=True)
    assert works()
    Membership.objects.filter(pk=member.membership.pk).delete()
    assert not works()
    Membership.objects.create(workspace=member.workspace, user=member.user)
    keys.revoke(row)
    assert not works()
    ended = row.revoked_at
    keys.revoke(row)
    assert row.revoked_at == ended


def test_the_old_key_works_until_its_grace_ends(key):
    row, text = key
    successor, new_text = keys.rotate(row, grace=timedelta(hours=1))
    assert keys.verify(text).key == row
    assert keys.verify(new_text).key == successor
    assert row.rotated_to == successor
    assert timedelta(minutes=59) < row.expires_at - datetime.datetime.now(UTC) < timedelta(minutes=61)
    ApiKey.objects.filter(pk=row.pk).update(expires_at=Now() - timedelta(seconds=1))
    with pytest.raises(keys.KeyRefused):
        keys.verify(text)
    keys.verify(new_text)


def test_rotation_never_lengthens_a_life_and_happens_once(key):
    row, _ = key
    soon = datetime.datetime.now(UTC) + timedelta(minutes=1)
    ApiKey.objects.update(expires_at=soon)
    row.refresh_from_db()
    successor, _ = keys.rotate(row, grace=timedelta(days=1))
    assert row.expires_at == soon == successor.expires_at
    with pytest.raises(keys.NotRotatable):
        keys.rotate(row, grace=timedelta(days=1))
    keys.revoke(successor)
    with pytest.raises(keys.NotRotatable):
        keys.rotate(successor, grace=timedelta(days=1))
    assert ApiKey.objects.count() == 2  # the refused rotations left none behind


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"kind": "golden"}, "kind"),
        ({"kind": "scoped", "mode": "test"}, "kind"),
        ({"scopes": ["Chat!"]}, "scopes"),
        ({"kind": "publishable"}, "origins"),
        ({"kind": "publishable", "origins": ["https://*.example"]}, "origins"),
        ({"kind": "publishable", "origins": ["https://a.example/path"]}, "origins"),
        ({"kind": "publishable", "origins": ["null"]}, "origins"),
        ({"kind": "publishable", "origins": ["https://a.example:99999"]}, "origins"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(member, fields, named):
    with pytest.raises(Invalid) as refused:
        keys.create(workspace=member.workspace, user=member.user, **{"name": "k", **fields})
    assert refused.value.errors[0].field == named
    assert not ApiKey.objects.exists()


def test_a_key_is_for_members_only(member, stranger):
    with pytest.raises(Invalid):
        keys.create(workspace=member.workspace, user=stranger.user, name="k")


def test_origins_are_kept_as_browsers_write_them():
    assert keys.origin_of(" HTTPS://App.Example:443/ ") == "https://app.example"
    assert keys.origin_of("http://localhost:3000") == "http://localhost:3000"
    assert keys.origin_of("http://[::1]:80") == "http://[::1]"


def test_a_right_id_with_a_wrong_secret_asks_for_as_much_as_a_wrong_id(key):
    row, _ = key
    asked = []
    for public_id in (row.public_id, "a" * 12):
        body = f"sk_live_cs_{public_id}_{'b' * 32}"
        with CaptureQueriesContext(connection) as queries, pytest.raises(keys.KeyRefused):
            keys.verify(body + keys._checksum(body))
        asked.append([re.sub(r"'[^']*'", "?", query["sql"]) for query in queries])
    known, unknown = asked
    assert known == unknown
    assert len(known) == 1
