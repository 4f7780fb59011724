"""How each dialect tells errors, by the beginning of its paths; what is not here tells RFC 9457's problems."""

from chat.dialects.ag_ui import errors as ag_ui
from chat.dialects.agents import errors as agents
from chat.dialects.openai import errors as openai
from chat.dialects.sessions import errors as sessions
from core.problems import Shape

SHAPES: dict[str, Shape] = {
    **dict.fromkeys(("/v1/chat", "/v1/models", "/v1/responses", "/v1/completions", "/v1/embeddings"), openai.shape),
    "/chat": sessions.shape,
    "/api/agents": agents.shape,
    "/api/teams": agents.shape,
    "/api/ag-ui": ag_ui.shape,
}
