"""What a change of the rules would have changed: in figures, by example, and from the shell."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Group
from approvals import kinds
from approvals.calls import PastCall
from approvals.models import AuditEvent, Effect, Policy, PolicyVersion
from approvals.services import policies, rulefile, simulation
from approvals.services.policies import Draft
from core.errors import Invalid
from tests.approvals.desk import KIND, Desk, call
from tests.approvals.ruling import made

LONG_AGO = timezone.now() - timedelta(days=1)


class Memory(Desk):
    """A desk that remembers what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.past: list[PastCall] = []

    def calls_since(self, workspace_id, since):
        """Those of the workspace, oldest first."""
        return (past for past in self.past if past.call.workspace_id == workspace_id and past.at >= since)


@pytest.fixture
def memory(workspace, member) -> Memory:
    """Ten restarts of three services, two looks and a door, one after the other."""
    made_of = [{"arguments": {"service": name}} for name in ["billing", "mail", "login"] * 3 + ["billing"]]
    made_of += [{"tool": "service_status", "risk": "read"}] * 2 + [{"tool": "door_unlock", "risk": "destructive"}]
    desk = Memory()
    for place, fields in enumerate(made_of):
        at = LONG_AGO + timedelta(minutes=place)
        desk.past.append(PastCall(call=call(workspace, member, **fields), verdict="ask", policy="", at=at))
    kinds.register(KIND, desk)
    return desk


def drafted(workspace, name: str = "Draft", **fields: Any) -> Draft:
    return Draft(policy=Policy(workspace=workspace, name=name, **fields))


def simulate(*drafts: Draft, **how: Any) -> simulation.Simulation:
    return simulation.simulate(drafts[0], LONG_AGO - timedelta(hours=1), beside=drafts[1:], **how)


def test_what_would_change_is_counted_and_shown(workspace, memory, member):
    draft = drafted(
        workspace, effect=Effect.DENY, tool="service_*", condition='args.service == "billing"', risks=["write"]
    )
    found = simulate(draft)
    assert (found.judged, found.changed, found.whole) == (13, 4, True)
    assert found.counts == {("ask managers for 1 vote", "deny (denied_by_policy)"): 4}
    first = found.examples[0]
    assert (first.tool, first.agent, first.person, first.policy) == (
        "service_restart",
        "devops",
        member.user.email,
        "Draft",
    )
    assert first.arguments == {"service": "billing"}
    assert first.at == LONG_AGO
    assert not Policy.objects.exists()
    assert not PolicyVersion.objects.exists()
    assert policies.current(workspace.pk) == policies.Rules(0)


def test_each_way_that_a_verdict_can_change_is_counted_apart(workspace, memory):
    found = simulate(
        drafted(workspace, "Run", effect=Effect.ALLOW, tool="service_restart", condition='args.service == "mail"'),
        drafted(workspace, "Look", tool="service_status", quorum_approve=2, approver_roles=["admin"]),
        drafted(workspace, "Quick", tool="door_unlock", request_lasts=timedelta(minutes=1)),
    )
    assert found.counts == {
        ("ask managers for 1 vote", "allow"): 3,
        ("allow", "ask admins for 2 votes"): 2,
        ("ask managers for 1 vote", "ask managers for 1 vote, on other terms"): 1,
    }


def test_a_rule_that_is_changed_or_goes_is_held_against_what_it_says_now(owner, workspace, memory):
    policy = made(owner, effect=Effect.DENY, tool="service_restart")
    assert simulate(Draft(policy=policy, remove=True)).counts == {
        ("deny (denied_by_policy)", "ask managers for 1 vote"): 10
    }
    policy.tool = "door_unlock"
    assert simulate(Draft(policy=policy)).counts == {
        ("deny (denied_by_policy)", "ask managers for 1 vote"): 10,
        ("ask managers for 1 vote", "deny (denied_by_policy)"): 1,
    }
    policy.refresh_from_db()
    assert simulate(Draft(policy=policy)).changed == 0


def test_only_the_workspaces_calls_of_the_time_are_judged(workspace, other_workspace, memory):
    memory.past += [PastCall(call=call(other_workspace), verdict="ask", policy="", at=LONG_AGO)]
    memory.past += [PastCall(call=call(workspace), verdict="ask", policy="", at=LONG_AGO - timedelta(days=9))]
    assert simulate(drafted(workspace, effect=Effect.DENY)).judged == 13
    assert simulate(drafted(other_workspace, effect=Effect.DENY)).judged == 1


def test_it_stops_where_it_may_look_no_further_and_shows_so_many_and_says_how_far_it_is(workspace, memory, monkeypatch):
    monkeypatch.setattr(simulation, "EXAMPLES", 3)
    monkeypatch.setattr(simulation, "EVERY", 4)
    heard: list[int] = []
    found = simulate(drafted(workspace, effect=Effect.DENY), most=12, progress=heard.append)
    assert (found.judged, found.changed, found.whole, len(found.examples)) == (12, 12, False, 3)
    assert heard == [4, 8, 12]
    assert simulate(drafted(workspace, effect=Effect.DENY), most=13).whole
    assert simulate(drafted(workspace, effect=Effect.DENY), most=None).judged == 13


def test_a_draft_that_could_not_hold_is_refused(workspace, memory):
    with pytest.raises(Invalid):
        simulate(drafted(workspace, condition="args.amount >"))


