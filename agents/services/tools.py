"""The tools that a workspace describes, their secrets, and their import; each change is in the audit log.

A described tool sends what models choose to an address that its author chose: only admins of the workspace make one.
"""

import asyncio
import re
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import Actor, Role
from accounts.permissions import RoleMissing
from agents.models import Tool, ToolSecret
from agents.models.described import Body, Method, RetryClass, Source
from agents.services import asking
from agents.tools import openapi, registry, schema, templates
from agents.tools.openapi import Proposal
from approvals.models import Risk
from approvals.services import audit, policies
from core import commits, guarded
from core.errors import Conflict, Invalid, NotFound

FIELDS = (
    "name", "title", "description", "method", "url", "parameters", "places", "body", "headers", "risk", "retry",
    "timeout", "enabled",
)  # fmt: skip
MOST_TOOLS = 500  # of a workspace
MOST_SECRETS = 200  # of a workspace
MOST_HOSTS = 20  # of a secret
MOST_SECONDS = 120
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SECRET = re.compile(r"[!-~]{8,4000}")
_HOST = re.compile(r"[a-z0-9.:\[\]-]{1,255}")
_CHOICES = {"method": Method, "body": Body, "risk": Risk, "retry": RetryClass}
# By method: what the request can do, and what another attempt does.
KINDS = {
    "GET": (Risk.READ, RetryClass.IDEMPOTENT),
    "HEAD": (Risk.READ, RetryClass.IDEMPOTENT),
    "PUT": (Risk.WRITE, RetryClass.IDEMPOTENT),
    "DELETE": (Risk.DESTRUCTIVE, RetryClass.IDEMPOTENT),
}
OTHERWISE = Risk.EXTERNAL, RetryClass.UNKNOWN


class UnknownTool(NotFound):
    """The workspace describes no such tool."""

    code = "unknown_tool"
    title = "There is no such tool"


class UnknownSecret(NotFound):
    """The workspace keeps no secret of this name."""

    code = "unknown_secret"
    title = "There is no such secret"


class NameTaken(Conflict):
    """There is a tool of this name."""

    code = "name_taken"
    title = "The name is taken"


def find(actor: Actor, tool_id: Any) -> Tool:
    """The caller's tool; raises UnknownTool."""
    found = Tool.objects.visible_to(actor).filter(pk=tool_id).first()
    if found is None:
        raise UnknownTool(f"There is no tool {tool_id} in this workspace. GET /v1/ai/tools lists them.")
    return found


def create(*, by: Actor, source: str = Source.ADMIN, operation: str = "", **said: Any) -> Tool:
    """A new tool; raises RoleMissing, Invalid or NameTaken."""
    admit(by)
    if Tool.objects.filter(workspace=by.workspace).count() >= MOST_TOOLS:
        raise Invalid(f"A workspace describes {MOST_TOOLS} tools at most. Delete one first.")
    tool = Tool(workspace=by.workspace, source=source, operation=operation)
    return _keep(tool, _with_defaults(said), by, before=None)


def change(tool: Tool, *, by: Actor, **said: Any) -> Tool:
    """Change a tool; what is not said stays. Requests that wait are judged again. Raises as `create`."""
    admit(by)
    with transaction.atomic():
        locked = Tool.objects.select_for_update().filter(pk=tool.pk, workspace=by.workspace).first()
        if locked is None:
            raise UnknownTool
        return _keep(locked, said, by, before=_told(locked))


@transaction.atomic
def delete(tool: Tool, *, by: Actor) -> None:
    """Delete a tool: calls that wait for an approval do not run any more; raises RoleMissing."""
    admit(by)
    _record(by, tool, _told(tool), None)
    tool.delete()


def _with_defaults(said: dict[str, Any]) -> dict[str, Any]:
    risk, retry = KINDS.get(str(said.get("method", "GET")), OTHERWISE)
    name = str(said.get("name", ""))
    usual = {"method": "GET", "risk": risk.value, "retry": retry.value, "title": name.replace("_", " ").capitalize()}
    return {**usual, "parameters": {"type": "object", "properties": {}}, **said}


def _keep(tool: Tool, said: dict[str, Any], by: Actor, *, before: Any) -> Tool:
    for name, value in said.items():
        if name not in FIELDS:
            raise Invalid.field(name, "is no part of a tool")
        setattr(tool, name, value)
    check(tool)
    _check_secrets(tool)
    try:
        with transaction.atomic():
            tool.save()
            _record(by, tool, before, _told(tool))
    except IntegrityError:
        raise NameTaken(f"There is a tool {tool.name} in this workspace.") from None
    return tool


