"""The tools that ship with the platform; importing this registers them."""

from agents.tools import home, services

__all__ = ["home", "services"]
