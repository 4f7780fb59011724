"""Two workspaces with a row of every model each, and the staff of the first one."""

import dataclasses
import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import (
    Actor,
    ApiKey,
    Budget,
    Group,
    IdempotentRequest,
    Invitation,
    Role,
    UsageEntry,
    User,
    Workspace,
)
from accounts.services import keys, usage
from agents.brain import Choice
from agents.models import (
    Agent,
    AgentHook,
    AgentTeam,
    Connection,
    McpServer,
    McpTool,
    Provider,
    ProviderKey,
    SandboxEffect,
    SandboxItem,
    Skill,
    TeamMember,
    Tool,
    ToolSecret,
    ToolSetting,
)
from agents.providers.base import ProviderSpec
from approvals import snapshots
from approvals.models import (
    Approval,
    AuditEvent,
    Grant,
    NotificationChannel,
    OutboxItem,
    Policy,
    PolicyVersion,
    WebhookEndpoint,
)
from approvals.rules import Ask
from approvals.services import audit
from approvals.terms import terms_of
from chat.models import Action, Attachment, Compaction, Message, Run
from chat.services import conversations, runs
from companions.models import Companion
from memory.models import Owner
from memory.services import entries, owners
from memory.services.entries import By, New
from tests.cast import person

REHEARSAL = Choice(ProviderSpec(name="rehearsal", kind="rehearsal"), "rehearsal")
PROVIDER_KEY = "sk-canary-of-a-provider-0123456789"
ANSWER = "canary of an idempotent answer"
HOSTILE = '<script>alert("canary")</script><img src=x onerror=alert(1)>'
OURS = {"accounts", "approvals", "agents", "companions", "memory", "chat"}


@dataclasses.dataclass
class Home:
    """A workspace and one row of every model in it."""

    member: Actor
    rows: dict[type[Model], Model]
    secret: str
    name: str

    def __getitem__(self, model: type[Model]) -> Any:
        return self.rows[model]


def furnish(workspace: Workspace, name: str) -> Home:
    """A row of every model; each carries the name, by which its traces are found."""
    member = person(workspace, f"{name}-member")
    agent = Agent.objects.create(workspace=workspace, slug=f"{name}-agent", name=f"{name} agent {HOSTILE}")
    companion = Companion.objects.create(
        workspace=workspace, type=f"{name}-companion", name=f"{name} companion {HOSTILE}", agent=agent
    )
    provider = Provider.objects.create(
        workspace=workspace, name=f"{name}-provider", base_url="javascript:alert(1)", api_key=PROVIDER_KEY
    )
    key, secret = keys.create(workspace=workspace, user=member.user, name=f"{name} key {HOSTILE}")
    conversation = conversations.new(companion, by=member)
    run = runs.start(conversation, text=f"{name} says {HOSTILE}", by=member, choice=REHEARSAL)
    Run.objects.filter(pk=run.pk).update(error_message=f"{name} error {HOSTILE}", error_code=f"{name}_code")
    request = IdempotentRequest.objects.create(
        workspace=workspace, user=member.user, key=f"{name}-key", request_hash=b"x" * 32, status=200, response=ANSWER
    )
    rows: list[Model] = [workspace, member.user, member.membership, agent, companion, provider, key, request]
    rows += [conversation, run.message, run, *_tools(workspace, name), *_countersigned(run, name)]
    rows += [*_money(run), *kept(run, name)]
    team = AgentTeam.objects.create(workspace=workspace, slug=f"{name}-team", name=f"{name} team {HOSTILE}", lead=agent)
    TeamMember.objects.create(team=team, agent=agent)
    rows.append(team)
    noted = New(layer="history", text=f"{name} remembers {HOSTILE}", slot=f"{name}-note", metadata={"x": HOSTILE})
    entry, _ = entries.write(owners.of(member, companion), noted, by=By.person(member))
    entries.change(entry, by=By.person(member), text=f"{name} remembers more {HOSTILE}")
    rows.append(entry.owner)
    rows.append(
        AccessAttempt.objects.create(
            username=member.user.email,
            ip_address="10.1.2.3",
            user_agent=HOSTILE,
            path_info=HOSTILE,
            failures_since_start=2,
        )
    )
    asked = Invitation(workspace=workspace, email=f"{name}-new@people.example", invited_by=member.user)
    asked.token_hash, asked.expires_at = name.encode().ljust(32), timezone.now()
    asked.save()
    rows.append(asked)
    rows.append(Skill.objects.create(workspace=workspace, slug=f"{name}-skill", name=f"{name} skill {HOSTILE}"))
    return Home(member, {type(row): row for row in rows}, secret, name)


