"""Conversations whose workspace keeps them for a time only; and who may be erased, and by whom."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts.models import Membership, Role, User
from accounts.services.members import LastAdmin
from approvals.models import AuditEvent, AuditPayload
from approvals.services import roles, sealing, verifying
from chat.models import Conversation, Message, Run
from chat.services import leaving, retention
from core.ledger import SYSTEM
from memory.models import Entry, Kind, Tombstone
from memory.services import entries
from memory.services.entries import By, New
from tests.admin.conftest import browser, here, staff, there, url  # noqa: F401  fixtures
from tests.cast import person
from tests.chat.conftest import say  # noqa: F401  a fixture
from tests.memory.conftest import mine, note, talk  # noqa: F401  fixtures

ROLE = "countersign_test_app"


def aged(conversation: Conversation, days: int) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=Now() - timedelta(days=days))


@pytest.fixture
def days(workspace):
    def keep(count: int) -> None:
        workspace.conversation_days = count
        workspace.save(update_fields=["conversation_days"])

    return keep


def test_a_conversation_goes_with_its_words_when_its_time_is_over(days, talk, note):  # noqa: F811
    old, young = talk(("How are you?", "Well.")), talk(("And now?", "Still well."))
    fact = note("Tea", layer="preferences", slot="drink")
    aged(old, 31)
    aged(young, 29)
    days(30)
    assert retention.sweep() == 1
    assert list(Conversation.objects.all()) == [young]
    assert not Message.objects.filter(conversation_id=old.pk).exists()
    assert set(Entry.objects.filter(kind=Kind.MESSAGE).values_list("conversation_id", flat=True)) == {young.pk}
    assert Entry.objects.filter(pk=fact.pk).exists()
    assert AuditEvent.objects.filter(type="conversation.expired").count() == 1
    assert retention.sweep() == 0


def test_without_a_time_nothing_goes(days, talk):  # noqa: F811
    old = talk(("How are you?", "Well."))
    aged(old, 10_000)
    assert retention.sweep() == 0


def test_what_is_under_way_stays(days, say):  # noqa: F811
    run = say("Hello")
    aged(run.conversation, 31)
    days(30)
    assert retention.sweep() == 0
    assert Run.objects.filter(pk=run.pk).exists()


def test_each_workspace_has_its_own_time(days, talk, other_workspace):  # noqa: F811
    aged(talk(("How are you?", "Well.")), 31)
    other_workspace.conversation_days = 30
    other_workspace.save()
    assert retention.sweep() == 0


def test_the_last_admin_is_not_erased(owner, member):
    with pytest.raises(LastAdmin, match="Make somebody else one first"):
        leaving.erase(owner.user, by=SYSTEM)
    owner.user.refresh_from_db()
    assert owner.user.is_active
    person(owner.workspace, "second", Role.ADMIN)
    leaving.erase(owner.user, by=SYSTEM)
    assert leaving.is_erased(User.objects.get(pk=owner.user.pk))


def test_the_last_operator_is_not_erased(db):
    boss = User.objects.create_superuser("boss@example.org")
    with pytest.raises(leaving.LastOperator):
        leaving.erase(boss, by=SYSTEM)


def test_who_serves_may_erase_too_and_the_chain_holds(owner, member, talk, mine, client_of):  # noqa: F811
    talk(("My dog is called Zwinglibart.", "A fine name."))
    told = New(layer="identity", text="Zwinglibart is my dog", slot="pets")
    entries.write(mine, told, by=By.person(member))
    roles.grant(ROLE)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {ROLE}")
    try:
        left = leaving.erase(member.user, by=SYSTEM)
        assert left.events
        assert leaving.erase(User.objects.get(pk=member.user.pk), by=SYSTEM).events == 0
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
    assert not AuditPayload.objects.filter(data__icontains="member@").exists()
    assert not Entry.objects.exists()
    assert Tombstone.objects.exists()
    assert not Membership.objects.filter(user=member.user).exists()


def test_what_was_begun_and_broke_off_is_begun_again(owner, member, talk, monkeypatch):  # noqa: F811
    talk(("My dog is called Zwinglibart.", "A fine name."))

    def breaks(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(leaving, "_leftovers", breaks)
        with pytest.raises(ConnectionError):
            leaving.erase(member.user, by=SYSTEM)
    user = User.objects.get(pk=member.user.pk)
    assert not leaving.is_erased(user)
    assert not user.is_active
    leaving.erase(user, by=SYSTEM)
    assert leaving.is_erased(User.objects.get(pk=member.user.pk))
    assert AuditEvent.objects.filter(type="person.erased").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_log_verifies_after_an_erasure(owner, member, talk):  # noqa: F811
    talk(("My dog is called Zwinglibart.", "A fine name."))
    leaving.erase(member.user, by=SYSTEM)
    while sealing.seal():
        pass
    assert verifying.verify(member.workspace.pk).ok


def test_an_admin_types_the_address_to_erase_somebody(here, staff):  # noqa: F811
    client = staff(Role.ADMIN)
    one = here.member.user
    page = url(User, "erase", one.pk)
    assert "Erase for good" in client.get(page).text
    wrong = client.post(page, {"email": "somebody@else.example"})
    assert "This is not their address" in wrong.text
    one.refresh_from_db()
    assert one.is_active
    assert client.post(page, {"email": one.email.upper()}).status_code == 302
    one.refresh_from_db()
    assert leaving.is_erased(one)


def test_nobody_erases_themselves_or_people_of_others(here, there, staff):  # noqa: F811
    client = staff(Role.ADMIN)
    me = User.objects.get(email="staff-admin@home.example")
    client.post(url(User, "erase", me.pk), {"email": me.email})
    me.refresh_from_db()
    assert me.is_active
    theirs = there.member.user
    assert client.post(url(User, "erase", theirs.pk), {"email": theirs.email}).status_code in (302, 403, 404)
    theirs.refresh_from_db()
    assert theirs.is_active
    for role in (Role.MANAGER, Role.AUDITOR):
        answer = staff(role).post(url(User, "erase", here.member.user.pk), {"email": here.member.user.email})
        assert answer.status_code in (302, 403, 404)
    here.member.user.refresh_from_db()
    assert here.member.user.is_active
