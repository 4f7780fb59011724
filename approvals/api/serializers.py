"""What the API says of approvals, and the bodies that it takes: strictly, for a typo must not decide anything."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import User
from approvals.models import Approval, ApprovalStatus, Decision, Risk, Vote
from approvals.services import deciders, rights
from approvals.services.ballots import LONGEST_REASON, LONGEST_RESPONSE, Remember
from approvals.services.deciding import MOST_AT_ONCE
from approvals.services.endings import named
from approvals.services.grants import MOST_MINUTES, MOST_USES
from core.serializers import QuerySerializer, StrictSerializer

SPELLINGS = ("decision", "action", "approved")
MOST_APPROVERS = 20
STATUSES = [*ApprovalStatus.values, "all"]


class PersonOut(serializers.Serializer[User]):
    """A person, by name or else by address."""

    id = serializers.UUIDField()
    name = serializers.CharField(source="__str__")

    def to_representation(self, instance: User) -> dict[str, Any]:
        """As problems name them."""
        return named(instance) or {}


class EditedOut(serializers.Serializer[deciders.Edited]):
    """What an approver put in the place of the agent's arguments."""

    by = PersonOut(allow_null=True)
    arguments = serializers.DictField()


class ApprovalOut(serializers.ModelSerializer[Approval]):
    """A request in lists."""

    requested_by = PersonOut(allow_null=True)
    decided_by = PersonOut(allow_null=True)
    deciders = serializers.SerializerMethodField(help_text="All whose votes decided it, in their order.")
    edited = serializers.SerializerMethodField(help_text="What runs in the place of what the agent asked for.")
    decision = serializers.ChoiceField(choices=Decision.choices, allow_null=True)
    summary = serializers.SerializerMethodField()

    class Meta:
        model = Approval
        fields: tuple[str, ...] = (
            "id", "status", "tool", "risk", "agent", "companion", "summary", "requested_by", "session_id", "run_id",
            "call_id", "created_at", "expires_at", "decision", "decided_by", "decided_at", "reason", "deciders",
            "edited",
        )  # fmt: skip
        read_only_fields = fields

    def to_representation(self, instance: Approval) -> dict[str, Any]:
        """The row; a request that nobody has decided has no decision."""
        return {**super().to_representation(instance), "decision": instance.decision or None}

    def get_summary(self, approval: Approval) -> str:
        """What would be done, in a sentence."""
        return str(approval.preview.get("sentence", ""))

    @extend_schema_field(PersonOut(many=True))
    def get_deciders(self, approval: Approval) -> list[dict[str, Any]]:
        """The people."""
        return [dict(PersonOut(one).data) for one in deciders.deciders(approval)]

    @extend_schema_field(EditedOut(allow_null=True))
    def get_edited(self, approval: Approval) -> Any:
        """The edit; None where there is none."""
        made = deciders.edited(approval)
        return EditedOut(made).data if made else None


class ApprovalPage(serializers.Serializer[Any]):
    """A page of requests."""

    approvals = ApprovalOut(many=True)
    total = serializers.IntegerField(help_text="Counted as far as 1,000: 1,000 says that there are so many or more.")
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class PolicyOut(serializers.Serializer[Any]):
    """The rule that asks, and the version of the workspace's rules in which it does; no name: the default."""

    name = serializers.CharField()
    version = serializers.IntegerField()


class VoteOut(serializers.ModelSerializer[Vote]):
    """What one person said; void once the arguments were edited after it."""

    person = PersonOut(source="user", allow_null=True)
    at = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Vote
        fields = ("person", "decision", "reason", "digest", "at", "void")
        read_only_fields = fields


class QuorumOut(serializers.Serializer[Any]):
    """How many must approve, or reject."""

    approve = serializers.IntegerField()
    reject = serializers.IntegerField()


