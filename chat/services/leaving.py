"""Erasing a person: what they said, what is remembered of them, what the log tells of them, their account.

Each step is a transaction of its own and finds nothing the second time, so that one which broke off is begun again. The
account goes last, and not its row: what others built on it stays, such as the chats of visitors that its key began and
what models used, under a name that is nobody's.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Actor, Invitation, Letter, Membership, Role, User, Workspace
from accounts.services import members, mfa
from accounts.services.members import LastAdmin
from approvals.models import Approval, Vote
from approvals.services import approvals, audit, erasing
from chat import eventlog
from chat.models import Action, ActionState, Conversation, Run
from chat.services import actions, conversations
from chat.services.conversations import UnknownSession
from core import commits, ledger
from core.errors import Conflict
from core.ledger import Who
from memory.models import Owner, Reading
from memory.scrub import blanked
from memory.services import forgetting

AT_ONCE = 500
NOBODY = "erased.invalid"  # a domain that no letter goes to
WHY = "The person was erased."
# What stays though it hangs on the account: others' talks, hashes of what was forgotten, what is ended by a service.
_STAYS = {Conversation, Owner, Membership}
_SAID = ("arguments", "result", "summary", "late_result")
_NOT_BEGUN = (ActionState.ALLOWED, ActionState.WAITING, ActionState.READY, ActionState.AWAITED)


class LastOperator(Conflict):
    """Nobody would be left who runs the installation."""

    code = "last_operator"
    default_detail = "This is the last operator of the installation. Make another one first."


class StillWorking(Conflict):
    """Something is done on the person's behalf just now, and what comes of it is yet to be written."""

    code = "still_working"
    default_detail = "An action of theirs runs just now. Erase again in a moment: what is erased stays so."


@dataclass(slots=True)
class Left:
    """What was erased."""

    conversations: int = 0
    memories: int = 0
    actions: int = 0
    events: int = 0


def is_erased(user: User) -> bool:
    """Whether the account is that of nobody any more."""
    return user.email.endswith(f"@{NOBODY}")


def check(user: User) -> None:
    """Raises LastAdmin or LastOperator where nobody could run a workspace, or the installation, without them."""
    admins = Membership.objects.filter(role=Role.ADMIN)
    mine = admins.filter(user=user).select_related("workspace")
    alone = [
        one.workspace.name for one in mine if not admins.filter(workspace=one.workspace).exclude(user=user).exists()
    ]
    if alone:
        raise LastAdmin(f"This is the last admin of {', '.join(sorted(alone))}. Make somebody else one first.")
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    if user.is_superuser and not others.exists():
        raise LastOperator


def erase(user: User, *, by: Who) -> Left:
    """Erase the person everywhere; raises LastAdmin, LastOperator, StillWorking.

    Who was erased already stays so. What is under way for them is stopped, what waits for approval withdrawn.
    """
    left = Left()
    if is_erased(user):
        return left
    check(user)
    _shut(user)
    places = list(Workspace.objects.filter(pk__in=_places(user)).order_by("pk"))
    for workspace in places:
        actor = _actor(user, workspace)
        left.conversations += _talks(actor)
        left.actions += _actions(actor, by)
        _decisions(actor)
        left.memories += _memories(actor)
    for membership in Membership.objects.filter(user=user).select_related("user", "workspace"):
        members.remove(membership)
    left.events = sum(len(one.events) for one in erasing.erase(user.pk, by=by))
    with transaction.atomic():
        _leftovers(user)
        _anonymise(user)
        _record(user, places, left, by)
    return left


@transaction.atomic
def _shut(user: User) -> None:
    """Let nobody in as them from now on: not by password, second factor, session, key or token."""
    user.is_active = False
    user.set_unusable_password()
    user.save(update_fields=["is_active", "password"])
    mfa.drop(user)
    sessions = UserSession.objects.filter(user=user)
    Session.objects.filter(session_key__in=list(sessions.values_list("session_key", flat=True))).delete()
    user.keys.filter(revoked_at=None).update(revoked_at=Now())


def _places(user: User) -> set[UUID]:
    """The workspaces that have something of theirs; they may have left some."""
    rows: tuple[models.QuerySet[models.Model], ...] = (
        Membership.objects.filter(user=user),
        Conversation.objects.filter(user=user),
        Owner.objects.filter(user=user),
        Action.objects.filter(person=user),
        Approval.objects.filter(Q(requested_by=user) | Q(decided_by=user) | Q(votes__user=user)),
    )
    return {pk for some in rows for pk in some.values_list("workspace_id", flat=True).distinct()}


def _actor(user: User, workspace: Workspace) -> Actor:
    """The person where they are, or were, a member: services ask whose it is."""
    found = Membership.objects.filter(user=user, workspace=workspace).first()
    return Actor(user, workspace, found or Membership(user=user, workspace=workspace))


