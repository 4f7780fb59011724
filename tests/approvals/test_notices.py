"""People are told as they prefer: at once, later with others, or not at all; by real mail, and once."""

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from accounts.models import Group, Membership, Role, User, Workspace
from accounts.services import keys, login
from approvals import delivery, emails
from approvals.models import Approval, Decision, HeldNotice, OutboxItem, SignInPlace
from approvals.preferences import MESSAGE, WAITING
from approvals.services import approvals, digests, erasing, notices
from core import ids, ledger
from tests.approvals.desk import events, request
from tests.approvals.telling import come_due, due_now, every, mails, wants
from tests.cast import person
from tests.servers.smtp import mailing
from tests.servers.threads import bridged

HOUR = timedelta(hours=1)


@pytest.fixture
def mailbox(transactional_db, settings):
    """The mail server of this test."""
    settings.PUBLIC_URL = "https://countersign.example"
    with bridged(), mailing(settings) as box:
        yield box


def quiet_now() -> dict:
    now = datetime.now(UTC)
    return {"quiet_from": (now - HOUR).time(), "quiet_until": (now + HOUR).time()}


def text_of(message) -> str:
    return message.get_payload()[0].get_payload(decode=True).decode()


def test_who_said_nothing_is_told_at_once(desk, member, manager, owner):
    request(desk, member)
    assert mails("approval.requested") == sorted([manager.user.email, owner.user.email])
    assert not HeldNotice.objects.exists()
    item = OutboxItem.objects.first()
    assert item is not None
    mail = emails.compose(item.pk, item.type, item.payload, item.target, item.created_at)
    assert f"Workspace: {member.workspace.name}" in mail.body


def test_who_wants_nothing_is_told_nothing(desk, member, manager, owner):
    wants(manager, **every(WAITING, "at_once", by="nothing"))
    request(desk, member)
    assert mails() == [owner.user.email]
    assert not HeldNotice.objects.exists()


def test_a_digest_is_one_e_mail_of_what_waits_the_most_urgent_first(desk, member, manager, mailbox):
    wants(manager, **every(WAITING, "daily"), time_zone="Europe/Berlin")
    small = request(desk, member, call={"tool": "note_write", "risk": "write"})
    soon = request(desk, member, call={"tool": "mail_send", "risk": "external"}, request_lasts=HOUR)
    grave = request(desk, member, call={"tool": "data_drop", "risk": "destructive"})
    over = request(desk, member, call={"tool": "gone_already", "risk": "destructive"})
    approvals.decide(over.pk, by=person(member.workspace, "other", Role.MANAGER), decision=Decision.REJECT, reason="No")
    assert mails() == []
    assert digests.send_due() == 0, "it is not due yet"
    come_due()
    assert digests.send_due() == 1
    assert digests.send_due() == 0, "a clock that strikes twice sends nothing twice"
    delivery.deliver_due_sync()
    [message] = mailbox.messages
    assert message["Subject"] == "[Countersign] 3 requests wait for you"
    text = text_of(message)
    places = [text.index(one) for one in ("data_drop", "mail_send", "note_write")]
    assert places == sorted(places)
    assert "gone_already" not in text
    assert text.count(f"Workspace: {member.workspace.name}") == 3
    assert "Europe/Berlin" in text
    links = re.findall(r"https://\S+", text)
    assert links == [f"https://countersign.example/approvals/{one.pk}/" for one in (grave, soon, small)]


def test_what_still_waits_is_in_the_next_digest_until_it_is_decided(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))
    asked = request(desk, member)
    come_due()
    assert digests.send_due() == 1
    assert HeldNotice.objects.get().due_at > datetime.now(UTC)
    come_due()
    assert digests.send_due() == 1
    approvals.decide(asked.pk, by=person(member.workspace, "other", Role.MANAGER), decision=Decision.APPROVE)
    come_due()
    assert digests.send_due() == 0, "nothing waits, so nothing is sent"
    assert not HeldNotice.objects.exists()
    assert mails("digest") == [manager.user.email] * 2


def test_who_may_decide_it_no_more_hears_nothing_of_it(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))
    request(desk, member)
    Membership.objects.filter(user=manager.user).update(role=Role.MEMBER)
    come_due()
    assert digests.send_due() == 0
    request(desk, member)
    assert mails() == []


