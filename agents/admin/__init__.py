"""The admin pages of agents: what answers, what it is connected to, and the sandbox."""

from agents.admin import agents, budgets, described, hooks, keys, mcp, providers, sandbox, skills, teams, tools

__all__ = ["agents", "budgets", "described", "hooks", "keys", "mcp", "providers", "sandbox", "skills", "teams", "tools"]