def kept(run: Run, name: str) -> list[Model]:
    """An image that came with the run's message, and a summary up to it."""
    message = Message.objects.get(pk=run.message_id)
    where = {"workspace": run.workspace, "conversation": run.conversation}
    return [
        Attachment.objects.create(
            **where, message=message, media_type="image/png", width=64, height=48, size=2_048, sha256="0" * 64,
            file=f"{name}/{run.pk}.png",
        ),
        Compaction.objects.create(
            **where, up_to=message, turn_at=message.turn_at, said_at=message.created_at, messages=7,
            content=f"{name} sums up {HOSTILE}", provider="openai", model=HOSTILE,
        ),
    ]  # fmt: skip


def _money(run: Run) -> list[Model]:
    """A budget, what was used of models, and a person's own key for one."""
    workspace, user = run.workspace, run.conversation.user
    used = usage.Used(
        workspace_id=workspace.pk, user_id=user.pk, agent_id=run.agent_id, session_id=run.conversation_id,
        run_id=run.pk, message_id=None, provider="openai", model=HOSTILE, input_tokens=60, output_tokens=40,
        cost_usd=Decimal("0.5"),
    )  # fmt: skip
    usage.record([used])
    return [
        Budget.objects.create(workspace=workspace, scope="agent", agent_id=run.agent_id, tokens=1_000, usd=Decimal(9)),
        UsageEntry.objects.get(run_id=run.pk),
        ProviderKey.objects.create(workspace=workspace, user=user, provider="openai", api_key=PROVIDER_KEY),
    ]


def _mcp(workspace: Workspace, name: str) -> list[Model]:
    """An MCP server, and a tool of it that nobody has accepted."""
    server = McpServer.objects.create(
        workspace=workspace, name=f"{name}_mcp".replace("-", "_"), url="javascript:alert(1)", problem=HOSTILE,
        secrets=f'{{"X-Key": "{PROVIDER_KEY}"}}',
    )  # fmt: skip
    said = {"name": "search", "title": HOSTILE, "description": HOSTILE, "parameters": {"type": "object"}}
    tool = McpTool(workspace=workspace, server=server, name=f"{server.name}__search", remote_name=HOSTILE)
    tool.offered, tool.offered_hash = said, "0" * 64
    tool.save()
    return [server, tool]


def _tools(workspace: Workspace, name: str) -> list[Model]:
    """What its tools are connected to, and what they did in its sandbox."""
    said = f"{name} sandbox {HOSTILE}"
    return [
        ToolSetting.objects.create(workspace=workspace, tool="service_stop", enabled=False),
        Tool.objects.create(
            workspace=workspace,
            name=f"{name}_tool".replace("-", "_"),
            title=f"{name} {HOSTILE}",
            description=HOSTILE,
            url="javascript:alert(1)",
            risk="read",
            retry="unknown",
            parameters={"type": "object", "properties": {}},
        ),
        *_mcp(workspace, name),
        ToolSecret.objects.create(workspace=workspace, name="SHOP", value=PROVIDER_KEY, hosts=[f"{name}.example"]),
        AgentHook.objects.create(
            workspace=workspace, agent=Agent.objects.get(workspace=workspace), name=said[:100], secret=PROVIDER_KEY
        ),
        Connection.objects.create(
            workspace=workspace, kind="inventory", base_url="javascript:alert(1)", token=PROVIDER_KEY
        ),
        SandboxItem.objects.create(
            workspace=workspace, world="inventory", name=said, state={"state": "running", "log": [said]}
        ),
        SandboxEffect.objects.create(
            workspace=workspace, world="home", key=f"{name}-key", tool="door_unlock", arguments={"door": said}
        ),
    ]