def test_who_left_hears_nothing(desk, member, manager, workspace):
    wants(manager, **every(WAITING, "hourly"))
    request(desk, member)
    User.objects.filter(pk=manager.user.pk).update(is_active=False)
    come_due()
    assert digests.send_due() == 0
    manager.membership.delete()
    assert not HeldNotice.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_clocks_that_strike_at_once_send_one_digest(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))
    request(desk, member)
    come_due()
    together, sent = threading.Barrier(4), []

    def strike() -> None:
        together.wait(20)
        sent.append(digests.send_due())
        connection.close()

    threads = [threading.Thread(target=strike) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == [0, 0, 0, 1]
    assert mails("digest") == [manager.user.email]


def test_a_digest_that_fails_stops_no_other_and_is_not_lost(desk, member, manager, owner, monkeypatch, caplog):
    for one in (manager, owner):
        wants(one, **every(WAITING, "hourly"))
    request(desk, member)
    come_due()
    email = notices.email

    def fail_one(workspace_id, type, payload, address):
        if address == manager.user.email:
            raise RuntimeError("no")
        return email(workspace_id, type, payload, address)

    monkeypatch.setattr(notices, "email", fail_one)
    assert digests.send_due() == 1
    monkeypatch.undo()
    assert digests.send_due() == 1
    assert mails("digest") == sorted([manager.user.email, owner.user.email])
    assert "a digest could not be made" in caplog.text


def test_in_quiet_hours_it_is_held_and_told_once_when_they_end(desk, member, manager):
    wants(manager, **quiet_now())
    request(desk, member, call={"risk": "destructive"})
    assert mails() == []
    come_due()
    assert digests.send_due() == 1
    assert not HeldNotice.objects.exists()


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    ("terms", "urgent"), [({"call": {"risk": "destructive"}}, True), ({"call": {"risk": "write"}}, False)]
)
def test_what_is_urgent_pierces_quiet_hours_where_the_person_allows_it(desk, member, manager, allowed, terms, urgent):
    wants(manager, **quiet_now(), urgent_at_once=allowed)
    request(desk, member, **terms)
    assert mails() == ([manager.user.email] if allowed and urgent else [])


@pytest.mark.parametrize("allowed", [True, False])
def test_an_escalation_pierces_quiet_hours_where_the_person_allows_it(desk, member, manager, workspace, allowed):
    second = person(workspace, "second")
    group = Group.objects.create(workspace=workspace, name="Second line")
    group.members.add(second.user)
    wants(second, **quiet_now(), urgent_at_once=allowed)
    request(desk, member, escalate_after=HOUR, escalate_to=group.pk, call={"risk": "write"})
    Approval.objects.update(escalates_at=F("escalates_at") - HOUR)
    OutboxItem.objects.all().delete()
    assert approvals.escalate_due() == 1
    assert mails("approval.requested") == ([second.user.email] if allowed else [])
    assert HeldNotice.objects.filter(membership=second.membership, event="approval.passed_on").count() == (not allowed)


def test_who_has_not_decided_is_reminded_once_when_a_quarter_of_the_time_is_left(desk, member, manager, colleague):
    asked = request(desk, member, quorum_approve=2, request_lasts=4 * HOUR)
    approvals.decide(asked.pk, by=manager, decision=Decision.APPROVE)
    OutboxItem.objects.all().delete()
    assert approvals.remind_due() == 0
    assert Approval.objects.get().reminds_at - asked.created_at == 3 * HOUR
    Approval.objects.update(reminds_at=F("reminds_at") - 3 * HOUR)
    assert approvals.remind_due() == 1
    assert approvals.remind_due() == 0
    assert mails() == [colleague.user.email], "who has decided is asked for nothing"
    assert events(asked) == ["requested", "voted"], "and nothing else came of it"


def test_what_lasts_for_minutes_or_is_over_reminds_nobody(desk, member, manager):
    request(desk, member, request_lasts=timedelta(minutes=5))
    over = request(desk, member)
    approvals.decide(over.pk, by=manager, decision=Decision.REJECT, reason="No")
    Approval.objects.update(reminds_at=F("reminds_at") - timedelta(days=1))
    assert approvals.remind_due() == 0


def test_whose_request_it_was_hears_what_was_decided_if_they_want_to(desk, member, manager):
    approvals.decide(request(desk, member).pk, by=manager, decision=Decision.APPROVE)
    assert member.user.email not in mails()
    wants(member, **every("approval.decided", "at_once"))
    approvals.decide(request(desk, member).pk, by=manager, decision=Decision.APPROVE)
    assert mails("approval.decided") == [member.user.email]


def test_an_emergency_is_told_to_those_who_may_decide(desk, member, manager, owner, workspace):
    Workspace.objects.filter(pk=workspace.pk).update(break_glass=True)
    owner.workspace.refresh_from_db()
    asked = request(desk, member)
    OutboxItem.objects.all().delete()
    wants(manager, **quiet_now(), urgent_at_once=True)
    approvals.decide(asked.pk, by=owner, decision=Decision.APPROVE, break_glass=True, fresh=True, reason="Fire.")
    assert manager.user.email in mails("approval.decided")


def test_an_e_mail_that_the_server_refuses_for_now_comes_again_as_the_same(desk, member, manager, mailbox):
    mailbox.refusals = ["451 Come again"]
    asked = request(desk, member)
    delivery.deliver_due_sync()
    assert mailbox.messages == []
    due_now()
    delivery.deliver_due_sync()
    [message] = mailbox.messages
    item = OutboxItem.objects.get(topic="email")
    assert message["Message-ID"].startswith(f"<{item.pk}@")
    assert (item.attempts, item.done_at is not None) == (2, True)
    assert message["To"] == manager.user.email
    assert f"https://countersign.example/approvals/{asked.pk}/" in text_of(message)


