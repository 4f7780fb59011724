"""Doors to skills, below /v1/ai/."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import actor_of
from agents.api.definitions import Definitions
from agents.models import Skill
from agents.services import definitions, skills
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer, StrictSerializer

SKILL = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8059",
    "slug": "heating",
    "name": "Heating",
    "description": "Keeps rooms warm.",
    "instructions": "Look at the weather before you heat.",
    "tools": ["device_list", "device_control"],
    "created_at": "2026-01-01T12:00:00Z",
    "updated_at": "2026-01-01T12:00:00Z",
}
EXAMPLE = OpenApiExample("The skill", response_only=True, value=SKILL)
LIST_EXAMPLE = OpenApiExample("Skills", response_only=True, value={"skills": [SKILL]})
NEW_EXAMPLE = OpenApiExample("Make a skill", request_only=True, value={"name": "Heating", "tools": ["device_list"]})
CHANGE_EXAMPLE = OpenApiExample("Another tool", request_only=True, value={"tools": ["device_list", "weather"]})
TAKEN = {409: "`skill_exists`: the workspace has a skill of this slug."}
USED = {409: "`skill_used`: agents have it."}


class SkillOut(serializers.ModelSerializer[Skill]):
    """A skill."""

    tools = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Skill
        fields = tuple(SKILL)
        read_only_fields = fields


class SkillsOut(serializers.Serializer[Any]):
    """The skills of the workspace."""

    skills = SkillOut(many=True)


class SkillSaid(StrictSerializer):
    """What is said of a skill."""

    description = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    instructions = serializers.CharField(
        max_length=20_000, required=False, allow_blank=True, help_text="Told to the model of each agent that has it."
    )
    tools = serializers.ListField(
        child=serializers.CharField(max_length=200), max_length=skills.MOST_TOOLS, required=False
    )


class NewSkill(SkillSaid):
    """A new skill."""

    name = serializers.CharField(max_length=200)
    slug = serializers.SlugField(max_length=60, required=False, help_text="Left out: made of the name.")


class SkillChange(SkillSaid):
    """What of a skill is changed; what is not sent stays."""

    name = serializers.CharField(max_length=200, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses a body that changes nothing, which is a mistake."""
        if not attrs:
            raise serializers.ValidationError(f"Send at least one of {', '.join(self.fields)}.", code="required")
        return attrs


class SkillsView(Definitions):
    """GET and POST /v1/ai/skills."""

    @extend_schema(
        operation_id="ai_skills_list",
        responses={200: SkillsOut, **problems(*GUARDED)},
        examples=[LIST_EXAMPLE],
        tags=["skills"],
    )
    def get(self, request: Request) -> Response:
        """The skills of the workspace, by name; for managers and admins."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        skills.admit_reader(actor)
        rows = Skill.objects.visible_to(actor).order_by("name", "pk")[: skills.MOST]
        return Response(SkillsOut({"skills": rows}).data)

    @extend_schema(
        request=NewSkill,
        responses={201: SkillOut, **problems(*GUARDED, *BODY, told=TAKEN)},
        examples=[NEW_EXAMPLE, EXAMPLE],
        tags=["skills"],
    )
    def post(self, request: Request) -> Response:
        """Make a skill; for admins."""
        actor = actor_of(request)
        definitions.admit(actor)
        return Response(SkillOut(skills.create(by=actor, **NewSkill.read(request.data))).data, status=201)


class SkillView(Definitions):
    """GET, PATCH and DELETE /v1/ai/skills/{id}."""

    @extend_schema(
        operation_id="ai_skills_one",
        responses={200: SkillOut, **problems(*GUARDED, 404)},
        examples=[EXAMPLE],
        tags=["skills"],
    )
    def get(self, request: Request, skill_id: UUID) -> Response:
        """A skill; for managers and admins."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        skill = skills.find(actor, skill_id)
        skills.admit_reader(actor)
        return Response(SkillOut(skill).data)

    @extend_schema(
        request=SkillChange,
        responses={200: SkillOut, **problems(*GUARDED, *BODY, 404)},
        examples=[CHANGE_EXAMPLE, EXAMPLE],
        tags=["skills"],
    )
    def patch(self, request: Request, skill_id: UUID) -> Response:
        """Change a skill: each agent that has it has a new version by that. For admins."""
        actor = actor_of(request)
        skill = skills.find(actor, skill_id)
        definitions.admit(actor)
        return Response(SkillOut(skills.change(skill, by=actor, **SkillChange.read(request.data))).data)

    @extend_schema(request=None, responses={204: None, **problems(*GUARDED, 404, told=USED)}, tags=["skills"])
    def delete(self, request: Request, skill_id: UUID) -> Response:
        """Delete a skill that no agent has; for admins."""
        actor = actor_of(request)
        skills.remove(skills.find(actor, skill_id), by=actor)
        return Response(status=204)
