"""The cast of the contract: the caller, a colleague, a stranger, with what each of them has; and a live stack."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import Actor, ApiKey, Role, Workspace
from accounts.services import keys, login
from agents.brain import Choice
from agents.models import (
    Agent,
    AgentTeam,
    McpServer,
    McpTool,
    Provider,
    ProviderKey,
    Skill,
    TeamMember,
    Tool,
    ToolSecret,
)
from agents.providers.base import ProviderSpec
from approvals import kinds
from approvals.models import Approval, NotificationChannel
from chat.models import Action, ActionState, Attachment, Conversation, Message, MessageRole, Run, RunState
from chat.services import attachments, conversations, runs
from companions.models import Companion
from core.images import Picture
from memory.models import Entry, Kind
from memory.services import entries, owners
from memory.services.entries import By, New
from tests.approvals import desk
from tests.cast import PASSWORD, Api, companion, person
from tests.contract.operations import Operation
from tests.servers import openai_server, rows
from tests.servers.openai_server import OpenAIServer
from tests.servers.stack import Stack, running

OFFERED = {"offered": {"name": "search", "description": "A", "title": "", "parameters": {}}, "offered_hash": "0" * 64}
AWAITED = {"call_id": "call_1_1", "output": "in Berlin"}
REHEARSAL = Choice(ProviderSpec(name="rehearsal", kind="rehearsal"), "rehearsal")


@dataclass
class Someone:
    """A person with a session, its active run, a message in it, an approval that they can see, and an own key."""

    actor: Actor
    key: str
    companion: Companion
    session: Conversation
    run: Run
    message: Message
    approval: Approval
    provider: str
    api: Api = field(init=False)
    team_id: UUID = field(init=False)
    mcp_tool: McpTool = field(init=False)
    tool_id: UUID = field(init=False)
    skill_id: UUID = field(init=False)
    attachment_id: UUID = field(init=False)
    memory_id: UUID = field(init=False)
    channel_id: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.key)
        self.mcp_tool = McpTool.objects.get(workspace=self.actor.workspace)
        self.team_id = AgentTeam.objects.get(workspace=self.actor.workspace).pk
        self.tool_id = Tool.objects.get(workspace=self.actor.workspace).pk
        self.skill_id = Skill.objects.get(workspace=self.actor.workspace).pk
        self.channel_id = NotificationChannel.objects.get(workspace=self.actor.workspace).pk
        self.attachment_id = Attachment.objects.get(conversation=self.session).pk
        self.memory_id = Entry.objects.get(owner__user=self.actor.user, kind=Kind.NOTE).pk

    def url(self, operation: Operation, **others: object) -> str:
        """The path of an operation with this person's ids in it, save those that are given."""
        own = {name: PATHS[name](self) for name in operation.parameters("path")}
        return operation.path.format(**{**own, **others})


# Each path parameter of the schema: which id of a person's stands for it.
PATHS: dict[str, Callable[[Someone], object]] = {
    "session_id": lambda one: one.session.pk,
    "run_id": lambda one: one.run.pk,
    "type": lambda one: one.companion.type,
    "approval_id": lambda one: one.approval.pk,
    "agent_id": lambda one: one.companion.agent_id,
    "team_id": lambda one: one.team_id,
    "provider": lambda one: one.provider,
    "mcp_server_id": lambda one: one.mcp_tool.server_id,
    "mcp_tool_id": lambda one: one.mcp_tool.pk,
    "attachment_id": lambda one: one.attachment_id,
    "tool_id": lambda one: one.tool_id,
    "secret_name": lambda one: f"SHOP_OF_{one.actor.workspace.slug.upper()}",
    "skill_id": lambda one: one.skill_id,
    "memory_id": lambda one: one.memory_id,
    "channel_id": lambda one: one.channel_id,
}


@dataclass
class World:
    """Everybody, and what they have."""

    me: Someone
    admin: Someone
    colleague: Someone
    stranger: Someone
    examples: dict[str, Any]