def check(tool: Tool) -> None:
    """Raises Invalid, or NameTaken, for a description that is none; its parameters are normalised."""
    if not _NAME.fullmatch(str(tool.name)):
        raise Invalid.field("name", "up to 64 of a-z, 0-9 and _, a letter first")
    if registry.get(tool.name) is not None:
        raise NameTaken(f"{tool.name} is a tool of the platform. Choose another name.")
    other = registry.get(tool.name, tool.workspace_id)
    if other and not Tool.objects.filter(workspace=tool.workspace_id, name=tool.name).exists():
        raise NameTaken(f"{tool.name} is a tool of this workspace already. Choose another name.")
    for name, most in (("title", 100), ("description", 2000)):
        text = getattr(tool, name)
        if not isinstance(text, str) or not 0 < len(text.strip()) <= most or "\x00" in text:
            raise Invalid.field(name, f"from 1 to {most} characters")
    for name, kind in _CHOICES.items():
        if getattr(tool, name) not in kind.values:
            raise Invalid.field(name, f"one of {', '.join(kind.values)}")
    if type(tool.timeout) is not int or not 1 <= tool.timeout <= MOST_SECONDS:
        raise Invalid.field("timeout", f"from 1 to {MOST_SECONDS} seconds")
    if tool.method != "GET" and tool.method != "HEAD" and tool.risk == Risk.READ:
        raise Invalid.field("risk", "read is for GET and HEAD alone: other methods can change something")
    tool.parameters = schema.given(tool.parameters).parameters
    templates.check(tool)


def _check_secrets(tool: Tool) -> None:
    """Raises Invalid where the tool names a secret that is bound to other hosts; one may be kept later."""
    wanted, host = templates.names(tool), templates.host(tool)
    for one in ToolSecret.objects.filter(workspace=tool.workspace_id, name__in=wanted).defer("value"):
        if host not in one.hosts:
            raise Invalid.field("url", f"the secret {one.name} may not be sent to {host}; an admin names its hosts")


def secrets(*, by: Actor) -> list[ToolSecret]:
    """The secrets of the workspace by name, without their values; raises RoleMissing."""
    admit(by)
    return list(ToolSecret.objects.visible_to(by).defer("value").order_by("name")[:MOST_SECRETS])


def find_secret(name: str, *, by: Actor) -> ToolSecret:
    """The workspace's secret of this name, without its value; raises UnknownSecret."""
    found: ToolSecret | None = ToolSecret.objects.visible_to(by).defer("value").filter(name=name).first()
    if found is None:
        raise UnknownSecret(f"There is no secret {name} in this workspace. GET /v1/ai/tool-secrets lists them.")
    return found


def keep_secret(*, by: Actor, name: str, value: str, hosts: Sequence[str]) -> ToolSecret:
    """Keep a secret, in place of one of this name; other hosts need the value anew. Raises RoleMissing or Invalid."""
    admit(by)
    if not _SECRET_NAME.fullmatch(name):
        raise Invalid.field("name", "up to 64 of A-Z, 0-9 and _, a letter first")
    hosts = list(dict.fromkeys(one.strip().lower() for one in hosts))
    if not 0 < len(hosts) <= MOST_HOSTS or not all(_HOST.fullmatch(one) for one in hosts):
        raise Invalid.field("hosts", f"1 to {MOST_HOSTS} hosts such as api.example.com, or localhost:8080")
    with transaction.atomic():
        row = ToolSecret.objects.select_for_update().filter(workspace=by.workspace, name=name).first()
        row = row or _new_secret(by, name)
        if not value and (row._state.adding or set(hosts) - set(row.hosts)):
            raise Invalid.field("value", "give the secret: none is there, or it was for other hosts")
        if value and not _SECRET.fullmatch(value):
            raise Invalid.field("value", "8 to 4,000 printable ASCII characters without blanks")
        row.hosts = hosts
        if value:
            row.value = value
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            raise NameTaken(f"Somebody else just kept a secret {name}. Look at it first.") from None
        _record_secret(by, row, hosts=hosts, replaced=bool(value))
    return row


def _new_secret(by: Actor, name: str) -> ToolSecret:
    if ToolSecret.objects.filter(workspace=by.workspace).count() >= MOST_SECRETS:
        raise Invalid(f"A workspace keeps {MOST_SECRETS} secrets for its tools at most. Delete one first.")
    return ToolSecret(workspace=by.workspace, name=name)


@transaction.atomic
def remove_secret(row: ToolSecret, *, by: Actor) -> None:
    """Delete a secret: tools that name it fail from now on; raises RoleMissing."""
    admit(by)
    _record_secret(by, row, deleted=True)
    row.delete()


