"""Bodies of the agents' and teams' dialect: what is known of them strictly, what is not known passed over.

Their names begin with Direct, because the schema has one name for each of all dialects.
"""

from typing import Any

from django.conf import settings
from rest_framework import serializers

from agents.api.serializers import STATUSES
from agents.models import Agent, AgentTeam, ChatMode
from agents.services.definitions import LISTS, TEXTS
from chat.models import Conversation, Message
from chat.services import inbox, partners
from chat.services.runs import OnConflict
from core.errors import Invalid
from core.serializers import LenientQuery, LenientSerializer
from memory.models import Entry

LONGEST_NAME = 100
COUNTED = f"{partners.MOST_COUNTED} means as many or more."
MODE_HELP = f"One of {', '.join(ChatMode.values)}."


class UnknownMode(Invalid):
    """Teams do not answer so."""

    code = "unknown_mode"
    status = 422


def check_mode(value: str | None) -> None:
    """Raises UnknownMode for a mode that there is not; nothing is none."""
    if value and value not in ChatMode.values:
        raise UnknownMode(f"mode: there is {', '.join(ChatMode.values)}")


class Body(LenientSerializer):
    """A body in which null says the same as nothing."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What was said."""
        return {name: value for name, value in attrs.items() if value is not None}


def _text(most: int, help_text: str = "") -> Any:
    return serializers.CharField(
        max_length=most, required=False, allow_blank=True, allow_null=True, help_text=help_text
    )


class DirectAgentChange(Body):
    """What of an agent is changed; what is not sent stays."""

    name = serializers.CharField(max_length=LONGEST_NAME, required=False, allow_null=True)
    description = _text(TEXTS["description"])
    personality = _text(TEXTS["personality"])
    tone = _text(TEXTS["tone"])
    skills = serializers.ListField(
        child=serializers.CharField(max_length=200),
        max_length=LISTS["skills"],
        required=False,
        allow_null=True,
        help_text="Slugs of the workspace's skills, which give tools; other words say what the agent can do.",
    )
    system_prompt = _text(TEXTS["instructions"])
    model = _text(TEXTS["model"], "Left out: the person's, then the workspace's choice.")


class DirectNewAgent(DirectAgentChange):
    """A new agent."""

    name = serializers.CharField(max_length=LONGEST_NAME)


