"""The cast of the contract: the caller, a colleague, a stranger, with what each of them has; and a live stack."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.contrib.auth.hashers import make_password
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import Actor, ApiKey, Role, Workspace
from accounts.services import keys, login
from agents.brain import Choice
from agents.models import Agent, AgentTeam, McpServer, McpTool, Provider, ProviderKey, Skill, TeamMember, Tool
from agents.providers.base import ProviderSpec
from approvals import kinds
from approvals.models import Approval
from chat.models import Attachment, Conversation, Message, Run
from chat.services import attachments, conversations, runs
from companions.models import Companion
from core.images import Picture
from tests.approvals import desk
from tests.cast import PASSWORD, Api, person
from tests.contract.operations import Operation
from tests.servers import openai_server
from tests.servers.openai_server import OpenAIServer
from tests.servers.stack import Stack, running

OFFERED = {"offered": {"name": "search", "description": "A", "title": "", "parameters": {}}, "offered_hash": "0" * 64}
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

    def __post_init__(self) -> None:
        self.api = Api(self.key)
        self.mcp_tool = McpTool.objects.get(workspace=self.actor.workspace)
        self.team_id = AgentTeam.objects.get(workspace=self.actor.workspace).pk
        self.tool_id = Tool.objects.get(workspace=self.actor.workspace).pk
        self.skill_id = Skill.objects.get(workspace=self.actor.workspace).pk
        self.attachment_id = Attachment.objects.get(conversation=self.session).pk

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
    "skill_id": lambda one: one.skill_id,
}


@dataclass
class World:
    """Everybody, and what they have."""

    me: Someone
    admin: Someone
    colleague: Someone
    stranger: Someone
    examples: dict[str, Any]


_desk = desk.Desk()


@cache
def _hash() -> str:
    return make_password(PASSWORD)


def _someone(workspace: Workspace, companion: Companion, name: str, role: Role = Role.MEMBER) -> Someone:
    actor = person(workspace, name, role)
    actor.user.password = _hash()
    actor.user.save()
    _, secret = keys.create(workspace=workspace, user=actor.user, name="Tests")
    ApiKey.objects.update(last_used_at="2100-01-01T00:00Z")  # so that its use writes nothing
    session = conversations.create(companion, by=actor, title=f"The session of {name}")
    run = runs.start(session, text=f"A secret of {name}", by=actor, choice=REHEARSAL)
    with attachments.written([attachments.Prepared(Picture("image/png", 1, 1, b"the pixels"))]) as written:
        attachments.store(run.message, written)
    # An admin's is one that they may decide: nobody stands behind it.
    approval = desk.request(_desk, None if role == Role.ADMIN else actor, workspace=workspace)
    provider = f"own-of-{name}"  # of no provider that there is: nobody asks it for its models
    ProviderKey.objects.create(workspace=workspace, user=actor.user, provider=provider, api_key="sk-own-0123456789")
    return Someone(actor, secret, companion, session, run, run.message, approval, provider)


def signed(token: Token, actor: Actor) -> Token:
    """The token with what ours say of a person."""
    token["user_id"], token["workspace_id"] = str(actor.user.pk), str(actor.workspace.pk)
    token["stamp"], token["family"] = login.stamp(actor.user), token["jti"]
    return token


@pytest.fixture
def world(workspace: Workspace, other_workspace: Workspace, smart_home: Companion) -> World:
    """The caller and an admin and a colleague in one workspace, a stranger in another."""
    agent = Agent.objects.create(workspace=other_workspace, slug="theirs", name="Theirs")
    theirs = Companion.objects.create(workspace=other_workspace, type="theirs", name="Theirs", agent=agent)
    Provider.objects.create(workspace=other_workspace, name="theirs", base_url="http://127.0.0.1:9/v1", any_model=True)
    for of in (smart_home, theirs):
        team = AgentTeam.objects.create(workspace=of.workspace, slug="team", name="Team", lead=of.agent)
        TeamMember.objects.create(team=team, agent=of.agent)
    kinds.register(desk.KIND, _desk)
    for one in (workspace, other_workspace):
        Skill.objects.create(workspace=one, slug="skill", name="A skill")
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
    me = _someone(workspace, smart_home, "me")
    admin = _someone(workspace, smart_home, "admin", Role.ADMIN)
    admin.api = Api(str(signed(AccessToken(), admin.actor)))  # a key without scopes decides nothing
    return World(
        me=me,
        admin=admin,
        colleague=_someone(workspace, smart_home, "colleague"),
        stranger=_someone(other_workspace, theirs, "stranger"),
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
            "refresh": str(signed(RefreshToken(), me.actor)),
            "decision": "approve",
            "autonomy": "observer",
            "file": {"format": "countersign.agent", "format_version": 1, "agent": {"slug": "made", "name": "Made"}},
            "message_ids": [],
            "number": 1,
            "name": "made",
            "description": "A tool.",
            "definition": OFFERED["offered_hash"],
            "risk": "read",
            "retry": "unknown",
            "document": '{"openapi": "3.1.0", "paths": {"/a": {"get": {}}}}',
            "ids": [str(admin.approval.pk)],
            "url": "https://93.184.215.14/hook",
        },
    )


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
    }
    with running(env=env, scheduler=False) as stack:
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
