"""Sessions of browsers, which are kept until they end."""

from allauth.usersessions.models import UserSession
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from accounts.models import Actor, User
from accounts.services import mfa

AT_ONCE = 1000
AT_PROVIDER = "second_factor_at_provider"
"""In the session of somebody whose identity provider says that it asked for one."""


def holds(session_key: str, actor: Actor) -> bool:
    """Whether a browser's session is still this person's, with the second factor that the workspace asks for."""
    kept = SessionStore(session_key)
    if kept.get(SESSION_KEY) != str(actor.user.pk):
        return False
    return bool(kept.get(AT_PROVIDER)) or not mfa.withheld(actor)


def prune() -> int:
    """Delete sessions past their end, and what lists ended ones, at most so many of each; returns how many."""
    old = Session.objects.filter(expire_date__lt=Now()).order_by("expire_date")
    gone, _ = Session.objects.filter(pk__in=old.values("pk")[:AT_ONCE]).delete()
    ended = UserSession.objects.exclude(Exists(Session.objects.filter(pk=OuterRef("session_key"))))
    listed, _ = UserSession.objects.filter(pk__in=ended.values("pk")[:AT_ONCE]).delete()
    return int(gone + listed)


@transaction.atomic
def end_all(user: User) -> int:
    """End the person's sessions, and all tokens that they have; returns how many sessions went on until now.

    Their password and their keys go on.
    """
    User.objects.filter(pk=user.pk).update(signed_out_at=Now())
    theirs = UserSession.objects.filter(user=user)
    keys = list(theirs.values_list("session_key", flat=True))
    going = Session.objects.filter(pk__in=keys, expire_date__gte=Now()).count()
    Session.objects.filter(pk__in=keys).delete()
    theirs.delete()
    return going
