"""What people fill in to decide, and how it is carried to the service; doors give fields other looks by `widgets`."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from django import forms
from django.conf import settings
from django.http import HttpRequest

from accounts import limits
from accounts.models import User
from approvals import replies, shown
from approvals.models import Approval, ApprovalStatus, Decision, Risk
from approvals.services.admission import FreshPasswordRequired
from approvals.services.approvals import Remember
from approvals.services.ballots import LONGEST_REASON, LONGEST_RESPONSE
from approvals.services.grants import MOST_MINUTES, MOST_USES
from core import jsonbody
from core.errors import DomainError, Forbidden, RateLimited

REMEMBER = ("remember", "remember_arguments", "remember_minutes", "remember_count")
PASSWORD_NEEDED = "Type your password in the box above."


class WrongPassword(Forbidden):
    """What was typed is not the person's password."""

    code = "wrong_password"
    default_detail = "This is not your password."


class NotConfirmed(Forbidden):
    """The box that says that the person knows what they do is not ticked."""

    code = "not_confirmed"
    default_detail = "Tick the box that says that you have read the arguments: this cannot be taken back."


class DressedForm(forms.Form):
    """A form whose fields may be drawn otherwise than as Django does."""

    widgets: ClassVar[Mapping[str, Callable[[], forms.Widget]]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, make in self.widgets.items():
            field, widget = self.fields[name], make()
            widget.is_required = field.required
            widget.attrs = {**field.widget_attrs(widget), **widget.attrs}
            if isinstance(field, forms.ChoiceField):
                widget.choices = field.choices  # type: ignore[attr-defined]  # as each widget of choices has them
            field.widget = widget


class ProvenForm(DressedForm):
    """What shows that a person decides who knows what they do."""

    password = forms.CharField(
        required=False,
        strip=False,
        max_length=1_000,
        label="Your password",
        error_messages={"required": PASSWORD_NEEDED},
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )
    certain = forms.BooleanField(
        required=False,
        label="I have read the arguments, and know that this cannot be taken back",
        widget=forms.CheckboxInput({"required": True}),  # said by the browser, of the buttons that approve
    )


class BallotForm(ProvenForm):
    """A decision on one request: its fields are those that the request's terms leave open."""

    alone = False
    digest = forms.RegexField(r"\A[0-9a-f]{64}\Z", widget=forms.HiddenInput)
    decision = forms.ChoiceField(choices=Decision.choices)
    reason = forms.CharField(
        required=False,
        max_length=LONGEST_REASON,
        label="Reason",
        help_text="Needed to reject; the agent reads it.",
        widget=forms.Textarea({"rows": 2}),
    )
    response = forms.CharField(
        required=False,
        max_length=LONGEST_RESPONSE,
        label="Your answer",
        help_text="Nothing runs: the agent is given this in place of the tool's result.",
        widget=forms.Textarea({"rows": 3}),
    )
    remember = forms.BooleanField(required=False, label="Approve the same call in this conversation for a while")
    remember_arguments = forms.MultipleChoiceField(
        required=False, label="Where these arguments are the same", widget=forms.CheckboxSelectMultiple
    )
    remember_minutes = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_MINUTES,
        initial=60,
        label="For so many minutes",
    )
    remember_count = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_USES,
        initial=10,
        label="At most so many times",
    )

    def __init__(
        self,
        approval: Approval,
        data: Any = None,
        *,
        typed: Mapping[str, str] | None = None,
        edits: bool = False,
        prefix: str | None = None,
    ) -> None:
        first = {"digest": approval.digest, **(typed or {})}
        super().__init__(data, initial=first, auto_id="ballot-%s", prefix=prefix)
        self.approval, terms = approval, approval.terms
        self.needs_password(terms["fresh_password"] and not edits)
        # Edited arguments may be asked about on other terms, of which a password can be one.
        if not (edits or terms["fresh_password"] or self.alone):
            del self.fields["password"]
        if approval.risk != Risk.DESTRUCTIVE:
            del self.fields["certain"]
        remembers = (
            not (edits or self.alone)
            and terms["may_remember"]
            and terms["quorum_approve"] == 1
            and approval.session_id is not None
        )
        if remembers:
            names: Any = self.fields["remember_arguments"]
            names.choices = [(name, name) for name in approval.arguments]
            names.initial = list(approval.arguments)
        for name in () if remembers else REMEMBER:
            del self.fields[name]

    def cast(self, request: HttpRequest) -> dict[str, Any]:
        """What `approvals.decide` is given; raises what keeps the person from deciding like this."""
        given = self.cleaned_data
        decision = Decision(given["decision"])
        if decision == Decision.APPROVE and "certain" in self.fields and not given["certain"]:
            raise NotConfirmed
        ballot = {
            "decision": decision,
            "digest": given["digest"],
            "reason": given["reason"],
            "response": given.get("response", "") if decision == Decision.RESPOND else "",
            "break_glass": self.alone,
            "fresh": fresh(request, given.get("password", "")),
        }
        if decision == Decision.APPROVE and given.get("remember"):
            ballot["remember"] = Remember(
                arguments=self._remembered(given["remember_arguments"]),
                minutes=given["remember_minutes"] or 60,
                count=given["remember_count"] or 10,
            )
        return ballot

    @property
    def typed(self) -> dict[str, str]:
        """What was written in words, for a form that takes the place of this one."""
        return {name: self.data.get(self.add_prefix(name), "") for name in ("reason", "response")}

    def beside(self, approval: Approval) -> Self:
        """The form that is shown again beside the request as it is by now: another one where that has changed.

        It keeps the words; ticks and the password were for what the request was.
        """
        if approval.status != ApprovalStatus.PENDING or self.data.get(self.add_prefix("digest")) == approval.digest:
            return self
        return type(self)(approval, typed=self.typed)

    def needs_password(self, needed: bool) -> None:
        """Say whether nothing is decided without the password."""
        self.fields["password"].required = needed

    def refuse(self, error: DomainError) -> None:
        """Show what a service refused beside what it is about."""
        if isinstance(error, FreshPasswordRequired | WrongPassword) and "password" in self.fields:
            self.add_error("password", PASSWORD_NEEDED if isinstance(error, FreshPasswordRequired) else error.detail)
        else:
            self.add_error(None, shown.visible_line(replies.told(error, self.approval)))

    def _remembered(self, names: list[str]) -> tuple[str, ...] | None:
        """The arguments that must be the same; all of them is more than each: none may come to them."""
        return None if set(names) == self.approval.arguments.keys() else tuple(names)


