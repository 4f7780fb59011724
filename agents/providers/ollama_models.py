"""What Ollama tells of a model: its abilities, its window, and how much of that a request is to ask for."""

import re
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from django.conf import settings

from agents.providers import abilities
from agents.providers.abilities import REASONING, TOOLS, VISION, Told, complete
from agents.providers.base import ProviderSpec

_NAMES = {"tools": TOOLS, "vision": VISION, "thinking": REASONING}
_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
_NO_CHAT = ("bert", "nomic-bert")  # families of models that make embeddings alone


class Listed(msgspec.Struct):
    """An entry of `/api/tags`; `details` is read where it has the shape that it should have."""

    name: str
    digest: str = ""
    details: Any = None

    def chats(self) -> bool:
        """Whether its family is not one that only makes embeddings."""
        return not (isinstance(self.details, dict) and self.details.get("family") in _NO_CHAT)


class Tags(msgspec.Struct):
    """The list of `/api/tags`."""

    models: list[Listed] | None = None


class Shown(msgspec.Struct):
    """The answer of `/api/show`, as far as it is of use; older servers tell no capabilities."""

    capabilities: list[str] | None = None
    model_info: dict[str, Any] | None = None
    parameters: str | None = None
    remote_host: str | None = None


@dataclass(frozen=True, slots=True)
class Model(Told):
    """A model as it was shown. `own`: the context that its makers set; `window`: the longest that it can have."""

    digest: str = ""
    chats: bool = True
    window: int | None = None
    own: int | None = None
    remote: bool = False

    def context(self) -> int | None:
        """The `num_ctx` to ask for: None where that is not ours to say, or is left to the server."""
        if self.own or self.remote or not settings.OLLAMA_CONTEXT_LENGTH:
            return None
        return min(settings.OLLAMA_CONTEXT_LENGTH, self.window or settings.OLLAMA_CONTEXT_LENGTH)


def model(shown: Shown, digest: str = "") -> Model:
    """What is kept of an answer."""
    info = shown.model_info or {}
    window = info.get(f"{info.get('general.architecture')}.context_length")
    window = window if isinstance(window, int) and window > 0 else None
    set_to = _NUM_CTX.search(shown.parameters or "")
    own = int(set_to[1]) if set_to else None
    found = Model(digest=digest, window=window, own=own, remote=bool(shown.remote_host))
    found = replace(found, context_window=window if found.remote else own or found.context())
    if shown.capabilities is None:
        return found
    told = complete(_NAMES[name] for name in shown.capabilities if name in _NAMES)
    return replace(found, has=told.has, lacks=told.lacks, chats="completion" in shown.capabilities)


def kept(spec: ProviderSpec, name: str) -> Model | None:
    """A model that was shown before."""
    found = abilities.told(spec, name)
    return found if isinstance(found, Model) else None
