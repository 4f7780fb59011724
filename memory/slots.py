"""What an entry of the layers identity and preferences tells of a person: its slot. The API says `type`.

Those of identity are listed here, because each stands in every prompt. Preferences have a slot for each thing that is
liked or not (`coffee`, `room_temperature`), which nobody can list. An entry of the history may have a label, which
means nothing here.
"""

import re

from companions.models import Layer
from core.errors import Invalid

ONE = frozenset(
    {"name", "pronouns", "birthday", "home", "timezone", "language", "job", "employer", "relationship", "speak"}
)
"""Of which a person has one at a time; `speak` is how to speak with them."""
SEVERAL = frozenset(
    {"family", "friends", "pets", "languages", "health", "allergies", "diet", "religion", "origin", "education", "goal"}
)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")


def check(layer: str, slot: str) -> bool:
    """Whether one entry at a time may have the slot; raises Invalid for a name that is none, or none of this layer."""
    if not slot:
        return False
    if not _NAME.fullmatch(slot):
        raise Invalid.field("type", "a name of a-z, 0-9, _ and -, of 60 characters at most")
    if layer == Layer.IDENTITY and slot not in ONE | SEVERAL:
        known = ", ".join(sorted(ONE | SEVERAL))
        raise Invalid.field("type", f"identity has no {slot!r}; it has {known}. Leave it out for anything else")
    return slot in ONE if layer == Layer.IDENTITY else layer == Layer.PREFERENCES
