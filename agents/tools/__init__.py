"""The tools that ship with the platform; importing this registers them."""

from agents.tools import described, home, mcp, services, web

__all__ = ["described", "home", "mcp", "services", "web"]
