"""MCP servers without speaking with them: where one is, and what was pinned of its tools."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.conf import settings

from agents.models import McpServer
from agents.models.mcp import McpTransport
from agents.tools import outside
from agents.tools.registry import ToolFailed
from core import digest

LIST_SECONDS = 20.0
CALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a server is, and what is sent to it."""

    name: str
    transport: str
    url: str = ""
    command: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def clean(self, said: str) -> str:
        """What the server says, without what nobody sees, and without what it was sent to know us by."""
        hidden = [part for secret in self.secrets.values() for part in outside.parts(secret)]
        return outside.redacted(outside.plain(said).encode("utf-8", "replace"), hidden).decode()


def reach(server: McpServer) -> Reach:
    """Where a server is; raises ToolFailed where the operator names its program no more."""
    secrets = msgspec.json.decode(str(server.secrets) or "{}")
    if server.transport == McpTransport.HTTP:
        return Reach(server.name, server.transport, server.url, (), secrets)
    known = settings.MCP_STDIO_SERVERS.get(server.program)
    if known is None:
        raise ToolFailed(f"The operator names no program {server.program} in MCP_STDIO_SERVERS.")
    secrets = {name: value for name, value in secrets.items() if name in known["env"]}
    return Reach(server.name, server.transport, "", tuple(known["command"]), secrets)


class Changed(ToolFailed):
    """The tool is not as it was accepted; `found` is what the server has now."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        super().__init__("The server changed the tool since it was accepted. A manager accepts it anew, or not.")
        self.found = found


def hash_of(said: Mapping[str, Any]) -> str:
    """The hash of a definition; raises Invalid for one that has no canonical JSON."""
    return hashlib.sha256(digest.canonical(dict(said))).hexdigest()
