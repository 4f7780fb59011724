"""E-mails of an hour or a day: whom they ask, how much of what is in one, and what is erased from them."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from accounts.services import keys
from approvals import delivery, emails
from approvals.models import Decision, HeldNotice, OutboxItem
from approvals.preferences import KEY, MESSAGE, SIGN_IN, WAITING
from approvals.services import approvals, digests, erasing, notices
from core import ids
from tests.approvals.desk import request
from tests.approvals.telling import come_due, every, mails, wants
from tests.cast import person
from tests.servers.threads import bridged


def wrote(*names: str, to=None) -> None:
    """Agents of these names write to everybody, or to one."""
    people = User.objects.filter(pk=to.user.pk) if to else User.objects.all()
    for workspace_id in people.values_list("memberships__workspace", flat=True).distinct():
        with transaction.atomic():
            for name in names:
                told = {"name": name, "agent": name.lower()}
                notices.tell(workspace_id, "agent.wrote", told, notices.Audience(MESSAGE, people))


def told() -> list[str]:
    """What the one digest is about, in its order."""
    [item] = OutboxItem.objects.filter(type="digest")
    return [one["payload"].get("summary") or one["payload"]["name"] for one in item.payload["notices"]]


def test_who_wants_nothing_any_more_is_told_what_was_held_once_and_never_again(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))
    request(desk, member)
    wants(manager, **every(WAITING, "hourly", by="nothing"))
    come_due()
    assert digests.send_due() == 1
    assert not HeldNotice.objects.exists()


def test_a_second_account_of_who_has_voted_is_not_asked_again(desk, member, manager, workspace):
    twin = person(workspace, "twin", Role.MANAGER)
    User.objects.filter(pk=twin.user.pk).update(same_person_as=manager.user)
    wants(twin, **every(WAITING, "hourly"))
    asked = request(desk, member, quorum_approve=2)
    approvals.decide(asked.pk, by=manager, decision=Decision.APPROVE)
    come_due()
    assert digests.send_due() == 0
    OutboxItem.objects.all().delete()
    type(asked).objects.update(reminds_at=asked.created_at)
    assert approvals.remind_due() == 1
    assert mails() == []


def test_a_long_digest_is_one_e_mail_that_says_how_much_more_there_is(desk, member, manager, monkeypatch):
    monkeypatch.setattr(digests, "MOST", 3)
    wants(manager, events={name: {"by": "email", "when": "hourly"} for name in (WAITING, MESSAGE)})
    for name in ("first", "second"):
        request(desk, member, call={"arguments": {"service": name}})
    wrote("Hestia", "Hermes", "Hera", to=manager)
    come_due()
    assert digests.send_due() == 1
    assert digests.send_due() == 0, "all that was due was told, or is told in the next period"
    assert told() == ["Restart first.", "Restart second.", "Hestia"]
    item = OutboxItem.objects.get(type="digest")
    assert (item.payload["waiting"], item.payload["more"]) == (2, 2)
    assert (
        "2 requests wait for you and 3 other notices"
        in emails.compose(item.pk, item.type, item.payload, item.target, item.created_at).subject
    )
    assert set(HeldNotice.objects.values_list("event", flat=True)) == {WAITING}


def test_a_digest_takes_as_many_queries_for_many_requests_as_for_few(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))

    def queries() -> int:
        come_due()
        with CaptureQueriesContext(connection) as captured:
            assert digests.send_due() == 1
        return len(captured)

    request(desk, member)
    few = queries()
    for _ in range(5):
        request(desk, member)
    assert queries() == few


@pytest.mark.django_db(transaction=True)
def test_advice_comes_with_what_was_held_too(member, owner, workspace, settings, mailoutbox):
    wants(member, **every(KEY, "hourly"))
    keys.create(workspace=workspace, user=member.user, name="Theirs", by=owner.user)
    come_due()
    assert digests.send_due() == 1
    with bridged():
        delivery.deliver_due_sync()
    [message] = mailoutbox
    advice = "If you know nothing of it, have an admin of the workspace end the key"
    assert advice in message.body
    assert advice in message.alternatives[0][0]


# Erasing


def test_what_is_held_for_others_and_names_the_person_by_their_address_is_erased(member, owner, manager, workspace):
    wants(manager, events={name: {"by": "email", "when": "hourly"} for name in (KEY, MESSAGE)})
    keys.create(workspace=workspace, user=manager.user, name="Theirs", by=owner.user)
    wrote("Hestia", to=manager)
    assert HeldNotice.objects.filter(type="key.created").exists()
    erasing.erase(owner.user.pk)
    assert list(HeldNotice.objects.values_list("type", flat=True)) == ["agent.wrote"]


def test_of_an_e_mail_of_several_notices_those_alone_are_erased_that_name_the_person(desk, member, manager, workspace):
    other = person(workspace, "other")
    wants(manager, events={name: {"by": "email", "when": "hourly"} for name in (WAITING, MESSAGE, SIGN_IN)})
    for whose, name in ((member, "theirs"), (other, "others")):
        request(desk, whose, call={"arguments": {"service": name}})
    wrote("Hestia", to=manager)
    come_due()
    assert digests.send_due() == 1
    assert told() == ["Restart theirs.", "Restart others.", "Hestia"]
    [erased] = erasing.erase(member.user.pk)
    assert erased.notices >= 1
    assert told() == ["Restart others.", "Hestia"]
    item = OutboxItem.objects.get(type="digest")
    assert item.payload["waiting"] == 1
    assert str(member.user.pk) not in str(item.payload)
    erasing.erase(other.user.pk)
    assert told() == ["Hestia"]
    erasing.erase(manager.user.pk)
    assert not OutboxItem.objects.filter(type="digest").exists(), "what was for the person goes whole"


def test_an_e_mail_of_which_nothing_is_left_is_not_sent(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))
    request(desk, member)
    come_due()
    assert digests.send_due() == 1
    erasing.erase(member.user.pk)
    assert not OutboxItem.objects.exists()
    assert erasing.erase(ids.new()) == []
