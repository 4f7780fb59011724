"""Workspaces and who belongs to them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from accounts.models import ApiKey, Membership, Role, User
from accounts.services import keys, members
from core.errors import Invalid


def test_a_workspace_gets_a_short_name_that_nobody_else_has(db):
    made = members.create_workspace("My Home")
    assert (made.slug, made.tier) == ("my-home", "self-hosted")
    with pytest.raises(members.SlugTaken):
        members.create_workspace("My home!")
    for name, tier in (("", "free"), ("Home", "golden"), ("!!!", "free")):
        with pytest.raises(Invalid):
            members.create_workspace(name, tier=tier)


def test_a_person_is_added_with_an_account_and_only_once(workspace, other_workspace):
    membership = members.add(workspace, "Ann@Home.example", role=Role.MANAGER, password="correct horse battery")
    assert (membership.role, membership.user.email) == ("manager", "ann@home.example")
    assert membership.user.check_password("correct horse battery")
    with pytest.raises(members.AlreadyMember):
        members.add(workspace, "ann@home.example")
    again = members.add(other_workspace, "ann@home.example", password="an attempt to take over")
    assert again.user == membership.user
    assert User.objects.get().check_password("correct horse battery")


@pytest.mark.parametrize(
    "fields", [{"email": "no address"}, {"role": "king"}, {"password": "short"}, {"password": "password123"}]
)
def test_a_person_who_does_not_fit_is_not_added(workspace, fields):
    with pytest.raises(Invalid):
        members.add(workspace, **{"email": "a@b.example", **fields})
    assert not User.objects.exists()


def test_a_person_who_leaves_takes_their_keys_along_and_nobody_elses(workspace, owner, member):
    for actor in (owner, member):
        keys.create(workspace=workspace, user=actor.user, name="k")
    members.remove(member.membership)
    assert ApiKey.objects.get().user == owner.user


def test_the_last_admin_cannot_leave_or_become_less(workspace, owner, member):
    for refused in (lambda: members.remove(owner.membership), lambda: members.change_role(owner.membership, "member")):
        with pytest.raises(members.LastAdmin):
            refused()
    members.change_role(member.membership, Role.ADMIN)
    members.change_role(owner.membership, Role.MEMBER)
    assert Membership.objects.get(role=Role.ADMIN).user == member.user


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_leave_at_once_one_stays(workspace, owner, member):
    members.change_role(member.membership, Role.ADMIN)

    def leave():
        try:
            members.remove(member.membership)
        except members.LastAdmin:
            return "stays"
        else:
            return "left"
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            members.remove(owner.membership)
            other = thread.submit(leave)
            while not other.done() and not waits_for_a_lock():
                pass
        assert other.result() == "stays"


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return cursor.fetchone()[1] > 0


def test_a_member_prefers_a_model_of_a_bearable_name(member):
    members.prefer_model(member.membership, "gpt-4o")
    assert Membership.objects.get().preferred_model == "gpt-4o"
    with pytest.raises(Invalid):
        members.prefer_model(member.membership, "x" * 201)
