"""An agent as one JSON file: exported, and imported into this or another installation."""

import json
from typing import Any

from django.db import transaction

from accounts.models import Actor
from agents.models import Agent
from agents.services import definitions, versions
from core import jsonbody
from core.errors import Invalid

LARGEST = 900_000  # bytes: what the longest texts of an agent take, within what a request may have
FORMAT = "countersign.agent"
FORMAT_VERSION = 1
HERE = frozenset({"reports_to"})  # names a person of this workspace: it says nothing elsewhere
SAID = tuple(name for name in versions.SAID if name not in HERE)
KEYS = ("format", "format_version", "agent")


def exported(agent: Agent) -> dict[str, Any]:
    """The agent as a file has it: tools, skills and agents by name; neither secrets nor how far it is trusted."""
    said = {name: getattr(agent, name) for name in SAID}
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "agent": {"slug": agent.slug, **said}}


def written(agent: Agent) -> str:
    """The file's text."""
    return json.dumps(exported(agent), indent=2, ensure_ascii=False) + "\n"


def read(text: bytes, *, by: Actor, rename: str = "") -> Agent:
    """A new agent as the file's text says; raises TooLarge, BadJSON that says where, and as `imported`."""
    return imported(jsonbody.loads(text, limit=LARGEST), by=by, rename=rename)


@transaction.atomic
def imported(file: Any, *, by: Actor, rename: str = "") -> Agent:
    """A new agent as the file says, under the slug `rename` where that is given; it advises until it is trusted more.

    Raises RoleMissing, Invalid for a file that is none or that names what there is not here, AgentExists.
    """
    definitions.admit(by)
    if not isinstance(file, dict):
        raise Invalid.field("file", "an object, as an export gives it")
    _known(file, KEYS, "")
    if file.get("format") != FORMAT:
        raise Invalid.field("format", f"{FORMAT!r} here", "unknown_format")
    if file.get("format_version") != FORMAT_VERSION:
        raise Invalid.field("format_version", f"this release reads {FORMAT_VERSION}", "unknown_format")
    said = file.get("agent")
    if not isinstance(said, dict):
        raise Invalid.field("agent", "an object")
    _known(said, ("slug", *SAID), "agent.")
    slug = rename or said.get("slug")
    if not isinstance(slug, str) or not definitions.SLUG.fullmatch(slug):
        raise Invalid.field("rename" if rename else "agent.slug", "up to 60 letters, digits, - and _")
    if not isinstance(said.get("name"), str):
        raise Invalid.field("agent.name", "is needed", "required")
    told = {name: value for name, value in said.items() if name != "slug"}
    return definitions.create(by=by, slug=slug, **told)


def _known(given: dict[Any, Any], names: tuple[str, ...], at: str) -> None:
    for name in given:
        if name not in names:
            raise Invalid.field(f"{at}{name}"[:100], f"is not known; there is {', '.join(names)}", "unknown_field")
