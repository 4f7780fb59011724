"""The kill switches and the degree of trust of agents: who may turn them, what is told, and the door in the API."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Role
from accounts.services import workspaces
from accounts.services.workspaces import MayNotFreeze
from agents.models import Agent, ToolSetting
from agents.services import switches, trust
from agents.services.switches import MayNotSwitch, UnknownAgent
from approvals import kinds
from approvals.models import AuditEvent
from approvals.services.trust import MayNotPromote, NoOffer
from core import ids
from core.errors import Invalid
from tests.approvals.desk import KIND, Desk, call, fresh, request
from tests.approvals.ruling import decided
from tests.cast import person


@pytest.fixture
def agent(workspace) -> Agent:
    """An agent that advises."""
    tools = ["service_status", "service_restart", "service_stop"]
    return Agent.objects.create(workspace=workspace, slug="devops", name="Argus", tools=tools)


def told(**of: Any) -> list[str]:
    return list(AuditEvent.objects.filter(**of).order_by("id").values_list("type", flat=True))


def test_an_agent_is_trusted_more_or_less_and_switched_off_and_on(agent, owner, manager):
    assert switches.change_agent(agent, by=manager, autonomy="observer").autonomy == "observer"
    assert switches.change_agent(agent, by=owner, autonomy="autonomous").autonomy == "autonomous"
    assert switches.change_agent(agent, by=manager, enabled=False).enabled is False
    assert switches.change_agent(agent, by=manager, enabled=True).enabled is True
    agent.refresh_from_db()
    assert (agent.autonomy, agent.enabled) == ("autonomous", True)
    assert told(agent_id=agent.pk) == ["agent.promoted", "agent.promoted", "agent.changed", "agent.changed"]
    first = AuditEvent.objects.filter(agent_id=agent.pk).order_by("id").select_related("payload")[0]
    assert (first.actor_id, first.target_kind, first.target_id) == (manager.user.pk, "agent", agent.pk)
    assert '"before":{"autonomy":"advisor","enabled":true}' in first.payload.data
    assert '"after":{"autonomy":"observer","enabled":true}' in first.payload.data


def test_what_is_so_already_is_no_change(agent, manager):
    switches.change_agent(agent, by=manager, autonomy="advisor", enabled=True)
    switches.change_agent(agent, by=manager)
    assert told() == []


def test_only_an_admin_makes_an_agent_autonomous(agent, owner, manager):
    with pytest.raises(MayNotSwitch):
        switches.change_agent(agent, by=manager, autonomy="autonomous", enabled=False)
    agent.refresh_from_db()
    assert (agent.autonomy, agent.enabled) == ("advisor", True)
    switches.change_agent(agent, by=owner, autonomy="autonomous")
    assert switches.change_agent(agent, by=manager, autonomy="autonomous", enabled=False).enabled is False


@pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR])
def test_members_and_auditors_turn_no_switch(agent, workspace, role):
    other = person(workspace, "other", role)
    for refused in (
        lambda: switches.change_agent(agent, by=other, enabled=False),
        lambda: switches.change_tool(workspace, "service_restart", by=other, enabled=False),
    ):
        with pytest.raises(MayNotSwitch):
            refused()
    for turn in (workspaces.freeze, workspaces.unfreeze):
        with pytest.raises(MayNotFreeze):
            turn(by=other)
    assert told() == []


def test_nobody_turns_switches_of_another_workspace(agent, workspace, other_workspace):
    theirs = person(other_workspace, "theirs", Role.ADMIN)
    with pytest.raises(MayNotSwitch):
        switches.change_agent(agent, by=theirs, enabled=False)
    with pytest.raises(MayNotSwitch):
        switches.change_tool(workspace, "service_restart", by=theirs, enabled=False)
    with pytest.raises(UnknownAgent):
        switches.find(theirs, agent.pk)
    assert told() == []


def test_an_autonomy_that_does_not_exist_is_refused(agent, owner):
    with pytest.raises(Invalid):
        switches.change_agent(agent, by=owner, autonomy="almighty")


def test_requests_of_an_agent_that_may_do_nothing_any_more_are_superseded(
    agent, owner, member, django_capture_on_commit_callbacks
):
    class Watching(Desk):
        def call(self, approval):
            autonomy = Agent.objects.get(pk=agent.pk).autonomy if approval.agent_id == agent.pk else "advisor"
            return call(approval.workspace, agent_id=approval.agent_id, autonomy=autonomy)

    kinds.register(KIND, desk := Watching())
    own, anothers = (
        request(desk, member, quorum_approve=many, call={"agent_id": pk})
        for many, pk in enumerate((agent.pk, ids.new()), 1)
    )
    with django_capture_on_commit_callbacks(execute=True):
        switches.change_agent(agent, by=owner, enabled=False)
    assert fresh(own).status == "pending"
    with django_capture_on_commit_callbacks(execute=True):
        switches.change_agent(agent, by=owner, autonomy="observer")
    assert (fresh(own).status, fresh(anothers).status) == ("superseded", "pending")


def test_a_tool_is_switched_off_and_on(workspace, manager):
    assert switches.change_tool(workspace, "service_restart", by=manager, enabled=False).enabled is False
    assert not ToolSetting.objects.get(workspace=workspace, tool="service_restart").enabled
    switches.change_tool(workspace, "service_restart", by=manager, enabled=False)
    assert switches.change_tool(workspace, "service_restart", by=manager, enabled=True).enabled is True
    assert told(target_kind="tool") == ["tool.disabled", "tool.enabled"]
    with pytest.raises(Invalid):
        switches.change_tool(workspace, "no_such_tool", by=manager, enabled=False)
    assert ToolSetting.objects.count() == 1


def test_a_manager_freezes_the_workspace_and_an_admin_lets_it_go_on(workspace, owner, manager, stranger):
    assert workspaces.freeze(by=manager, reason="Something is wrong.")
    assert not workspaces.freeze(by=owner)
    workspace.refresh_from_db()
    assert workspace.frozen
    with pytest.raises(MayNotFreeze):
        workspaces.unfreeze(by=manager)
    assert workspaces.unfreeze(by=owner)
    assert not workspaces.unfreeze(by=owner)
    workspace.refresh_from_db()
    assert not workspace.frozen
    frozen, unfrozen = AuditEvent.objects.order_by("id").select_related("payload")
    assert (frozen.type, unfrozen.type) == ("workspace.frozen", "workspace.unfrozen")
    assert (frozen.actor_id, frozen.target_id) == (manager.user.pk, workspace.pk)
    assert '"reason":"Something is wrong."' in frozen.payload.data
    stranger.workspace.refresh_from_db()
    assert not stranger.workspace.frozen


def test_an_agent_is_promoted_once_each_tool_that_changes_something_has_earned_it(agent, workspace, owner, manager):
    decided(workspace, 20, agent_id=agent.pk, tool="service_restart")
    assert trust.promotions(workspace.pk) == []
    with pytest.raises(NoOffer):
        trust.accept_promotion(agent, by=owner)
    decided(workspace, 20, agent_id=agent.pk, tool="service_stop")
    (promotion,) = trust.promotions(workspace.pk)
    assert promotion.agent == agent
    assert [row.tool for row in promotion.standings] == ["service_restart", "service_stop"]
    with pytest.raises(MayNotPromote):
        trust.accept_promotion(agent, by=manager)
    assert trust.accept_promotion(agent, by=owner).autonomy == "autonomous"
    assert trust.promotions(workspace.pk) == []
    assert told(agent_id=agent.pk) == ["agent.promoted"]


def test_an_agent_that_changes_nothing_or_is_off_is_not_promoted(agent, workspace):
    decided(workspace, 20, agent_id=agent.pk, tool="service_status", risk="read")
    for fields in ({"tools": ["service_status"]}, {"tools": []}, {"tools": ["gone"]}, {"enabled": False}):
        Agent.objects.filter(pk=agent.pk).update(**fields)
        assert trust.promotions(workspace.pk) == [], fields


@pytest.fixture
def patch(client_of) -> Callable[..., Any]:
    """Sends a change of an agent as this person."""

    def send(actor, agent_id, **body: Any):
        return client_of(actor).patch(f"/v1/ai/agents/{agent_id}", body)

    return send


def test_the_api_changes_an_agent(agent, owner, manager, patch):
    answer = patch(manager, agent.pk, autonomy="observer", enabled=False)
    assert (answer.status_code, answer.json()["autonomy"], answer.json()["status"]) == (200, "observer", "disabled")
    assert patch(owner, agent.pk, autonomy="autonomous").json()["autonomy"] == "autonomous"
    agent.refresh_from_db()
    assert (agent.autonomy, agent.enabled) == ("autonomous", False)


def test_the_api_refuses_who_may_not(agent, member, manager, stranger, other_workspace, patch):
    theirs = person(other_workspace, "theirs", Role.ADMIN)
    for actor, status, code in (
        (member, 403, "role_required"),
        (stranger, 404, "unknown_agent"),
        (theirs, 404, "unknown_agent"),
    ):
        answer = patch(actor, agent.pk, enabled=False)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert patch(manager, agent.pk, autonomy="autonomous").status_code == 403
    assert patch(manager, ids.new(), enabled=False).status_code == 404
    agent.refresh_from_db()
    assert (agent.autonomy, agent.enabled) == ("advisor", True)


@pytest.mark.parametrize(
    "body",
    [{}, {"autonomy": "almighty"}, {"autonomy": None}, {"enabled": "false"}, {"enabled": 0}, {"enabled": None},
     {"autonomy": "observer", "slug": "x"}, {"tools": 5}],
)  # fmt: skip
def test_the_api_refuses_what_is_no_change_of_an_agent(agent, owner, patch, body):
    answer = patch(owner, agent.pk, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), answer.content
    agent.refresh_from_db()
    assert (agent.autonomy, agent.enabled) == ("advisor", True)
