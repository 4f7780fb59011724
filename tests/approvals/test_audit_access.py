"""Who may come in, who came in, and who was turned away: all of it is in the audit log."""

import datetime
import json

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, Membership, Role
from accounts.services import keys, login, members
from approvals.models import AuditEvent
from core import ledger
from core.errors import Unauthorized
from core.ledger import INSTALLATION
from tests import signing_in
from tests.cast import PASSWORD, Api, person


def told(type_):
    """The workspace, actor and payload of each event of a type, in their order."""
    rows = AuditEvent.objects.filter(type=type_).select_related("payload").order_by("pk")
    return [(row.workspace_id, row.actor_id, json.loads(row.payload.data)) for row in rows]


def sign_in(email, password, **more):
    return Api().post("/v1/auth/login", {"email": email, "password": password, **more})


def test_a_sign_in_is_recorded_with_where_it_came_from(workspace, member):
    answer = sign_in(member.user.email, PASSWORD)
    assert answer.status_code == 200
    ((home, who, data),) = told("login.succeeded")
    assert (home, who) == (workspace.pk, member.user.pk)
    assert data == {
        "actor": member.user.email,
        "ip": "127.0.0.1",
        "request_id": answer.headers["X-Request-Id"],
        "via": "api",
    }


def test_a_failed_sign_in_is_recorded_against_the_person(workspace, member):
    assert sign_in(member.user.email, "canary-7f3a91-wrong").status_code == 401
    ((home, who, data),) = told("login.failed")
    assert (home, who, data["ip"]) == (workspace.pk, member.user.pk, "127.0.0.1")
    assert "7f3a91" not in json.dumps(data)


def test_a_failed_sign_in_stands_in_the_workspace_that_was_tried(workspace, other_workspace, member):
    Membership.objects.create(workspace=other_workspace, user=member.user)
    sign_in(member.user.email, "wrong password", workspace=other_workspace.slug)
    sign_in(member.user.email, "wrong password", workspace=str(other_workspace.pk))
    sign_in(member.user.email, "wrong password", workspace="nowhere")
    assert [home for home, *_ in told("login.failed")] == [other_workspace.pk, other_workspace.pk, workspace.pk]


def test_what_was_typed_as_the_address_of_nobody_is_not_kept(workspace):
    sign_in("canary-7f3a91@example.org", "whatever it is")
    ((home, who, data),) = told("login.failed")
    assert (home, who) == (INSTALLATION, None)
    assert "7f3a91" not in json.dumps(data)


def test_known_and_unknown_addresses_cost_as_many_queries(workspace, member):
    counted = []
    for email in (member.user.email, "nobody@example.org"):
        with CaptureQueriesContext(connection) as seen, pytest.raises(login.LoginFailed):
            login.sign_in(email, "wrong password")
        counted.append(len(seen))
    assert counted[0] == counted[1]


def test_signing_in_on_the_page_is_recorded_too(workspace, member):
    for password in ("wrong password", PASSWORD):
        signing_in.post(member.user.email, password)
    assert [data["via"] for _, _, data in told("login.failed")] == ["page"]
    assert [(who, data["via"]) for _, who, data in told("login.succeeded")] == [(member.user.pk, "page")]


def test_who_is_not_active_did_not_sign_in(workspace, member):
    member.user.is_active = False
    member.user.save()
    signing_in.post(member.user.email, PASSWORD)
    assert told("login.succeeded") == []
    assert len(told("login.failed")) == 1


