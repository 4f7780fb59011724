"""How the agents' and teams' dialect tells errors: in one sentence."""

from typing import Any

from core.problems import Problem


def shape(told: Problem, request_id: str) -> tuple[str, dict[str, Any]]:
    """`{"detail": "…"}`; the request's id is in the header."""
    return "application/json", {"detail": told.detail}
