"""What MCP servers say of their tools, kept beside what was accepted: no word of a server makes it so."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from agents.mcp.pinned import hash_of
from agents.models import McpServer, McpTool
from agents.tools import outside, registry, schema
from approvals.services import audit, policies
from core import commits
from core.errors import Invalid

LARGEST = 64_000  # bytes of a definition


@transaction.atomic
def noticed(server_id: UUID, found: Sequence[Mapping[str, Any]]) -> str:
    """Keep what a server says of its tools; gives what is wrong with them. Nothing is accepted by this."""
    server = McpServer.objects.select_for_update().defer("secrets").filter(pk=server_id).first()
    if server is None:
        return ""
    said, passed = {}, []
    for one in found:
        if _fits(one):
            said[str(one["name"])] = one
        else:
            passed.append(outside.line(str(one["name"]), 40))
    rows = {row.remote_name: row for row in server.tools.all()}
    for name, one in said.items():
        row = rows.get(name) or McpTool(workspace_id=server.workspace_id, server=server, remote_name=name)
        if row._state.adding:
            row.name = _called(server, name)
        _offer(row, dict(one), hash_of(one))
    for name, row in rows.items():
        if name not in said and row.offered_hash:
            _offer(row, {}, "")
    return outside.line(f"Passed over, their definitions are no good: {', '.join(passed)}.", 300) if passed else ""


def _fits(said: Mapping[str, Any]) -> bool:
    try:
        if (
            len(said["name"]) > 200
            or len(msgspec.json.encode(said)) > LARGEST
            or "\\u0000" in msgspec.json.encode(said).decode()
        ):
            return False
        schema.given(said["parameters"])
        hash_of(said)
    except (Invalid, ValueError, TypeError, RecursionError):
        return False
    return True


def _called(server: McpServer, remote: str) -> str:
    """The name by which models call a tool: one that is free, and stays with it."""
    name = f"{server.name}__{re.sub(r'[^a-z0-9_]', '_', remote.lower())}"
    taken = registry.get(name, server.workspace_id) is not None
    taken = taken or McpTool.objects.filter(workspace_id=server.workspace_id, name=name).exists()
    if len(name) > 64 or taken:
        name = f"{name[:55]}_{hashlib.sha256(f'{server.pk} {remote}'.encode()).hexdigest()[:8]}"
    return name


def _offer(row: McpTool, said: dict[str, Any], found: str) -> None:
    if row.offered_hash == found and not row._state.adding:
        return
    row.offered, row.offered_hash = said, found
    row.save()
    if row.accepted_hash and row.accepted_hash != found:
        audit.record(
            audit.Entry(
                type="mcp.tool_changed",
                workspace_id=row.workspace_id,
                who=audit.SYSTEM,
                target=("mcp_tool", row.pk),
                data={"tool": row.name, "accepted": row.accepted_hash, "offered": found},
            )
        )
        commits.after(policies.rejudge, row.workspace_id)
