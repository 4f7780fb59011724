"""What a model at a provider can do: by what the provider told of it, else by its profile, else it is not known."""

from collections.abc import Iterable
from dataclasses import dataclass

from agents.providers import profiles
from agents.providers.base import ProviderSpec

TOOLS, VISION, REASONING = "tools", "vision", "reasoning"
ABILITIES = frozenset({TOOLS, VISION, REASONING})
MOST = 20_000  # models that are remembered


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider told of a model; what is in neither set was not told. The window is in tokens."""

    has: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    context_window: int | None = None


_told: dict[tuple[str, str], Told] = {}


def complete(has: Iterable[str], context_window: int | None = None) -> Told:
    """What a provider tells that names all abilities of a model: it lacks the others."""
    found = ABILITIES.intersection(has)
    return Told(found, ABILITIES - found, context_window)


def learn(spec: ProviderSpec, model: str, told: Told) -> None:
    """Remember, in this process, what the provider told of the model."""
    if len(_told) >= MOST:
        _told.clear()
    _told[spec.base_url, model] = told


def told(spec: ProviderSpec, model: str) -> Told | None:
    """What the provider told of the model, None where it was not asked."""
    return _told.get((spec.base_url, model))


def forget() -> None:
    """Forget what all providers told."""
    _told.clear()


def has(spec: ProviderSpec, model: str, ability: str) -> bool | None:
    """Whether the model has the ability; None where that is not known. The offline provider takes whatever comes."""
    if spec.offline:
        return None
    known = told(spec, model)
    if known and ability in known.has | known.lacks:
        return ability in known.has
    profile = profiles.known(model)
    return ability in profile.capabilities if profile else None


def lacks(spec: ProviderSpec, model: str, needs: Iterable[str]) -> set[str]:
    """Those of the abilities in need that the model surely lacks."""
    return {ability for ability in needs if has(spec, model, ability) is False}


def names(spec: ProviderSpec, model: str) -> tuple[str, ...]:
    """The model's abilities for people to read: that it chats, and those that it is known to have."""
    if told(spec, model) is None:
        return profiles.profile(model).capabilities
    return ("chat", *(ability for ability in (TOOLS, VISION, REASONING) if has(spec, model, ability)))


def context_window(spec: ProviderSpec, model: str) -> int | None:
    """How many tokens the model reads at this provider, where that is known."""
    known = told(spec, model)
    return (known and known.context_window) or profiles.profile(model).context_window