def _someone(at: desk.Desk, of: Companion, name: str, role: Role = Role.MEMBER) -> Someone:
    workspace = of.workspace
    actor = person(workspace, name, role, PASSWORD)
    _, secret = keys.create(workspace=workspace, user=actor.user, name="Tests")
    ApiKey.objects.update(last_used_at="2100-01-01T00:00Z")  # so that its use writes nothing
    session = conversations.create(of, by=actor, title=f"The session of {name}")
    run = runs.start(session, text=f"A secret of {name}", by=actor, choice=REHEARSAL)
    with attachments.written([attachments.Prepared(Picture("image/png", 1, 1, b"the pixels"))]) as written:
        attachments.store(run.message, written)
    # An admin's is one that they may decide: nobody stands behind it.
    if role == Role.ADMIN:
        _await_client(run)
    approval = desk.request(at, None if role == Role.ADMIN else actor, workspace=workspace)
    _remember(actor, of, f"Likes {name}")
    provider = f"own-of-{name}"  # of no provider that there is: nobody asks it for its models
    ProviderKey.objects.create(workspace=workspace, user=actor.user, provider=provider, api_key="sk-own-0123456789")
    return Someone(actor, secret, of, session, run, run.message, approval, provider)


def _await_client(run: Run) -> None:
    """Let a run wait for a call that its client makes."""
    Run.objects.filter(pk=run.pk).update(state=RunState.WAITING_TOOLS)
    Action.objects.create(
        workspace=run.workspace,
        run=run,
        conversation=run.conversation,
        agent_id=run.agent_id,
        step=1,
        place=1,
        call_id=AWAITED["call_id"],
        tool="get_location",
        state=ActionState.AWAITED,
        client=True,
    )


def _remember(actor: Actor, of: Companion, text: str) -> None:
    """A memory that was changed, and waits for its person: whatever can be done with one can be done with it."""
    new = New(layer="preferences", text=text, wait=True)
    entry, _ = entries.write(owners.of(actor, of), new, by=By.person(actor))
    entries.change(entry, by=By.person(actor), text=f"{text} much")


def signed(token: Token, actor: Actor) -> Token:
    """The token with what ours say of a person."""
    token["user_id"], token["workspace_id"] = str(actor.user.pk), str(actor.workspace.pk)
    token["stamp"], token["family"] = login.stamp(actor.user), token["jti"]
    return token


def _world(at: desk.Desk) -> World:
    smart_home = companion(Workspace.objects.create(name="Home", slug="home"))
    other_workspace = Workspace.objects.create(name="Elsewhere", slug="elsewhere")
    agent = Agent.objects.create(workspace=other_workspace, slug="theirs", name="Theirs")
    theirs = Companion.objects.create(workspace=other_workspace, type="theirs", name="Theirs", agent=agent)
    Provider.objects.create(workspace=other_workspace, name="theirs", base_url="http://127.0.0.1:9/v1", any_model=True)
    for of in (smart_home, theirs):
        team = AgentTeam.objects.create(workspace=of.workspace, slug="team", name="Team", lead=of.agent)
        TeamMember.objects.create(team=team, agent=of.agent)
    for one in (smart_home.workspace, other_workspace):
        name = f"SHOP_OF_{one.slug.upper()}"
        ToolSecret.objects.create(workspace=one, name=name, value="key-of-the-shop", hosts=["shop.example"])
        Skill.objects.create(workspace=one, slug="skill", name="A skill")
        NotificationChannel.objects.create(workspace=one, name="On call", kind="slack", url="https://a.example/x")
        server = McpServer.objects.create(workspace=one, name="docs", url="https://mcp.example/mcp")
        McpTool.objects.create(workspace=one, server=server, name="docs__search", remote_name="search", **OFFERED)
        Tool.objects.create(
            workspace=one,
            name="described",
            title="A",
            description="A",
            url="https://a.example/",
            risk="read",
            retry="unknown",
            parameters={"type": "object", "properties": {}},
        )
    me, admin = _someone(at, smart_home, "me"), _someone(at, smart_home, "admin", Role.ADMIN)
    return World(
        me=me,
        admin=admin,
        colleague=_someone(at, smart_home, "colleague"),
        stranger=_someone(at, theirs, "stranger"),
        examples={
            "message": "Hello",
            "companion": "smart-home",
            "model": "rehearsal",
            "provider": "openai",
            "api_key": "sk-own-0123456789",
            "title": "A title",
            "agents": ["smart-home"],
            "personality": "Calm",
            "email": me.actor.user.email,
            "password": PASSWORD,
            "decision": "approve",
            "autonomy": "observer",
            "file": {"format": "countersign.agent", "format_version": 1, "agent": {"slug": "made", "name": "Made"}},
            "message_ids": [],
            "layer": "preferences",
            "content": "Tea, please.",
            "PATCH /v1/ai/memory/{memory_id} type": "tea",
            "companion_type": "smart-home",
            "memories": [{"layer": "preferences", "content": "Tea, please."}],
            "paused": False,
            "since": "2190-01-01T00:00:00Z",
            "memory_budget": {"history": 100},
            "number": 1,
            "name": "made",
            "POST /v1/ai/tool-secrets name": "SHOP_OF_HOME",
            "hosts": ["shop.example"],
            "POST /v1/ai/notifications/channels kind": "slack",
            "PUT /v1/ai/notifications/preferences events": [],
            "description": "A tool.",
            "definition": OFFERED["offered_hash"],
            "risk": "read",
            "retry": "unknown",
            "document": '{"openapi": "3.1.0", "paths": {"/a": {"get": {}}}}',
            "ids": [str(admin.approval.pk)],
            "results": [AWAITED],
            "url": "https://93.184.215.14/hook",
        },
    )