def test_the_life_of_a_key_is_recorded_and_its_secret_is_not(workspace, member, owner):
    key, text = keys.create(workspace=workspace, user=member.user, name="CI", scopes=["chat"], by=owner.user)
    keys.verify(text)
    keys.verify(text)
    successor, _ = keys.rotate(key, grace=datetime.timedelta(hours=1), by=owner.user)
    keys.revoke(key, by=owner.user)
    keys.revoke(key, by=owner.user)
    events = AuditEvent.objects.filter(target_id=key.pk).order_by("pk")
    assert [event.type for event in events] == ["key.created", "key.used", "key.rotated", "key.revoked"]
    _, who, data = told("key.created")[0]
    assert (who, data["actor"], data["of"]) == (owner.user.pk, owner.user.email, member.user.email)
    assert (data["of_key"], data["scopes"]) == (key.public_id, ["chat"])
    assert told("key.rotated")[0][2]["successor"] == successor.public_id
    assert told("key.used")[0][2]["key"] == key.public_id
    secret = text.rpartition("_")[2]
    assert not any(secret in event.payload.data for event in AuditEvent.objects.all())


def test_the_use_of_a_key_is_recorded_once_a_day(workspace, member):
    _, text = keys.create(workspace=workspace, user=member.user, name="CI")
    keys.verify(text)
    keys.verify(text)
    assert len(told("key.used")) == 1
    ApiKey.objects.update(last_used_at=Now() - datetime.timedelta(hours=25))
    keys.verify(text)
    assert len(told("key.used")) == 2


def test_an_ended_key_that_is_shown_again_and_again_is_recorded_once(workspace, member, client_of):
    client = client_of(member)
    keys.revoke(ApiKey.objects.get(user=member.user))
    for _ in range(3):
        assert client.get("/v1/ai/companions").status_code == 401
    ((home, who, data),) = told("key.refused")
    assert (home, who, data["ip"]) == (workspace.pk, member.user.pk, "127.0.0.1")


def test_a_key_that_nobody_made_leaves_no_trace(workspace, client_of, member):
    made = AuditEvent.objects.count()
    _, text = keys.create(workspace=workspace, user=member.user, name="CI")
    ApiKey.objects.all().delete()
    with pytest.raises(Unauthorized):
        keys.verify(text)
    assert AuditEvent.objects.count() == made + 1


def test_the_coming_and_going_of_members_is_recorded(workspace, owner):
    made = members.add(workspace, "new@example.org", role=Role.MANAGER, by=owner.user)
    key, _ = keys.create(workspace=workspace, user=made.user, name="CI")
    members.change_role(made, Role.AUDITOR, by=owner.user)
    members.change_role(made, Role.AUDITOR, by=owner.user)
    members.remove(made, by=owner.user)
    assert [data["after"] for _, _, data in told("member.added")] == ["manager"]
    assert [(data["before"], data["after"]) for _, _, data in told("member.changed")] == [("manager", "auditor")]
    ((home, who, data),) = told("member.removed")
    assert (home, who) == (workspace.pk, owner.user.pk)
    assert (data["email"], data["before"], data["keys"]) == ("new@example.org", "auditor", [key.public_id])


def test_a_new_workspace_has_its_beginning_in_its_log(db):
    made = members.create_workspace("Third")
    assert [(home, data["slug"]) for home, _, data in told("workspace.created")] == [(made.pk, "third")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", ["key", "member", "workspace", "role", "remove", "revoke"])
def test_where_it_cannot_be_recorded_nothing_is_done(workspace, owner, monkeypatch, act):
    other = person(workspace, "other")
    key, _ = keys.create(workspace=workspace, user=other.user, name="CI")

    def broken(*entries):
        assert connection.in_atomic_block
        raise OSError("the disk is full")

    acts = {
        "key": lambda: keys.create(workspace=workspace, user=other.user, name="More"),
        "member": lambda: members.add(workspace, "new@example.org"),
        "workspace": lambda: members.create_workspace("Third"),
        "role": lambda: members.change_role(other.membership, Role.MANAGER),
        "remove": lambda: members.remove(other.membership),
        "revoke": lambda: keys.revoke(key),
    }
    before = state()
    monkeypatch.setattr(ledger, "_recorders", [broken])
    with pytest.raises(OSError, match="full"):
        acts[act]()
    assert state() == before


def state():
    rows = (
        ApiKey.objects.values_list("pk", "revoked_at"),
        Membership.objects.values_list("user__email", "role", "workspace__slug"),
    )
    return [sorted(each, key=str) for each in rows]
