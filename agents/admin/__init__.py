"""The admin pages of agents: what answers, what it is connected to, and the sandbox."""

from agents.admin import agents, hooks, providers, sandbox, tools

__all__ = ["agents", "hooks", "providers", "sandbox", "tools"]