def test_a_secret_in_a_sentence_is_told_to_nobody(desk, member, manager, mailbox):
    request(desk, member, call={"arguments": {"service": "sk-live-0123456789abcdef"}})
    delivery.deliver_due_sync()
    [message] = mailbox.messages
    assert "0123456789abcdef" not in message.as_string() + str(OutboxItem.objects.get(topic="email").payload)
    assert "hmac:" in text_of(message)


def test_a_key_that_somebody_makes_for_a_person_is_told_to_them(member, owner, workspace):
    keys.create(workspace=workspace, user=member.user, name="Theirs", by=owner.user)
    item = OutboxItem.objects.get()
    assert (item.target, item.type) == (member.user.email, "key.created")
    assert item.payload["by"] == owner.user.email
    mail = emails.compose(item.pk, item.type, item.payload, item.target, item.created_at)
    assert "have an admin of the workspace end the key, and change your password." in mail.body
    assert emails.FOOTER not in mail.body, "it leads to no page on which anything is decided"
    keys.create(workspace=workspace, user=member.user, name="Of the command line")
    assert OutboxItem.objects.count() == 1


def test_a_sign_in_from_a_new_network_is_told_and_from_a_known_one_is_not(member):
    def sign_in(ip: str) -> int:
        with ledger.came_from(ip=ip), transaction.atomic():
            login.record_success(member.user, member.workspace.pk, via="api")
        return OutboxItem.objects.filter(type="login.new_place", target=member.user.email).count()

    assert sign_in("198.51.100.7") == 0, "the first is nothing new"
    assert sign_in("198.51.100.99") == 0, "the same network"
    assert sign_in("203.0.113.5") == 1
    assert sign_in("203.0.113.5") == 1
    assert sign_in("2001:db8:1::1") == 2
    assert sign_in("not an address") == 2
    assert not SignInPlace.objects.filter(place__contains="203").exists(), "what is kept is a hash"


@pytest.mark.parametrize(
    ("via", "password", "by", "todo"),
    [
        ("page", True, "the sign-in page", "change your password now: every session ends with it."),
        ("page", False, "the sign-in page", "If that was not you, end that session, and tell an admin."),
        ("oidc", True, "Example login", "end that session, change your password at Example login, and tell an admin."),
    ],
)
def test_what_to_do_about_a_sign_in_fits_how_the_person_signs_in(member, settings, via, password, by, todo):
    settings.PUBLIC_URL, settings.OIDC_NAME = "https://countersign.example", "Example login"
    member.user.set_password("a long enough phrase 7" if password else None)
    member.user.save()
    for ip in ("198.51.100.7", "203.0.113.5"):
        with ledger.came_from(ip=ip), transaction.atomic():
            login.record_success(member.user, member.workspace.pk, via=via)
    item = OutboxItem.objects.get(type="login.new_place")
    mail = emails.compose(item.pk, item.type, item.payload, item.target, item.created_at)
    for text in (f"By: {by}", todo, "See where you are signed in:\nhttps://countersign.example/account/sessions/"):
        assert text in mail.body
    assert emails.FOOTER not in mail.body + str(mail.alternatives)


def test_only_members_are_told_and_it_belongs_into_a_transaction(transactional_db, workspace, member, stranger):
    audience = notices.Audience(WAITING, User.objects.all())
    payload = {"approval_id": str(ids.new()), "risk": "write"}
    with pytest.raises(transaction.TransactionManagementError):
        notices.tell(workspace.pk, "approval.requested", payload, audience)
    with transaction.atomic():
        notices.tell(workspace.pk, "approval.requested", payload, audience)
    assert mails() == [member.user.email]


def test_what_is_told_of_other_things_is_told_once_with_the_digest(workspace, member):
    wants(member, **every(MESSAGE, "hourly"))
    with transaction.atomic():
        for name in ("Hestia", "Hermes"):
            told = {"name": name, "agent": name.lower()}
            notices.tell(workspace.pk, "agent.wrote", told, notices.Audience(MESSAGE, User.objects.all()))
    come_due()
    assert digests.send_due() == 1
    item = OutboxItem.objects.get()
    assert [one["payload"]["name"] for one in item.payload["notices"]] == ["Hestia", "Hermes"]
    assert not HeldNotice.objects.exists()


def test_what_is_forgotten_is_told_no_more(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))
    asked = request(desk, member)
    come_due()
    digests.send_due()
    approvals.decide(asked.pk, by=person(member.workspace, "other", Role.MANAGER), decision=Decision.APPROVE)
    assert HeldNotice.objects.exists()
    erasing.blank([asked.subject_id], workspace_id=member.workspace.pk)
    assert not HeldNotice.objects.exists()
    assert "Restart" not in str(list(OutboxItem.objects.values_list("payload", flat=True)))


def test_what_is_held_for_a_person_goes_with_them(desk, member, manager):
    wants(manager, **every(WAITING, "hourly"))
    request(desk, member)
    SignInPlace.objects.create(user=manager.user, place="a hash")
    erasing.erase(manager.user.pk)
    assert not HeldNotice.objects.exists()
    assert not SignInPlace.objects.exists()
