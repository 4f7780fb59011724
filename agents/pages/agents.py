"""Agents: on and off, what they are told, and the way to talk to one; versions and autonomy are the admin's."""

from typing import Any

from django import forms
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from accounts.models import Actor
from accounts.pages import console
from accounts.pages.forms import SeenForm
from agents.acceptance import changes
from agents.models import Agent
from agents.services import definitions, switches

AGENTS = "agents"
MOVED = (
    "It was saved after you opened it. Below is what saving yours would change of that: take into the form what is to "
    "stay, then save."
)
SAID = ("name", "description", "instructions", "personality", "tone", "model", "task")


def _text(name: str, rows: int, label: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        max_length=definitions.TEXTS[name],
        required=False,
        strip=False,
        label=label,
        help_text=help_text,
        widget=forms.Textarea({"rows": rows}),
    )


class AgentForm(SeenForm):
    """What is said of an agent, and the version of it that the form was filled from."""

    name = forms.CharField(max_length=200)
    description = _text("description", 2, "Description", "What people read who choose it.")
    instructions = _text("instructions", 12, "Instructions", "What it is for and how it works; told to the model.")
    personality = _text("personality", 3, "Personality", "Where the companion that speaks has none.")
    tone = forms.CharField(max_length=200, required=False, help_text="Such as: brief, friendly.")
    model = forms.CharField(
        max_length=200, required=False, help_text="Empty: the choice of the person, else that of the workspace."
    )
    task = _text("task", 3, "Task", "What it is told each time that it wakes by its schedule.")
    seen = forms.IntegerField(widget=forms.HiddenInput, min_value=1)

    def clean(self) -> dict[str, Any]:
        """What was filled in, with line breaks as models are told them."""
        cleaned = dict(super().clean() or {})
        return {name: _unixed(value) for name, value in cleaned.items()}


@console.reads(AGENTS)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The agents of the workspace."""

    def found(search: str) -> Any:
        rows = Agent.objects.visible_to(actor).defer("instructions", "personality", "task").order_by("name", "pk")
        return rows.filter(Q(name__icontains=search) | Q(slug__icontains=search)) if search else rows

    return console.render(request, actor, AGENTS, "console/agents.html", {"list": console.listed(request, found)})


@console.reads(AGENTS)
def change(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """What an agent is told; an admin changes it, which is a new version."""
    agent = _agent(actor, pk)
    if not actor.may():
        return console.render(request, actor, AGENTS, "console/agent.html", {"agent": agent, "title": agent.name})
    now = {name: getattr(agent, name) for name in SAID}
    form = AgentForm(console.sent(request), initial={**now, "seen": agent.version})

    moved = form.is_bound and form["seen"].value() != str(agent.version)
    told = MOVED if moved else "What you change is a new version; runs under way keep theirs."

    def keep(given: dict[str, Any]) -> str:
        changed = definitions.change(agent, by=actor, version=given.pop("seen"), **given)
        return f"{changed.name} is at version {changed.version} now."

    return console.act(
        request,
        actor,
        AGENTS,
        keep,
        form=form,
        title=f"Agent {agent.name}",
        text=f"Version {agent.version}. {told}",
        exact=_overwritten(form, now) if moved else "",
        button="Save as a new version",
        agent=agent,
        below="console/agent_more.html",
    )


@console.changes(AGENTS)
def switch(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then switch an agent on or off."""
    agent = _agent(actor, pk)
    off = "It does nothing more: none of its actions starts, approved or not. What runs just now is not stopped."
    return console.switch(
        request,
        actor,
        AGENTS,
        lambda enabled: switches.change_agent(agent, by=actor, enabled=enabled),
        what=agent.name,
        on=agent.enabled,
        text=off if agent.enabled else "It works again, as far as policies let it.",
    )


def _agent(actor: Actor, pk: str) -> Agent:
    found: Agent | None = Agent.objects.visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found


def _unixed(value: Any) -> Any:
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


def _overwritten(form: AgentForm, now: dict[str, Any]) -> str:
    """What would become of what somebody else has saved since the page was shown, if it were saved over that."""
    typed = {name: _unixed(form[name].value() or "") for name in SAID}
    before, after = ([line for name in SAID for line in _lines(name, said[name])] for said in (now, typed))
    return changes(before, after)


def _lines(name: str, text: str) -> list[str]:
    return [f"{name}: {line}" for line in text.split("\n")]
