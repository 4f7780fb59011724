"""What would happen if an agent called a tool: the rules' verdict on a call that nobody makes."""

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts.models import Actor
from accounts.pages import console
from accounts.pages.forms import MemberField
from agents.models import Agent, ToolSetting
from agents.tools import registry
from agents.tools.registry import Context, ToolSpec
from approvals.calls import Call, Person
from approvals.rules import judge
from approvals.services import policies, simulation
from core import ids, jsonbody
from core.errors import DomainError

POLICIES = "policies"
LONGEST = 20_000


class CallForm(forms.Form):
    """A call that an agent might make for a person."""

    agent = forms.ModelChoiceField(Agent.objects.none(), empty_label=None)
    tool = forms.ChoiceField()
    person = MemberField(
        required=False, label="For", help_text="The e-mail address of a member. Empty: for nobody, by its schedule."
    )
    companion = forms.CharField(max_length=60, required=False, help_text="The type of the companion that speaks.")
    arguments = forms.CharField(
        max_length=LONGEST,
        required=False,
        help_text='JSON, such as {"service": "web"}. Conditions of rules may ask for them.',
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        agents, people, tools = self.fields["agent"], self.fields["person"], self.fields["tool"]
        assert isinstance(agents, forms.ModelChoiceField)
        assert isinstance(people, MemberField)
        assert isinstance(tools, forms.ChoiceField)
        agents.queryset = Agent.objects.visible_to(actor).order_by("name")
        people.within(actor)
        tools.choices = [(name, name) for name in registry.names(actor.workspace.pk)]

    def clean_arguments(self) -> dict[str, Any]:
        """The JSON object; empty where nothing was given."""
        text = self.cleaned_data["arguments"].strip() or "{}"
        try:
            found = jsonbody.loads(text.encode("utf-8", "surrogatepass"), limit=settings.BODY_LIMIT)
        except DomainError as error:
            raise forms.ValidationError(error.detail) from None
        if not isinstance(found, dict):
            raise forms.ValidationError('A JSON object, such as {"service": "web"}.')
        return found


@console.reads(POLICIES)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The form, and below it the verdict on what it says; nothing is stored and nothing runs."""
    form = CallForm(request.GET if "tool" in request.GET else None, actor=actor)
    context: dict[str, Any] = {"form": form, "title": "What would happen"}
    if form.is_bound and form.is_valid():
        context |= _judged(actor, form.cleaned_data)
    status = 400 if form.errors else 200
    return console.render(request, actor, POLICIES, "console/try_call.html", context, status=status)


def _judged(actor: Actor, given: dict[str, Any]) -> dict[str, Any]:
    agent, tool, membership = given["agent"], given["tool"], given["person"]
    spec = registry.get(tool, actor.workspace.pk)
    assert spec is not None  # the form offers those that there are
    risk, doubt = _risk(spec, given["arguments"], actor, agent)
    person = Person(membership.user_id, membership.user.email, membership.role) if membership else None
    call = Call(
        workspace_id=actor.workspace.pk,
        tier=actor.workspace.tier,
        tool=tool,
        risk=risk,
        arguments=given["arguments"],
        agent=agent.slug,
        agent_id=agent.pk,
        autonomy=agent.autonomy,
        companion=given["companion"],
        person=person,
    )
    verdict = judge(call, policies.current(actor.workspace.pk))
    return {
        "verdict": simulation.told(verdict),
        "effect": type(verdict).__name__.lower(),
        "policy": verdict.policy,
        "risk": risk,
        "notes": [*_obstacles(actor, agent, tool), *([doubt] if doubt else [])],
    }


def _risk(spec: ToolSpec, arguments: dict[str, Any], actor: Actor, agent: Agent) -> tuple[str, str]:
    """The risk of such a call, and a word where its arguments do not fit: then the tool's highest is taken."""
    context = Context(workspace_id=actor.workspace.pk, key=str(ids.new()), agent_id=agent.pk)
    try:
        return registry.risk(spec, registry.check(spec, arguments), context).value, ""
    except DomainError as error:
        said = " ".join(f"{one.field}: {one.message}" for one in error.errors) or error.detail
        return spec.risk.value, f"With these arguments the tool itself would refuse the call: {said}"


def _obstacles(actor: Actor, agent: Agent, tool: str) -> list[str]:
    """What would stop the call whatever the rules say."""
    off = ToolSetting.objects.filter(workspace=actor.workspace, tool=tool, enabled=False).exists()
    found = [
        (actor.workspace.frozen, "The workspace is frozen: no action runs until an admin lifts that."),
        (not agent.enabled, f"{agent.name} is switched off."),
        (off, f"{tool} is switched off."),
        (
            tool not in agent.all_tools,
            f"{agent.name} does not have {tool}: it would be told that there is no such tool.",
        ),
    ]
    return [text for holds, text in found if holds]