@pytest.fixture(scope="session")
def _made(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> tuple[World, dict[UUID, Any], dict[str, bytes]]:
    """A world, what is asked about in it, and its rows: to make it takes longer than most tests."""
    kinds.register(desk.KIND, at := desk.Desk())
    with django_db_blocker.unblock(), transaction.atomic():
        made, kept = _world(at), rows.taken()
        transaction.set_rollback(True)
    return made, at.matters, kept


@pytest.fixture
def world(db: None, _made: tuple[World, dict[UUID, Any], dict[str, bytes]]) -> World:
    """The caller and an admin and a colleague in one workspace, a stranger in another."""
    world, matters = copy.deepcopy(_made[:2])
    rows.put_back(_made[2])
    at = desk.Desk()
    at.matters.update(matters)
    kinds.register(desk.KIND, at)
    world.admin.api = Api(str(signed(AccessToken(), world.admin.actor)))  # a key without scopes decides nothing
    world.examples["refresh"] = str(signed(RefreshToken(), world.me.actor))
    return world


@pytest.fixture
def workspace(world: World) -> Workspace:
    """The caller's."""
    return world.me.actor.workspace


@pytest.fixture(scope="package")
def upstream() -> Iterator[OpenAIServer]:
    """The model provider of the live stack."""
    with openai_server.running() as server:
        yield server


@pytest.fixture(scope="package")
def live(upstream: OpenAIServer) -> Iterator[Stack]:
    """The whole of it as real processes, shared by all of the contract's tests; it is not very patient."""
    env = {
        "OPENAI_BASE_URL": upstream.base_url,
        "KEEP_ALIVE_SECONDS": "0.3",
        "PROVIDER_FIRST_TOKEN_SECONDS": "1.5",
        "PROVIDER_BETWEEN_TOKENS_SECONDS": "1",
        "EXTRACTION": "0",  # it writes in its own time
    }
    with running(env=env) as stack:
        httpx.get(f"{stack.base_url}/v1/ai/info", headers=stack.headers)  # the log is told of a key's first use
        yield stack


@pytest.fixture(scope="package")
def http(live: Stack) -> Iterator[httpx.Client]:
    """The member's client; when all is done, no process may have logged a fault of its own."""
    told = {name: len(live.log(name)) for name in ("web1", "worker1")}
    with httpx.Client(base_url=live.base_url, headers=live.headers, trust_env=False, timeout=30) as client:
        yield client
    for name, length in told.items():
        assert "Traceback" not in (log := live.log(name)[length:]), log[log.index("Traceback") - 500 :][:3000]


@pytest.fixture(scope="package")
def key(live: Stack) -> str:
    """The member's key."""
    return live.demo["keys"]["secret"]


def answered(one: Someone, text: str = "An answer") -> Message:
    """The person's run as it stands once it is completed."""
    said = Message.objects.create(
        workspace=one.actor.workspace,
        conversation=one.session,
        role=MessageRole.ASSISTANT,
        content=text,
        parts=[{"type": "text", "text": text}],
        model="rehearsal",
        provider="rehearsal",
        usage={"input_tokens": 3, "output_tokens": 2, "cost_usd": 0.0},
    )
    now = datetime.now(UTC)
    Run.objects.filter(pk=one.run.pk).update(
        state=RunState.COMPLETED, active=False, answer_id=said.pk, usage=said.usage, started_at=now, ended_at=now
    )
    return said
