"""Tools for the web: to search it, and to read a page of it."""

from agents.tools.web import fetch, search

__all__ = ["fetch", "search"]
