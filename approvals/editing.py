"""Editing what would run: tried and shown beside the proposal first, decided by a second button."""

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from accounts.models import Actor
from approvals import kinds, replies, shown, standing
from approvals.forms import ArgumentsForm, BallotForm
from approvals.kinds import Revision
from approvals.models import Approval, ApprovalStatus
from approvals.services import approvals, rights
from approvals.services.admission import DigestMismatch
from approvals.services.deciding import EditNotAllowed
from approvals.terms import terms_of
from core import digest
from core.errors import DomainError


@dataclass(slots=True)
class Edit:
    """What became of arguments that were sent: the request where it was decided by that, else what a page shows."""

    status: int
    context: dict[str, Any] = field(default_factory=dict)
    decided: Approval | None = None
    refusal: DomainError | None = None  # of a decision, as the page tells it in words


def take(request: HttpRequest, approval: Approval, actor: Actor, form: ArgumentsForm, ballot: BallotForm) -> Edit:
    """Take what was sent; arguments that have not been shown beside the proposal are shown, not decided."""
    context: dict[str, Any] = {"approval": approval, "form": form, "ballot": ballot}
    edit = Edit(400 if form.is_bound and not form.is_valid() else 200, context)
    if not form.is_bound or not form.is_valid():
        return edit
    arguments = form.cleaned_data["arguments"]
    seen = request.POST.get("checked") == digest.hexdigest(arguments)  # what the diff was of
    try:
        if ballot.is_bound and ballot.is_valid() and seen:
            given = ballot.cast(request) | {"arguments": arguments}
            edit.decided = approvals.decide(approval.pk, by=actor, **given)
            return edit
    except DomainError as error:
        ballot.refuse(error)
        edit.status, edit.refusal = error.status, error
    try:
        context |= _compared(approval, _tried(approval, actor, form), ballot)
    except DomainError as error:
        _refuse(edit, error)
    edit.status = max(edit.status, 400) if ballot.errors else edit.status
    return edit


def _refuse(edit: Edit, error: DomainError) -> None:
    """Say why arguments are not shown beside the proposal; where that has changed, on forms for what it is now."""
    approval, form, ballot = (edit.context[name] for name in ("approval", "form", "ballot"))
    told = replies.told(error, approval)
    if isinstance(error, DigestMismatch) and approval.status == ApprovalStatus.PENDING:
        form = type(form)({"digest": approval.digest, "arguments": form.data["arguments"]})
        ballot, told = type(ballot)(approval, edits=True, typed=ballot.typed), replies.CHANGED
        edit.context |= {"form": form, "ballot": ballot}
    if not ballot.errors:  # else it is told why already
        form.add_error(None, shown.visible_line(told))
        edit.status = error.status


def _compared(approval: Approval, revision: Revision, ballot: BallotForm) -> dict[str, Any]:
    """What is shown of edited arguments beside those that they replace, and on which terms they are asked about."""
    terms = terms_of(revision.ask) if revision.ask else approval.terms
    ballot.needs_password(terms["fresh_password"])
    return {
        "revision": revision,
        "checked": digest.hexdigest(revision.arguments),
        "changes": standing.changes(approval.arguments, revision.arguments),
        "terms": terms,
    }


def _tried(approval: Approval, actor: Actor, form: ArgumentsForm) -> Revision:
    """What the edited arguments would come to, with nothing of it kept; raises what speaks against them."""
    refusal = rights.refusal(approval, actor)
    if refusal is not None:
        raise refusal
    if form.cleaned_data["digest"] != approval.digest or approval.status != ApprovalStatus.PENDING:
        raise DigestMismatch
    if not approval.terms["editable"]:
        raise EditNotAllowed
    with transaction.atomic():
        owner = kinds.of(approval.kind)
        owner.lock(approval.subject_id)
        revision = owner.revise(approval, form.cleaned_data["arguments"])
        transaction.set_rollback(True)
    return revision
