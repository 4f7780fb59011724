"""Which id an agent's slug stands for: the app that owns agents registers here how to look one up."""

from collections.abc import Callable
from uuid import UUID

Find = Callable[[UUID, str], UUID | None]
_finders: list[Find] = []


def register(find: Find) -> None:
    """Say who knows the agents of a workspace by their slugs; called from the owner's AppConfig.ready()."""
    _finders[:] = [find]


def agent_id(workspace_id: UUID, slug: str) -> UUID | None:
    """The id of the workspace's agent with this slug; None where it has none."""
    (find,) = _finders
    return find(workspace_id, slug)