def _countersigned(run: Run, name: str) -> list[Model]:
    """A policy, a group that it asks, a call that waited for it, and what the log and the outbox have of that."""
    said, workspace, user = f"{name} asks {HOSTILE}", run.workspace, run.conversation.user
    group = Group.objects.create(workspace=workspace, name=f"{name} group {HOSTILE}")
    group.members.add(user)
    policy = Policy.objects.create(workspace=workspace, name=f"{name} policy {HOSTILE}", tool=f"{name}_*")
    policy.approver_groups.add(group)
    rules = [snapshots.write(policy, groups=[group.pk], people=[])]
    version = PolicyVersion.objects.create(workspace=workspace, version=1, rules=rules, author=user)
    action = Action.objects.create(
        workspace=workspace, run=run, conversation=run.conversation, agent=run.agent, person=user, step=1, place=0,
        call_id="call_1", tool=f"{name}_tool", tool_version="1", risk="write", retry="unknown",
        arguments={"text": said}, digest="0" * 64, verdict="ask", state="unknown", attempt=1, summary=said,
        late_result=said,
    )  # fmt: skip
    approval = Approval.objects.create(
        workspace=workspace, kind="tool_call", subject_id=action.pk, run_id=run.pk, call_id="call_1",
        session_id=run.conversation_id, agent=f"{name}-agent", requested_by=user, tool=action.tool, tool_version="1",
        risk="write", risk_rank=1, arguments=action.arguments, digest="0" * 64, preview={"sentence": said},
        terms=terms_of(Ask()), expires_at=timezone.now() + datetime.timedelta(hours=1),
    )  # fmt: skip
    grant = Grant.objects.create(
        workspace=workspace, approval=approval, session_id=run.conversation_id, tool=action.tool, tool_version="1",
        arguments=action.arguments, uses_left=2, expires_at=approval.expires_at, author=user,
    )  # fmt: skip
    endpoint = WebhookEndpoint.objects.create(workspace=workspace, url="javascript:alert(1)", secret=PROVIDER_KEY)
    channel = NotificationChannel.objects.create(
        workspace=workspace, name=said[:100], kind="slack", url=PROVIDER_KEY, shown=f"{HOSTILE} …7Xb2"
    )
    item = OutboxItem.objects.create(
        workspace=workspace, topic="webhook", type="approval.requested", payload={"text": said}, error=said
    )
    who = audit.Who("person", user.pk, user.pk, said)
    entry = audit.Entry(
        type="approval.requested", workspace_id=workspace.pk, who=who, target=("approval", approval.pk),
        session_id=run.conversation_id, data={"text": said},
    )  # fmt: skip
    with transaction.atomic():
        audit.record(entry)
    event = AuditEvent.objects.get(workspace=workspace, target_id=approval.pk)
    return [group, policy, version, action, approval, grant, endpoint, channel, item, event]


@pytest.fixture
def here(workspace: Workspace) -> Home:
    """The workspace of the staff."""
    return furnish(workspace, "here")


@pytest.fixture
def there(other_workspace: Workspace) -> Home:
    """Another tenant's."""
    return furnish(other_workspace, "yonder")


@pytest.fixture
def browser() -> Callable[[User], Client]:
    """Makes a signed-in browser."""

    def make(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def staff(here: Home, browser: Callable[[User], Client]) -> Callable[[Role], Client]:
    """Makes the browser of a new staff member of the first workspace."""

    def make(role: Role) -> Client:
        who = person(here[Workspace], f"staff-{role}", role)
        User.objects.filter(pk=who.user.pk).update(is_staff=True)
        return browser(who.user)

    return make


@pytest.fixture
def operator(db: None, browser: Callable[[User], Client]) -> Client:
    """The browser of a superuser who is a member of nothing."""
    return browser(User.objects.create_superuser("operator@example.org"))


def models() -> list[type[Model]]:
    """The models that the admin shows."""
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def url(model: type[Model], page: str, *args: object) -> str:
    """The address of an admin page."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def pages(home: Home) -> list[str]:
    """Every page there is about the rows of a workspace."""
    found = [reverse("admin:index"), reverse("admin:password_change")]
    for model in models():
        found += [url(model, "changelist"), url(model, "add")]
        found += [url(model, page, home[model].pk) for page in ("change", "history", "delete")]
    found += [url(Run, "cancel", home[Run].pk), url(Provider, "test", home[Provider].pk)]
    found += [url(Action, page, home[Action].pk) for page in ("done", "not_done", "abandon")]
    found += [url(Approval, page, home[Approval].pk) for page in ("decide", "edit", "standing")]
    found += [url(Workspace, page, home[Workspace].pk) for page in ("freeze", "unfreeze")]
    found += [url(AgentHook, page, home[AgentHook].pk) for page in ("rotate", "switch_off", "switch_on")]
    found += [url(Agent, page, home[Agent].pk) for page in ("switch_off", "switch_on", "trust", "try_it")]
    found += [url(Grant, "revoke", home[Grant].pk), reverse("admin:approvals_inbox"), reverse("admin:approvals_trust")]
    found += [url(McpTool, page, home[McpTool].pk) for page in ("accept", "withdraw")]
    found.append(url(NotificationChannel, "send_test", home[NotificationChannel].pk))
    found += [url(McpServer, "ask_for_tools", home[McpServer].pk), reverse("admin:agents_agent_import_file")]
    browser = url(Owner, "change", home[Owner].pk)
    found += [f"{browser}?q=remembers", f"{browser}?status=all"]
    found += [
        reverse("admin:memory_entry", args=[home[Owner].pk, pk])
        for pk in home[Owner].entries.filter(kind="note").values_list("pk", flat=True)
    ]
    found.append(url(SandboxItem, "break_down", home[SandboxItem].pk))
    found += [url(ApiKey, page, home[ApiKey].pk) for page in ("rotate", "revoke")]
    return [*found, f"{url(User, 'changelist')}{home[User].pk}/password/"]
