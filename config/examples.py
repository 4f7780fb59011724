"""Examples of the document for operations whose own views show none: what is simply read, and what is simply asked."""

from typing import Any

_ID, _OTHER = "0198f9a2-6f1b-7c3e-9d40-5b1f2a7c8e10", "0198f9a2-70aa-7d51-8c11-3e5d0b9a4f27"
_AT = "2026-01-02T03:04:05Z"
_SESSION = {
    "id": _ID,
    "companion": "smart-home",
    "team_id": None,
    "title": "Heating",
    "archived": False,
    "created_at": _AT,
    "updated_at": _AT,
}
_MESSAGE: dict[str, Any] = {
    "id": _OTHER,
    "role": "user",
    "content": "Is the heating on?",
    "parts": [],
    "created_at": _AT,
    "model": "",
    "provider": "",
    "usage": None,
    "metadata": {},
}
_RUN = {
    "id": _OTHER,
    "session_id": _ID,
    "status": "completed",
    "attempt": 1,
    "companion": "smart-home",
    "provider": "openai",
    "model": "gpt-5",
    "message_id": _ID,
    "usage": None,
    "memories": None,
    "error": None,
    "created_at": _AT,
    "started_at": _AT,
    "ended_at": _AT,
}
_MEMORY = {
    "id": _ID,
    "layer": "preferences",
    "type": "drink",
    "content": "Tea, please.",
    "companion_type": "smart-home",
    "source": "person",
    "sources": [],
    "confidence": 1.0,
    "status": "active",
    "pinned": False,
    "metadata": {},
    "said_at": _AT,
    "valid_from": _AT,
    "valid_to": None,
    "superseded_by": None,
    "expires_at": None,
    "created_at": _AT,
    "updated_at": _AT,
    "last_recalled_at": None,
}
_LINE = {"id": _OTHER, "content": "Is the heating on?", "role": "user", "createdAt": _AT}
_CHAT = {"id": _ID, "agentId": "smart-home", "userId": "user-42", "userVerified": True, "createdAt": _AT}

REQUESTS: dict[str, Any] = {
    "ai_sessions_create": {"companion": "smart-home", "title": "Heating"},
    "ai_sessions_partial_update": {"title": "Heating in winter", "archived": True},
    "auth_login_create": {"email": "me@example.com", "password": "correct horse battery staple"},
    "auth_refresh_create": {"refresh": "eyJhbGciOiJIUzI1NiIs…"},
}
ANSWERS: dict[str, Any] = {
    "chat_retrieve": {**_CHAT, "teamId": _OTHER, "metadata": {}, "messages": [_LINE], "nextCursor": None},
    "chat_message_retrieve": {"messages": [_LINE], "nextCursor": None},
    "ai_health_retrieve": {"status": "ok"},
    "ai_info_retrieve": {
        "name": "Countersign",
        "version": "0.1.0",
        "tier": "self-hosted",
        "brain": "available",
        "providers": ["openai"],
        "unavailable": [],
        "tools": ["web_search"],
        "embedder": "minilm",
    },
    "ai_memory_versions_retrieve": {
        "memory": _MEMORY,
        "revisions": [
            {"number": 1, "content": "Coffee, please.", "type": "drink", "source": "person", "changed_at": _AT},
        ],
        "superseded": [],
    },
    "ai_memory_export_retrieve": '{"format":"countersign.memory","format_version":1}\n',
    "ai_memory_pauses": {"pauses": [{"companion_type": "smart-home", "paused": True}]},
    "ai_preferences_retrieve": {"model": "gpt-5", "budget": None},
    "ai_runs_retrieve": _RUN,
    "ai_runs_cancel_create": {"run_id": _OTHER, "status": "cancelled"},
    "ai_sessions_list": {"sessions": [_SESSION], "total": 1, "limit": 20, "offset": 0, "next_cursor": None},
    "ai_sessions_retrieve": {
        **_SESSION,
        "messages": [_MESSAGE],
        "turns": [],
        "active_run_id": None,
        "next_cursor": None,
    },
    "ai_teams_list": {"teams": []},
    "auth_ticket_create": {"ticket": "1cXk0J…", "expires_in": 30},
}


def show(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Put each example into the first media type of its operation's body or answer; drf-spectacular's last step."""
    for operation in (one for item in result["paths"].values() for one in item.values()):
        name = operation["operationId"]
        if name in REQUESTS:
            _put(operation["requestBody"], REQUESTS[name])
        if name in ANSWERS:
            _put(next(one for status, one in operation["responses"].items() if status[0] == "2"), ANSWERS[name])
    return result


def _put(told: dict[str, Any], value: Any) -> None:
    next(iter(told["content"].values()))["examples"] = {"Example": {"value": value}}