def _talks(actor: Actor) -> int:
    """Delete their conversations with all that is in them; runs under way are stopped."""
    gone = 0
    mine = Conversation.objects.filter(user=actor.user, workspace=actor.workspace, parent=None, external=False)
    for conversation in list(mine.order_by("pk")):
        runs = Run.objects.filter(Q(conversation=conversation) | Q(conversation__parent=conversation))
        logs = list(runs.values_list("pk", flat=True))
        try:
            conversations.delete(conversation, by=actor)
        except UnknownSession:  # somebody was quicker
            continue
        gone += 1
        for run_id in logs:
            commits.after(eventlog.drop, run_id)
    return gone


def _actions(actor: Actor, by: Who) -> int:
    """Withdraw what waits, and empty all that tools were told and gave on their behalf. Raises StillWorking."""
    mine = Action.objects.filter(person=actor.user, workspace=actor.workspace)
    asked = Approval.objects.filter(requested_by=actor.user, workspace=actor.workspace)
    not_begun = mine.filter(state__in=_NOT_BEGUN)
    waited_for = {*asked.pending().values_list("run_id", flat=True), *not_begun.values_list("run_id", flat=True)}
    for run_id in waited_for:
        _withdraw(run_id, not_begun)
    if mine.filter(state__in=(ActionState.EXECUTING, ActionState.DELEGATED)).exists():
        raise StillWorking
    subjects = {*mine.values_list("pk", flat=True), *asked.values_list("subject_id", flat=True)}
    ordered = sorted(subjects)
    for start in range(0, len(ordered), AT_ONCE):
        _blank(ordered[start : start + AT_ONCE], actor, by)
    return mine.count()


@transaction.atomic
def _withdraw(run_id: UUID | None, not_begun: models.QuerySet[Action]) -> None:
    """Take back what a run asks of people, refuse what it has not begun, and let it go on without.

    What a worker has taken by then is not among it.
    """
    runs = Run.objects.filter(pk=run_id) if run_id else Run.objects.none()
    list(runs.select_for_update().values_list("pk"))
    if run_id is not None:
        approvals.cancel(run_id, who=audit.SYSTEM, reason=WHY)
    rows = list(not_begun.filter(run=run_id).select_for_update(of=("self",)).order_by("pk"))
    for action in rows:
        actions.refuse(action, "cancelled", WHY)
        action.save(update_fields=actions.OUTCOME)
    actions.announce(*rows)
    audit.record(*(actions.entry(action, "action.refused", audit.SYSTEM) for action in rows))
    for run in runs:
        actions.advance(run)


@transaction.atomic
def _blank(subjects: list[UUID], actor: Actor, by: Who) -> None:
    rows = list(Action.objects.filter(pk__in=subjects, person=actor.user).select_for_update().order_by("pk"))
    for action in rows:
        for name in _SAID:
            setattr(action, name, blanked(getattr(action, name)))
    Action.objects.bulk_update(rows, _SAID)
    erasing.blank(subjects, workspace_id=actor.workspace.pk, by=by)


@transaction.atomic
def _decisions(actor: Actor) -> None:
    """Take out why they decided as they did; that they did stays, as does what came of it."""
    Vote.objects.filter(approval__workspace=actor.workspace, user=actor.user).update(reason="")
    Approval.objects.filter(workspace=actor.workspace, decided_by=actor.user).update(reason="", response="")


def _memories(actor: Actor) -> int:
    """Forget all that is remembered of them; hashes stay, by which no import brings it back."""
    gone = forgetting.forget_all(actor, everything=True, keep_transcript=True)
    Reading.objects.filter(owner__user=actor.user, owner__workspace=actor.workspace).delete()
    return gone


def _leftovers(user: User) -> None:
    """Delete all that hangs on the account and would go with its row: settings, keys, second factors, marks, drafts."""
    relations: list[Any] = list(User._meta.get_fields(include_hidden=True))
    for relation in relations:
        hangs = relation.auto_created and not relation.concrete and (relation.one_to_many or relation.one_to_one)
        if not hangs or relation.on_delete is not models.CASCADE or relation.related_model in _STAYS:
            continue
        relation.related_model._base_manager.filter(**{relation.field.name: user}).delete()
    Letter.objects.filter(to__iexact=user.email).delete()
    Invitation.objects.filter(email__iexact=user.email).delete()
    for tried in (AccessAttempt, AccessLog, AccessFailureLog):
        tried.objects.filter(username__iexact=user.email).delete()
    about = ContentType.objects.get_for_model(User)
    LogEntry.objects.filter(content_type=about, object_id=str(user.pk)).delete()
    LogEntry.objects.filter(Q(object_repr__icontains=user.email) | Q(change_message__icontains=user.email)).delete()


def _anonymise(user: User) -> None:
    user.email, user.name, user.last_login = f"{user.pk}@{NOBODY}", "", None
    user.is_staff = user.is_superuser = False
    # Whose second account it was stays: it is what keeps the first from deciding what this one stands behind.
    user.save()


def _record(user: User, places: list[Workspace], left: Left, by: Who) -> None:
    """Tell each log, without a name."""
    told = {"conversations": left.conversations, "memories": left.memories, "actions": left.actions}
    homes = [one.pk for one in places] or [ledger.INSTALLATION]
    audit.record(
        *(
            audit.Entry(type="person.erased", workspace_id=home, who=by, target=("person", user.pk), data=told)
            for home in homes
        )
    )