class ApprovalDetail(ApprovalOut):
    """A request with exactly what would run, who said what to it, and what the caller may do."""

    arguments = serializers.DictField()
    proposed_arguments = serializers.DictField(
        allow_null=True, help_text="What the agent asked for, where an approver has edited it."
    )
    preview = serializers.DictField()
    policy = serializers.SerializerMethodField()
    quorum = serializers.SerializerMethodField()
    editable = serializers.BooleanField(source="terms.editable")
    may_remember = serializers.BooleanField(source="terms.may_remember")
    fresh_password = serializers.BooleanField(source="terms.fresh_password")
    digest_required = serializers.BooleanField(source="terms.digest_required")
    decisions = serializers.SerializerMethodField()
    may_decide = serializers.SerializerMethodField()
    why_not = serializers.SerializerMethodField(help_text="Why the caller may not decide, as a code.")
    approvers = serializers.SerializerMethodField(
        help_text=f"Who may decide while it is pending, at most {MOST_APPROVERS} of them."
    )

    class Meta(ApprovalOut.Meta):
        fields: tuple[str, ...] = (
            *ApprovalOut.Meta.fields, "tool_version", "arguments", "proposed_arguments", "digest", "version", "preview",
            "policy", "quorum", "editable", "may_remember", "fresh_password", "digest_required", "escalates_at",
            "escalated_at", "valid_until", "response", "break_glass", "decisions", "may_decide", "why_not",
            "approvers",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(PolicyOut)
    def get_policy(self, approval: Approval) -> dict[str, Any]:
        """The policy that asks."""
        return {"name": approval.policy_name, "version": approval.policy_version}

    @extend_schema_field(QuorumOut)
    def get_quorum(self, approval: Approval) -> dict[str, int]:
        """The votes needed."""
        return {"approve": approval.terms["quorum_approve"], "reject": approval.terms["quorum_reject"]}

    @extend_schema_field(VoteOut(many=True))
    def get_decisions(self, approval: Approval) -> Any:
        """The votes, oldest first."""
        return VoteOut(approval.votes.select_related("user").order_by("created_at", "pk"), many=True).data

    def get_may_decide(self, approval: Approval) -> bool:
        """Whether the caller may decide now."""
        return self.context["why_not"] is None

    @extend_schema_field(PersonOut(many=True))
    def get_approvers(self, approval: Approval) -> list[dict[str, Any]]:
        """Whom the policy asks; nobody once it is decided."""
        if approval.status != ApprovalStatus.PENDING:
            return []
        asked = rights.asked(approval).order_by("name", "email")[:MOST_APPROVERS]
        return [dict(PersonOut(person).data) for person in asked]

    def get_why_not(self, approval: Approval) -> str | None:
        """The code of what would refuse them."""
        code: str | None = self.context["why_not"]
        return code


class ApprovalsQuery(QuerySerializer):
    """Which requests are listed."""

    status = serializers.ChoiceField(choices=STATUSES, default=ApprovalStatus.PENDING.value)
    agent = serializers.SlugField(max_length=60, required=False, help_text="The agent's slug.")
    tool = serializers.RegexField(r"^[A-Za-z0-9_.:-]{1,200}$", required=False, help_text="The tool's name.")
    risk = serializers.ChoiceField(choices=Risk.choices, required=False)
    session_id = serializers.UUIDField(required=False, help_text="The session whose runs asked.")
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    offset = serializers.IntegerField(min_value=0, max_value=10_000, default=0)


class RememberIn(StrictSerializer):
    """For how long an approval covers the same call in the same conversation."""

    arguments = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=100,
        help_text="The arguments that must be the same then; left out: all.",
    )
    minutes = serializers.IntegerField(min_value=1, max_value=MOST_MINUTES, default=60)
    count = serializers.IntegerField(min_value=1, max_value=MOST_USES, default=10)


class DecisionIn(StrictSerializer):
    """A decision: exactly one of `decision`, `action` and `approved`, and what goes with it."""

    decision = serializers.ChoiceField(choices=Decision.choices, required=False)
    action = serializers.ChoiceField(choices=Decision.choices, required=False, help_text="As `decision`.")
    approved = serializers.BooleanField(required=False, help_text="true: approve; false: reject.")
    reason = serializers.CharField(
        max_length=LONGEST_REASON, required=False, allow_blank=True, help_text="Needed to reject; the agent is told."
    )
    digest = serializers.CharField(
        max_length=200, required=False, help_text="That of what was shown; another one is refused with 409."
    )
    arguments = serializers.DictField(
        required=False, help_text="Run it with these arguments in place of those proposed; earlier votes are void."
    )
    response = serializers.CharField(
        max_length=LONGEST_RESPONSE, required=False, help_text="With `respond`: the tool's result; nothing runs."
    )
    remember = RememberIn(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One decision, whatever it is called; there is no default."""
        if sum(name in attrs for name in SPELLINGS) != 1:
            rest = ", ".join(name for name in self.get_fields() if name not in SPELLINGS)
            told = f"Send exactly one of {', '.join(SPELLINGS)}; with it may go {rest}."
            raise serializers.ValidationError(told, code="required")
        said = attrs.pop("action", None) or attrs.pop("decision", None)
        if said is None:
            said = Decision.APPROVE if attrs.pop("approved") else Decision.REJECT
        remember = attrs.pop("remember", None)
        if remember is not None:
            names = remember.pop("arguments", None)
            attrs["remember"] = Remember(arguments=None if names is None else tuple(names), **remember)
        return {**attrs, "decision": Decision(said)}


class BulkIn(StrictSerializer):
    """One decision on several requests for one tool."""

    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE)
    decision = serializers.ChoiceField(choices=Decision.choices, help_text="approve or reject.")
    reason = serializers.CharField(max_length=LONGEST_REASON, default="", allow_blank=True)


class RefusalOut(serializers.Serializer[Any]):
    """Why one of several was refused."""

    code = serializers.CharField()
    title = serializers.CharField()
    detail = serializers.CharField()


class BulkResult(serializers.Serializer[Any]):
    """What became of one of several."""

    id = serializers.UUIDField()
    status = serializers.IntegerField(help_text="The HTTP status that this one would have had alone.")
    approval = ApprovalOut(allow_null=True)
    error = RefusalOut(allow_null=True)


class BulkOut(serializers.Serializer[Any]):
    """What became of each, in the order of the ids."""

    results = BulkResult(many=True)
