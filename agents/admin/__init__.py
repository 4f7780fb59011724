"""The admin pages of agents: what answers, what it is connected to, and the sandbox."""

from agents.admin import agents, providers, sandbox, tools

__all__ = ["agents", "providers", "sandbox", "tools"]