class DirectAgentOut(serializers.ModelSerializer[Agent]):
    """An agent, with how many people and messages its conversations have."""

    skills = serializers.SerializerMethodField()
    status = serializers.ChoiceField(choices=STATUSES)
    user_count = serializers.IntegerField(help_text=COUNTED)
    message_count = serializers.IntegerField(help_text=COUNTED)

    class Meta:
        model = Agent
        fields = (
            "id", "name", "description", "personality", "tone", "status", "skills", "user_count", "message_count",
            "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_skills(self, agent: Agent) -> list[str]:
        """The skills that give it tools, then what else it says that it can do."""
        return list(dict.fromkeys([*agent.skills, *map(str, agent.capabilities)]))


class DirectMessageIn(Body):
    """A message to an agent."""

    message = serializers.CharField(max_length=settings.MESSAGE_LIMIT, trim_whitespace=False)
    conversation_id = serializers.UUIDField(required=False, allow_null=True, help_text="Left out: a new one begins.")
    on_conflict = serializers.ChoiceField(
        choices=[(one.value, one.value) for one in OnConflict],
        default=OnConflict.REJECT.value,
        help_text="What a message does that finds its conversation busy.",
    )

    def validate_message(self, value: str) -> str:
        """A message says something."""
        if not value.strip():
            raise serializers.ValidationError("This field may not be blank.", code="blank")
        return value


class DirectTeamMessageIn(DirectMessageIn):
    """A message to a team."""

    mode = _text(20, f"{MODE_HELP} Left out: the team's own.")


ANSWER_STATUS = [(name, name) for name in ("completed", "awaiting_approval", "cancelled")]


class Answered(serializers.Serializer[Any]):
    """What every answer tells beside the contract's fields."""

    conversation_id = serializers.CharField()
    status = serializers.ChoiceField(choices=ANSWER_STATUS)
    approvals = serializers.ListField(child=serializers.CharField(), help_text="What it waits for.")


class DirectAnswerOut(Answered):
    """An agent's answer."""

    response = serializers.CharField()
    agent_id = serializers.CharField()
    agent_name = serializers.CharField()


class DirectResponseOut(serializers.Serializer[Any]):
    """What a member of a team answered in the end."""

    agent_id = serializers.CharField()
    agent_name = serializers.CharField()
    content = serializers.CharField()
    error = serializers.CharField(required=False, help_text="Why it did not answer.")


class DirectTeamAnswerOut(Answered):
    """A team's answer."""

    responses = DirectResponseOut(many=True)
    summary = serializers.CharField()
    mode = serializers.CharField(help_text="The mode in which it answered; `auto` has become another.")


class Limit(LenientQuery):
    """How many are listed."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)


class HistoryQuery(Limit):
    """Which messages are listed."""

    conversation_id = serializers.UUIDField(required=False, help_text="Left out: of all conversations with it.")


class PageQuery(Limit):
    """Which part of a list is shown."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=100)
    offset = serializers.IntegerField(min_value=0, max_value=10_000, default=0)


class DirectSaidOut(serializers.ModelSerializer[Message]):
    """A message of an agent's conversations."""

    class Meta:
        model = Message
        fields = ("role", "content", "created_at")
        read_only_fields = fields


class DirectHistoryOut(serializers.Serializer[Any]):
    """The last messages, oldest first."""

    messages = DirectSaidOut(many=True)


class DirectTeamSaidOut(serializers.Serializer[Any]):
    """A message of a team's conversations: a person's, or what one member said of an answer."""

    role = serializers.CharField()
    content = serializers.CharField()
    created_at = serializers.DateTimeField()
    agent_id = serializers.CharField(allow_null=True)
    agent_name = serializers.CharField(allow_null=True)
    error = serializers.CharField(required=False, help_text="Why a member did not answer.")


class DirectTeamHistoryOut(serializers.Serializer[Any]):
    """The last messages, oldest first."""

    messages = DirectTeamSaidOut(many=True)


class DirectTitleIn(Body):
    """A new conversation."""

    title = _text(settings.TITLE_LIMIT)


class DirectRenameIn(LenientSerializer):
    """Another title."""

    title = serializers.CharField(max_length=settings.TITLE_LIMIT, allow_blank=True)


class DirectConversationOut(serializers.ModelSerializer[Conversation]):
    """A conversation of the caller's with an agent."""

    message_count = serializers.IntegerField(help_text=COUNTED)

    class Meta:
        model = Conversation
        fields = ("id", "title", "created_at", "updated_at", "message_count")
        read_only_fields = fields


class DirectUnreadOut(serializers.Serializer[inbox.Unread]):
    """An answer that the caller has not read."""

    id = serializers.UUIDField()
    conversation_id = serializers.UUIDField(source="session_id")
    role = serializers.CharField()
    content = serializers.CharField()
    created_at = serializers.DateTimeField()


class DirectInboxOut(serializers.Serializer[inbox.Page]):
    """Unread answers, the newest first."""

    messages = DirectUnreadOut(many=True)
    unread = serializers.IntegerField(help_text=f"All of them; {inbox.MOST} means as many or more.")


class DirectReadIn(Body):
    """What was read: these messages, those of a conversation, or all."""

    message_ids = serializers.ListField(
        child=serializers.UUIDField(), max_length=inbox.MOST, required=False, allow_null=True
    )
    conversation_id = serializers.UUIDField(required=False, allow_null=True)


class DirectReadOut(serializers.Serializer[Any]):
    """How many were unread and are not any more."""

    ok = serializers.BooleanField()
    marked = serializers.IntegerField()


class DirectMemoryOut(serializers.ModelSerializer[Entry]):
    """A memory of the caller's."""

    content = serializers.CharField(source="text")
    type = serializers.SerializerMethodField(help_text="Its slot (`home`); without one what kind of entry it is.")

    class Meta:
        model = Entry
        fields = ("id", "content", "layer", "type", "confidence", "created_at", "updated_at")
        read_only_fields = fields

    def get_type(self, entry: Entry) -> str:
        """The slot, or the kind."""
        return entry.slot or entry.kind


class DirectMemoriesOut(serializers.Serializer[Any]):
    """The caller's memories, the newest first."""

    memories = DirectMemoryOut(many=True)


class DirectTeamChange(Body):
    """What of a team is changed; what is not sent stays."""

    name = serializers.CharField(max_length=LONGEST_NAME, required=False, allow_null=True)
    description = _text(2_000)
    chat_mode = _text(20, MODE_HELP)


class DirectNewTeam(DirectTeamChange):
    """A new team, which has no members yet."""

    name = serializers.CharField(max_length=LONGEST_NAME)


class DirectMemberOut(serializers.ModelSerializer[Agent]):
    """An agent in a team."""

    class Meta:
        model = Agent
        fields = ("id", "name", "status")
        read_only_fields = fields

    status = serializers.ChoiceField(choices=STATUSES)


class DirectTeamOut(serializers.ModelSerializer[AgentTeam]):
    """A team, with its members in the order in which they speak."""

    agents = serializers.SerializerMethodField()
    status = serializers.ChoiceField(choices=STATUSES)

    class Meta:
        model = AgentTeam
        fields = ("id", "name", "description", "chat_mode", "agents", "status", "created_at")
        read_only_fields = fields

    def get_agents(self, team: AgentTeam) -> list[dict[str, Any]]:
        """The members."""
        return [dict(DirectMemberOut(row.agent).data) for row in team.members.all()]


class DirectGoneOut(serializers.Serializer[Any]):
    """That it was done; `status` tells that it was switched off, because what was said with it stays."""

    ok = serializers.BooleanField()
    status = serializers.CharField(required=False)


class DirectDetailOut(serializers.Serializer[Any]):
    """An error."""

    detail = serializers.CharField()
