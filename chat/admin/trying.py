"""Trying an agent on its page of the admin: a talk of its admin with it as it stands, by the services of everybody.

The agents' own pages are below this floor, so the page is added to them from here. What is said is a session of the
person like any other, with the agent itself and no companion; the newest one that began here and is not archived goes
on.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST
from rest_framework.exceptions import ValidationError

from accounts import limits
from accounts.admin import scope
from accounts.admin.base import on_page
from accounts.models import Actor, Role
from agents.admin.agents import AgentAdmin
from agents.models import Agent
from chat import stream
from chat.dialects.native import inbound, views
from chat.dialects.native.serializers import MessageFrame
from chat.eventlog import feed
from chat.following import follow
from chat.models import Conversation, Message, MessageRole, Run, RunState
from chat.services import conversations, runs, saying
from core import ids, problems
from core.errors import DomainError, Invalid, RateLimited

SHOWN_MESSAGES = 20
SHOWN_CHARACTERS = 20_000  # of one part of a message
TRIAL = {"trial": True}  # the metadata of what is said here, by which such a talk is found among others with the agent
NOBODY = UUID(int=0)  # stands in an address for the id that the page puts there

admin.site.unregister(Agent)


@admin.register(Agent)
class TriedAgentAdmin(AgentAdmin):
    """What answers, with a page to try it on."""

    actions_detail: Any = ("try_it", *AgentAdmin.actions_detail)

    def get_urls(self) -> list[URLPattern]:
        """The routes, with those that the page calls."""
        steps: tuple[tuple[str, Callable[..., HttpResponseBase]], ...] = (
            ("say", require_POST(self.say)),
            ("events", require_GET(self.events)),
            ("stop", require_POST(self.stop)),
            ("anew", require_POST(self.anew)),
        )
        routes = [
            path(f"<path:object_id>/try_it/{name}/", self.admin_site.admin_view(view), name=f"agents_agent_try_{name}")
            for name, view in steps
        ]
        return [*routes, *super().get_urls()]

    def has_try_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Admins of the workspace: they say what the agent does."""
        row = self.get_object(request, unquote(object_id)) if object_id else None
        return self.allows(request, row, Role.ADMIN)

    @on_page("Try it", "forum", permission="try")
    def try_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page: what was said, the run under way, and a field to say more."""
        agent, actor = self._tried(request, object_id)
        conversation = _newest(agent, actor)
        last = conversation.runs.order_by("-pk").first() if conversation else None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": agent,
            "title": f"Try {agent.name}",
            "agent": agent,
            "conversation": conversation,
            "said": _said(conversation) if conversation else [],
            "active": last if last and last.active else None,
            "failed": last if last and last.state == RunState.FAILED else None,
            "approval_page": reverse(f"{self.admin_site.name}:approvals_approval_change", args=[NOBODY]),
            "longest": settings.MESSAGE_LIMIT,
            "back": self.page_of(agent.pk),
        }
        return TemplateResponse(request, "chat/try_agent.html", context)

    def say(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Say something to the agent; the answer is streamed as `POST /v1/ai/chat` does."""
        agent, actor = self._tried(request, object_id)
        try:
            _let_pass(actor)
            text = request.POST.get("message", "").replace("\r\n", "\n")  # as forms send line breaks
            body = MessageFrame.read({"message": text, "metadata": TRIAL})
            said = inbound.said_of(body)
            run, watch = saying.begin(actor, said, _newest(agent, actor) or _new(agent, actor), also=_seen)
        except (DomainError, ValidationError) as error:
            return problems.respond_to(error, request)
        response = views.serve_stream(run, follow(str(run.pk), watch=watch, wait=saying.STREAM_WAIT))
        stream.release_with(response, lambda: feed.unwatch(str(run.pk), watch))
        return response

    def events(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The events of the run after a number, then live: for a page that was loaded anew, or cut off."""
        try:
            run = self._run(request, object_id, request.GET.get("run", ""))
            after = request.GET.get("after", "0")
            if not (after.isascii() and after.isdigit() and len(after) < 17):
                raise Invalid.field("after", "This must be the id of an event of the stream.")
            return views.resume(run, (int(after), "after"))
        except DomainError as error:
            return problems.respond_to(error, request)

    def stop(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask that the run stop; what was said is kept, and the stream tells the end."""
        try:
            run = self._run(request, object_id, request.POST.get("run", ""))
            runs.cancel(run, by=scope.actor(request, run.workspace))
        except DomainError as error:
            return problems.respond_to(error, request)
        return HttpResponse(status=202)

    def anew(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put the talk away, with what runs in it stopped; the next message begins another."""
        agent, actor = self._tried(request, object_id)
        conversation = _newest(agent, actor)
        if conversation is not None:
            for run in conversation.runs.filter(ended_at=None).order_by("active", "pk"):
                runs.cancel(run, by=actor)
            conversations.change(conversation, archived=True)
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:agents_agent_try_it", args=[agent.pk]))

    def _tried(self, request: HttpRequest, object_id: str) -> tuple[Agent, Actor]:
        """The agent, and the person as who it is talked with; raises Http404, or PermissionDenied for a mere reader."""
        agent: Agent = self.one(request, object_id)
        if not self.has_try_permission(request, object_id):
            raise PermissionDenied
        return agent, scope.actor(request, agent.workspace)

    def _run(self, request: HttpRequest, object_id: str, run_id: str) -> Run:
        """The person's run in a talk with the agent; raises as `_tried`, and UnknownRun."""
        agent, actor = self._tried(request, object_id)
        try:
            run = runs.get(UUID(run_id), by=actor)
        except ValueError:
            raise Http404 from None
        if run.conversation.agent_id != agent.pk:
            raise runs.UnknownRun(f"No run {run.pk} is of a talk with this agent.")
        return run


def _newest(agent: Agent, actor: Actor) -> Conversation | None:
    """The person's talk with the agent that goes on."""
    rows = Conversation.objects.visible_to(actor).filter(agent=agent, archived=False, messages__metadata=TRIAL)
    found: Conversation | None = rows.order_by("-pk").first()
    return found


def _new(agent: Agent, actor: Actor) -> Conversation:
    """A talk that is not stored yet."""
    title = f"Trying {agent.name}"[: settings.TITLE_LIMIT]
    return Conversation(id=ids.new(), workspace=actor.workspace, user=actor.user, agent=agent, title=title)


def _seen(run: Run) -> None:
    """Who tries an agent looks at what it says: nothing of that waits in their inbox."""
    Conversation.objects.filter(pk=run.conversation_id).update(unread_from=None)


def _let_pass(actor: Actor) -> None:
    """Messages count here as in every chat; raises RateLimited."""
    verdict = limits.hit("chat", limit=settings.LIMITS["chat"], who=limits.name_of(actor), fail_closed=False)
    if not verdict.allowed:
        raise RateLimited(f"Try again in {verdict.reset} seconds.", headers=verdict.headers)


def _said(conversation: Conversation) -> list[dict[str, Any]]:
    """The last messages as the page shows them, oldest first."""
    rows = conversation.messages.order_by("-turn_at", "-created_at")[:SHOWN_MESSAGES]
    return [{"message": row, "mine": row.role == MessageRole.USER, "parts": _parts(row)} for row in reversed(rows)]


def _parts(message: Message) -> list[dict[str, Any]]:
    """A message's parts in their order, cut to what a page can show, each call with what came of it."""
    results = {part["call_id"]: part for part in message.parts if part["type"] == "tool_result"}
    shown: list[dict[str, Any]] = []
    for part in message.parts:
        if part["type"] in ("text", "reasoning"):
            shown.append({"type": part["type"], "text": part["text"][:SHOWN_CHARACTERS]})
        elif part["type"] == "tool_call":
            shown.append({**part, "result": results.get(part["call_id"])})
    return shown