def propose(text: str, *, by: Actor, came_from: str = "") -> list[tuple[Proposal, str]]:
    """What an OpenAPI document would bring, each with `new`, `changed`, `same` or why it cannot be a tool."""
    return [(one, state) for one, state, _ in _compared(text, by, came_from)]


def _compared(text: str, by: Actor, came_from: str) -> list[tuple[Proposal, str, Tool | None]]:
    """Each operation with what it would bring and the tool that it became before, which its whole address tells."""
    admit(by)
    rows = {
        _place(row.method, row.url): row for row in Tool.objects.filter(workspace=by.workspace, source=Source.OPENAPI)
    }
    found = []
    for one in openapi.read(text, came_from=came_from):
        row = None if one.problem else rows.get(_place(one.said["method"], one.said["url"]))
        found.append((one, _state(one, row, by), row))
    return found


def _place(method: str, url: str) -> tuple[str, str]:
    return method, url.partition("?")[0]


def import_(
    text: str, *, by: Actor, keep: Collection[str] | None = None, came_from: str = ""
) -> list[tuple[Proposal, str]]:
    """Make or change the tools of a document, those whose names are in `keep` or all; what cannot be is passed over.

    A person's choice of title, risk, retry class, time and headers stays where a tool is imported again.
    """
    with transaction.atomic():
        found = _compared(text, by, came_from)
        if keep is not None and (unknown := set(keep) - {one.name for one, _, _ in found}):
            raise Invalid.field("keep", f"{sorted(unknown)[0][:64]} is none of the document's operations")
        for one, state, row in found:
            if state not in ("new", "changed") or (keep is not None and one.name not in keep):
                continue
            if row is None:
                create(by=by, source=Source.OPENAPI, operation=one.operation, **one.said)
            else:
                change(row, by=by, **_again(one))
    return [(one, state) for one, state, _ in found]


def _again(one: Proposal) -> dict[str, Any]:
    return {name: one.said[name] for name in ("description", "method", "url", "parameters", "places", "body")}


def _state(one: Proposal, row: Tool | None, by: Actor) -> str:
    if one.problem:
        return one.problem
    try:
        if row is None:
            check(made := Tool(workspace=by.workspace, **_with_defaults(one.said)))
            _check_secrets(made)
            taken = Tool.objects.filter(workspace=by.workspace, name=made.name).exists()
            return f"There is a tool {made.name} with another address: delete or rename it first." if taken else "new"
        before = row.version
        for name, value in _again(one).items():
            setattr(row, name, value)
        check(row)
        _check_secrets(row)
    except (Invalid, NameTaken) as error:
        return error.detail
    return "same" if row.version == before else "changed"


def fetch(url: str, *, by: Actor) -> str:
    """The document at an address, through the guarded client; raises RoleMissing, TooManyAsked, or what that raises."""
    admit(by)
    asked = partial(
        guarded.request,
        "GET",
        url,
        headers={"Accept": "application/json, application/yaml, text/yaml, text/plain"},
        most_bytes=openapi.LARGEST,
        follow=3,
        private=settings.TOOL_PRIVATE_ADDRESSES,
    )
    with asking.place():
        answer = asyncio.run(asked())
    if answer.status != 200 or not answer.whole:
        why = f"answered {answer.status}" if answer.status != 200 else f"is over {openapi.LARGEST:,} bytes"
        raise Invalid.field("url", f"what is there {why}")
    try:
        return answer.body.decode()
    except UnicodeDecodeError:
        raise Invalid.field("url", "what is there is no text in UTF-8") from None


def admit(by: Actor) -> None:
    """Raises RoleMissing for everybody but admins of the workspace."""
    if not by.may(Role.ADMIN):
        raise RoleMissing("Only an admin of the workspace describes tools.")


def _told(tool: Tool) -> dict[str, Any]:
    shown = "name", "method", "url", "risk", "retry", "enabled", "version"
    return {name: getattr(tool, name) for name in shown}


def _record(by: Actor, tool: Tool, before: Any, after: Any) -> None:
    audit.record(
        audit.Entry(
            type="tool.changed",
            workspace_id=tool.workspace_id,
            who=audit.person(by),
            target=("tool", tool.pk),
            data={"before": before, "after": after},
        )
    )
    commits.after(policies.rejudge, tool.workspace_id)


def _record_secret(by: Actor, row: ToolSecret, **told: Any) -> None:
    audit.record(
        audit.Entry(
            type="tool_secret.changed",
            workspace_id=row.workspace_id,
            who=audit.person(by),
            target=("tool_secret", row.pk),
            data={"name": row.name, **told},
        )
    )
    commits.after(policies.rejudge, row.workspace_id)
