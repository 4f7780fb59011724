"""Accounts of people. One opens every workspace that its person is in, so each of these is told what becomes of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts.models import Membership, User
from core import ledger
from core.errors import Invalid

_TOLD = ("email", "name", "is_active", "is_staff", "is_superuser", "same_person_as")


@transaction.atomic
def save(user: User, *, by: User) -> None:
    """Store a new or changed account and tell the log; raises Invalid for a second account that cannot be one."""
    _lock(user)
    _check_second(user)
    before = _account(user)
    user.save()
    # What allauth knows of addresses is that they were verified: one that is given up opens nothing any more.
    EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()
    after = _account(user)
    if before != after:
        tell("person.changed", user, by, before=before, after=after)


def proved(user: User) -> None:
    """Keep in mind that the person reads the mail of their address, so that a later proof leaves their password."""
    given = {"email": user.email, "verified": True, "primary": True}
    EmailAddress.objects.update_or_create(user=user, email=user.email, defaults=given)


def is_proved(user: User, email: str) -> bool:
    """Whether it was proved before that the person reads the mail of this address."""
    return bool(EmailAddress.objects.filter(user=user, email=email.lower(), verified=True).exists())


@contextmanager
def password_told(user_id: UUID | None, *, by: User) -> Iterator[None]:
    """What is done inside is one transaction, and the log is told if it gave the person another password."""
    with transaction.atomic():
        row = User.objects.filter(pk__in=[user_id] if user_id else [])
        before = row.select_for_update(no_key=True).values_list("password", flat=True).first()
        yield
        user = row.first()
        if user is not None and user.password != before:
            tell("person.password_set", user, by, email=user.email, usable=user.has_usable_password())


def tell(type: str, user: User, by: User | None, **told: object) -> None:
    """Write into the log of each of the person's workspaces what became of their account; None: a program did it."""
    who = ledger.person(by.pk, label=by.email) if by else ledger.SYSTEM
    homes = _homes(user) or (_homes(by)[:1] if by else []) or [ledger.INSTALLATION]
    ledger.record(
        *(
            ledger.Entry(type=type, workspace_id=workspace_id, who=who, target=("person", user.pk), data=told)
            for workspace_id in homes
        )
    )


def _lock(user: User) -> None:
    """Lock the account and the one that it is the second of, in one order: two changes must not make a chain."""
    rows = User.objects.filter(pk__in={user.pk, user.same_person_as_id or user.pk}).order_by("pk")
    list(rows.select_for_update(no_key=True).values_list("pk"))


def _check_second(user: User) -> None:
    """Raises Invalid where accounts would form a chain: votes and requesters are told apart by one step."""
    if user.same_person_as_id is None:
        return
    if user.same_person_as_id == user.pk:
        raise Invalid.field("same_person_as", "an account cannot be its own second account")
    if User.objects.filter(pk=user.same_person_as_id).exclude(same_person_as=None).exists():
        raise Invalid.field("same_person_as", "this account is a second account itself; name the person's first one")
    if User.objects.filter(same_person_as=user.pk).exists():
        raise Invalid.field("same_person_as", "this person has second accounts, so that theirs is the first one")


def _account(user: User) -> dict[str, Any] | None:
    """The account as the log has it; None where it is not stored."""
    found: dict[str, Any] | None = User.objects.filter(pk=user.pk).values(*_TOLD).first()
    return found


def _homes(user: User) -> list[UUID]:
    theirs = Membership.objects.filter(user=user).order_by("created_at", "pk")
    return list(theirs.values_list("workspace_id", flat=True))
