"""What a companion is told about itself, and how its persona is changed."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from django.db import transaction

from accounts.models import Actor, Role
from agents.services import authors
from agents.tools import registry
from approvals.services import audit
from companions.models import Companion, Mood
from core.errors import Forbidden, NotFound


class UnknownCompanion(NotFound):
    """There is no companion of this type in the workspace."""

    code = "unknown_companion"
    title = "There is no such companion"


class NotAManager(Forbidden):
    """The person's role does not carry this."""

    code = "role_required"
    default_detail = "Only a manager or an admin of the workspace may change a companion."


# What the log is told of; `agent__slug` is the agent behind it.
_TOLD = (
    "type", "name", "description", "agent__slug", "personality", "tone", "mood", "memory_layers", "memory_budget",
    "tools_allowed", "enabled",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """The parts of a persona that may be changed; None leaves a part as it is."""

    personality: str | None = None
    tone: str | None = None
    mood: str | None = None
    memory_layers: list[str] | None = None
    memory_budget: dict[str, int] | None = None
    tools_allowed: list[str] | None = None


MOODS: dict[str, str] = {
    Mood.SERIOUS: "Mood: serious. Keep to the matter, precise and composed; no jokes, no small talk, no emoji.",
    Mood.FRIENDLY: "Mood: friendly. Be warm and encouraging, and speak as to somebody you like.",
    Mood.NORMAL: "",
}


def compose(companion_name: str, personality: str, tone: str, instructions: str, mood: str = Mood.NORMAL) -> str:
    """The system prompt: who the companion is, how it speaks, what it is for; empty parts leave nothing behind."""
    parts = [f"You are {companion_name}." if companion_name else "", personality.strip()]
    parts += [f"Tone: {tone.strip()}" if tone.strip() else "", MOODS[mood], instructions.strip()]
    return "\n\n".join(part for part in parts if part)


def find(actor: Actor, type_: str) -> Companion:
    """The caller's companion of this type; raises UnknownCompanion."""
    try:
        return Companion.objects.visible_to(actor).select_related("agent").get(type=type_)
    except Companion.DoesNotExist:
        raise UnknownCompanion(f"There is no companion of type {type_[:60]!r} in this workspace.") from None


def configure(companion: Companion, persona: Persona, *, by: Actor) -> Companion:
    """Change a companion's persona; raises NotAManager for whoever is neither manager nor admin, and as `save`."""
    if not by.may(Role.MANAGER):
        raise NotAManager
    changes = {field.name: value for field in fields(persona) if (value := getattr(persona, field.name)) is not None}
    if "memory_budget" in changes:
        changes["memory_budget"] = {**companion.memory_budget, **changes["memory_budget"]}
    for name, value in changes.items():
        setattr(companion, name, value)
    save(companion, only=[*changes, "updated_at"], by=by)
    return companion


@transaction.atomic
def save(companion: Companion, *, only: Collection[str] | None = None, by: Actor) -> None:
    """Store a new or changed companion, or `only` these fields of it, and tell the log what became other.

    Raises Invalid for a tool that the workspace does not have, unless the companion had it before.
    """
    before = _told(companion)
    kept = before["tools_allowed"] if before else ()
    known = Companion.objects.filter(pk=companion.pk).values_list("author_ids", flat=True).first() or []
    registry.check_names("tools_allowed", companion.tools_allowed, companion.workspace_id, kept=kept)
    companion.author_ids = known
    companion.save(update_fields=only)
    after = _told(companion)
    if before == after:
        return
    _keep_authors(companion, before or {}, after or {}, by)
    audit.record(
        audit.Entry(
            type="companion.changed",
            workspace_id=companion.workspace_id,
            who=audit.person(by),
            target=("companion", companion.pk),
            data={"before": before, "after": after},
        )
    )


def _keep_authors(companion: Companion, before: dict[str, Any], now: dict[str, Any], by: Actor) -> None:
    """Note whose words it speaks by, whatever their role: what follows from that is asked when something is decided."""
    old, new = ({name: told.get(name, "") for name in ("personality", "tone")} for told in (before, now))
    found = authors.after(companion.author_ids, old, new, by.user.pk)
    if before.get("name") != now["name"]:
        found = list(dict.fromkeys([*found, by.user.pk]))
    companion.author_ids = found
    Companion.objects.filter(pk=companion.pk).update(author_ids=found)


def _told(companion: Companion) -> dict[str, Any] | None:
    """The companion as the log has it, locked; None where it is not stored."""
    rows = Companion.objects.select_for_update(of=("self",), no_key=True).filter(pk=companion.pk)
    found: dict[str, Any] | None = rows.values(*_TOLD).first()
    return found