@pytest.fixture
def file(tmp_path):
    """Writes a file of rules and gives its name."""

    def write(rules: Any) -> str:
        path = tmp_path / "rules.json"
        path.write_text(rules if isinstance(rules, str) else json.dumps(rules))
        return str(path)

    return write


def shell(*words: str) -> str:
    told = io.StringIO()
    call_command("policy", *words, stdout=told, stderr=io.StringIO())
    return told.getvalue()


def test_the_shell_says_what_would_change(workspace, memory, file):
    rules = [
        {"name": "No", "effect": "deny", "tool": "service_restart"},
        {"name": "Door", "effect": "allow", "tool": "door*"},
    ]
    told = shell("simulate", "--workspace", "home", file(rules))
    assert "11 of 13 calls would be judged otherwise." in told
    assert "10  ask managers for 1 vote -> deny (denied_by_policy)" in told
    assert '{"service": "billing"}: ask managers for 1 vote -> deny' in told
    assert not Policy.objects.exists()


def test_rules_go_out_and_come_in_as_they_were(owner, workspace, manager, file):
    oncall, second = (Group.objects.create(workspace=workspace, name=name) for name in ("On call", "Second"))
    made(
        owner, "Restarts", tool="service_*", condition='args.service != "é"', approver_roles=[], groups=[oncall.pk],
        people=[manager.user.pk], escalate_after=timedelta(minutes=5), escalate_to=second, risks=["write"],
        valid_until=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    made(owner, "No", effect=Effect.DENY, enabled=False)
    before = rulefile.write(workspace)
    stored = file(shell("export", "--workspace", "home"))
    for policy in Policy.objects.all():
        policies.delete(policy, by=owner)
    assert "2 rules stored, 0 removed" in shell("import", "--workspace", "home", "--by", owner.user.email, stored)
    assert rulefile.write(workspace) == before
    assert [rule.name for rule in policies.current(workspace.pk).rules] == ["Restarts"]
    assert "Restarts" in shell("list", "--workspace", "home")


def test_an_import_changes_rules_by_name_and_with_replace_drops_the_others(owner, workspace, file):
    made(owner, "Kept", quorum_approve=3)
    made(owner, "Other")
    rules = file({"name": "Kept", "tool": "door_unlock"})
    shell("import", "--workspace", "home", "--by", owner.user.email, rules)
    assert {(row.name, row.tool, row.quorum_approve) for row in Policy.objects.all()} == {
        ("Kept", "door_unlock", 3), ("Other", "*", 1),
    }  # fmt: skip
    told = shell("import", "--workspace", "home", "--by", owner.user.email, "--replace", rules)
    assert "1 rules stored, 1 removed" in told
    assert [row.name for row in Policy.objects.all()] == ["Kept"]
    assert AuditEvent.objects.filter(type="policy.deleted", actor_id=owner.user.pk).count() == 1


BAD: list[tuple[Any, str]] = [
    ("not json", "bad_json"),
    ('{"name": "a", "name": "b"}', "bad_json"),
    ([], "no rule in it"),
    ([1], "object with a name"),
    ({"effect": "deny"}, "object with a name"),
    ({"name": 5}, "object with a name"),
    ({"name": "A", "colour": "red"}, "colour: of the rule 'A' is not known"),
    ({"name": "A", "enabled": "yes"}, "enabled: of the rule 'A' is true or false"),
    ({"name": "A", "priority": True}, "priority: of the rule 'A' is a whole number"),
    ({"name": "A", "request_lasts": "1h"}, "is a number of seconds"),
    ({"name": "A", "request_lasts": 1e300}, "number of seconds"),
    ({"name": "A", "valid_until": "soon"}, "is a time such as"),
    ({"name": "A", "valid_until": "2030-01-01"}, "a time with its zone"),
    ({"name": "A", "approver_groups": ["Nobody"]}, "names Nobody, which the workspace does not have"),
    ({"name": "A", "approver_people": ["eve@elsewhere.example"]}, "names eve@elsewhere.example"),
    ({"name": "A", "approver_people": "x"}, "is a list of names"),
    ({"name": "A", "escalate_to": "Nobody"}, "names Nobody"),
    ({"name": "A", "effect": "maybe"}, "effect"),
    ({"name": "A", "condition": "nope == 1"}, "'nope' is not known"),
    ([{"name": "A"}, {"name": "A"}], "policy_name_taken"),
    ([{"name": "A"}, {"name": "B", "quorum_approve": 0}], "from 1 to 20"),
]


@pytest.mark.parametrize(("rules", "said"), BAD, ids=str)
def test_a_file_that_does_not_fit_is_refused_in_words_and_nothing_is_stored(owner, workspace, file, rules, said):
    with pytest.raises(CommandError, match="(?s).*") as refusal:
        shell("import", "--workspace", "home", "--by", owner.user.email, file(rules))
    assert said in str(refusal.value)
    assert not Policy.objects.exists()


def test_who_imports_is_an_admin_of_the_workspace(workspace, manager, file):
    for wrong in (manager.user.email, "nobody@home.example"):
        with pytest.raises(CommandError, match="is no admin"):
            shell("import", "--workspace", "home", "--by", wrong, file({"name": "A"}))
    with pytest.raises(CommandError, match="no workspace 'nowhere'"):
        shell("list", "--workspace", "nowhere")
    with pytest.raises(CommandError, match="cannot be read"):
        shell("simulate", "--workspace", "home", "/no/such/file")
