"""MCP servers: how they stand, their tools, and what is accepted of them; setting one up is the admin's."""

from typing import Any

from django.contrib import messages
from django.db.models import Count, F, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from accounts.models import Actor
from accounts.pages import console
from agents.acceptance import AcceptForm, difference
from agents.models import McpServer, McpTool
from agents.services import mcp
from core.errors import DomainError

MCP = "mcp"
BACK = console.SECTIONS[MCP].path


@console.reads(MCP)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The servers, with how many of their tools models may have."""
    good = Q(tools__offered_hash=F("tools__accepted_hash")) & ~Q(tools__accepted_hash="")

    def found(search: str) -> Any:
        rows = McpServer.objects.visible_to(actor).defer("secrets").order_by("name")
        rows = rows.annotate(many=Count("tools"), accepted=Count("tools", filter=good))
        return rows.filter(name__icontains=search) if search else rows

    return console.render(request, actor, MCP, "console/mcp.html", {"list": console.listed(request, found)})


@console.reads(MCP)
def server(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """A server and its tools; a POST asks it for them anew."""
    row = _server(actor, pk)
    if request.method == "POST":
        try:
            problem = mcp.refresh(mcp.find(actor, row.pk), by=actor).problem
        except DomainError as error:
            problem = error.detail
        if problem:
            messages.error(request, problem)
        else:
            messages.success(request, f"{row.name} has told its tools.")
        return HttpResponseRedirect(f"{BACK}{row.pk}/")

    def found(search: str) -> Any:
        rows = McpTool.objects.visible_to(actor).filter(server=row).order_by("name")
        return rows.filter(name__icontains=search) if search else rows

    context = {"server": row, "list": console.listed(request, found), "title": row.name}
    return console.render(request, actor, MCP, "console/mcp_server.html", context)


@console.changes(MCP)
def accept(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Show what a tool is defined as, and accept it with the risk that the person gives it."""
    tool = _tool(actor, pk)
    risk, retry = mcp.proposed(tool)
    first = {"definition": tool.offered_hash, "risk": risk, "retry": retry}

    def take(given: dict[str, Any]) -> str:
        mcp.accept(tool, by=actor, **given)
        return f"Agents may be given {tool.name}."

    return console.act(
        request,
        actor,
        MCP,
        take,
        form=AcceptForm(console.sent(request), initial=first),
        title=f"Accept {tool.name} as it is defined now",
        text="Read it: it is the server's word, and models are told it. The risk below is only proposed by the server.",
        exact=difference(tool),
        button="Accept it",
        back=f"{BACK}{tool.server_id}/",
    )


@console.changes(MCP)
def withdraw(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then accept a tool no more."""
    tool = _tool(actor, pk)

    def end(given: object) -> str:
        mcp.withdraw(tool, by=actor)
        return f"{tool.name} is accepted no more."

    return console.act(
        request,
        actor,
        MCP,
        end,
        title=f"Accept {tool.name} no more",
        text="Models are not offered it any more, and calls of it that wait do not run.",
        button="Accept it no more",
        danger=True,
        back=f"{BACK}{tool.server_id}/",
    )


def _server(actor: Actor, pk: str) -> McpServer:
    found = McpServer.objects.visible_to(actor).defer("secrets").filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found


def _tool(actor: Actor, pk: str) -> McpTool:
    rows = McpTool.objects.visible_to(actor).select_related("server").defer("server__secrets")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found