class AloneForm(BallotForm):
    """An emergency: an admin decides alone, with a password and a reason."""

    alone = True

    def __init__(self, approval: Approval, data: Any = None, *, typed: Mapping[str, str] | None = None) -> None:
        super().__init__(approval, data, typed=typed, prefix="alone")
        self.needs_password(True)
        self.fields["reason"].required = True
        self.fields["reason"].help_text = "Every approver is told."
        del self.fields["response"]

    @classmethod
    def sent(cls, data: Any) -> bool:
        """Whether what was sent is this form."""
        return "alone-decision" in data


class ArgumentsForm(DressedForm):
    """Other arguments in place of those proposed, as JSON."""

    digest = forms.RegexField(r"\A[0-9a-f]{64}\Z", widget=forms.HiddenInput)
    arguments = forms.CharField(
        label="Arguments",
        max_length=settings.BODY_LIMIT,
        help_text="A JSON object. They are checked against the tool's schema and judged by policy again.",
        widget=forms.Textarea({"rows": 14, "spellcheck": "false", "autocapitalize": "off", "class": "exact"}),
    )

    def clean_arguments(self) -> dict[str, Any]:
        """The arguments; raises ValidationError for what is no JSON object."""
        text = self.cleaned_data["arguments"].replace("\r\n", "\n")
        try:
            value = jsonbody.loads(text.encode("utf-8", "surrogatepass"), limit=settings.BODY_LIMIT)
        except DomainError as error:
            raise forms.ValidationError(error.detail) from None
        if not isinstance(value, dict):
            raise forms.ValidationError("The arguments are a JSON object.")
        return value


def fresh(request: HttpRequest, password: str) -> bool:
    """Whether the password was typed just now; raises WrongPassword, RateLimited, or Unavailable without Valkey."""
    if not password:
        return False
    user = request.user
    assert isinstance(user, User), "the admin lets in nobody else"
    verdict = limits.hit("login", limit=settings.LIMITS["login"], who=f"fresh:{user.pk}", fail_closed=True)
    if not verdict.allowed:
        raise RateLimited(f"Too many tries. Try again in {verdict.reset} seconds.")
    if not user.check_password(password):
        raise WrongPassword
    return True
