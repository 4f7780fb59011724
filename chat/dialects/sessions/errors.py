"""How the chat sessions' dialect tells errors: a code for programs and a sentence for people."""

from typing import Any

from core.problems import Problem


def shape(told: Problem, request_id: str) -> tuple[str, dict[str, Any]]:
    """`{"error": {"code", "message"}}`; the request's id is in the header."""
    return "application/json", {"error": {"code": told.code, "message": told.detail}}
