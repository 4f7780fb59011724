"""Several requests of one tool that are decided together: each by itself, on the digest that was shown of it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django import forms

from accounts.models import Actor
from approvals import replies
from approvals.forms import ProvenForm
from approvals.models import Approval, Decision, Risk
from approvals.services import approvals
from approvals.services.ballots import LONGEST_REASON
from core.errors import Conflict, DomainError

VERBS = {Decision.APPROVE: "approved", Decision.REJECT: "rejected"}


class LotForm(ProvenForm):
    """One decision on several requests of one tool."""

    reason = forms.CharField(
        required=False, max_length=LONGEST_REASON, widget=forms.Textarea({"rows": 2}), label="Reason"
    )
    field_order = ("reason",)

    def __init__(self, rows: list[Approval], decision: Decision, data: Any = None) -> None:
        super().__init__(data)
        if decision == Decision.REJECT:
            self.fields["reason"].required = True
            self.fields["reason"].help_text = "The agents read it."
        self.fields["password"].required = True
        self.fields["certain"].label = "I have read the arguments of each, and know that this cannot be taken back"
        if not any(row.terms["fresh_password"] for row in rows):
            del self.fields["password"]
        if decision == Decision.REJECT or all(row.risk != Risk.DESTRUCTIVE for row in rows):
            del self.fields["certain"]


def decide(
    rows: Iterable[Approval],
    decision: Decision,
    *,
    by: Callable[[Approval], Actor],
    sent: Mapping[str, str],
    reason: str,
    fresh: bool,
) -> tuple[int, list[str]]:
    """Decide each; how many were, now or by the same before, and in words what became of the others.

    `sent` has each digest as `digest-<id>`.
    """
    done, refused = 0, []
    for row in rows:
        digest, actor = sent.get(f"digest-{row.pk}", ""), by(row)
        try:
            approvals.decide(row.pk, by=actor, decision=decision, digest=digest, reason=reason, fresh=fresh)
        except DomainError as error:
            if not (isinstance(error, Conflict) and replies.counted(row, actor, decision, digest)):
                refused.append(f"{str(row.preview.get('sentence') or row.tool)[:200]}: {replies.told(error, row)}")
                continue
        done += 1
    return done, refused
