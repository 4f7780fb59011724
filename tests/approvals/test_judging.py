"""What the rules say of a call: properties that hold of any rules, and each part of a rule by itself."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.calls import Call, Person
from approvals.rules import Allow, Ask, Deny, Observe, Rule, Rules, judge

NOBODY = UUID(int=0)
TOOLS = ("service_restart", "service_status", "door_unlock")
RISKS = ("read", "write", "external", "destructive")
CONDITIONS = (
    "",
    "args.amount > 10",
    'person.role == "member"',
    "args.nope == 1",
    "args.amount",
    'tool == "door_unlock"',
)


def call(**changes) -> Call:
    """A call of an autonomous agent."""
    standard = {
        "workspace_id": NOBODY, "tier": "pro", "tool": "service_restart", "risk": "write", "arguments": {"amount": 5},
        "agent": "devops", "agent_id": NOBODY, "autonomy": "autonomous", "companion": "devops",
        "person": Person(NOBODY, "ann@home.example", "member"),
    }  # fmt: skip
    return Call(**{**standard, **changes})


def rule(name: str = "Rule", effect: str = "ask", **changes) -> Rule:
    """A rule of which the terms tell it apart."""
    terms = {"policy": name, **{key: changes.pop(key) for key in ("quorum_approve", "roles") if key in changes}}
    return Rule(id=name, name=name, effect=effect, ask=Ask(**terms), **changes)


def verdict(*rules: Rule, **changes):
    return judge(call(**changes), Rules(1, rules))


globs = st.sampled_from(["*", "service_*", "door_unlock", "*_status", "nothing"])
some_rules = st.builds(
    lambda number, **fields: rule(f"rule {number}", quorum_approve=number % 7 + 1, **fields),
    number=st.integers(0, 10**6),
    effect=st.sampled_from(["allow", "ask", "deny"]),
    priority=st.integers(0, 5),
    tool=globs,
    agent=st.sampled_from(["*", "devops", "guard"]),
    companion=st.sampled_from(["*", "devops", ""]),
    risks=st.sets(st.sampled_from(RISKS), max_size=2).map(tuple),
    tiers=st.sets(st.sampled_from(["free", "pro"]), max_size=1).map(tuple),
    condition=st.sampled_from(CONDITIONS),
    covers_advisors=st.booleans(),
)
rule_lists = st.lists(some_rules, max_size=6, unique_by=lambda one: one.name)
calls = st.builds(
    call,
    tool=st.sampled_from(TOOLS),
    risk=st.sampled_from(RISKS),
    tier=st.sampled_from(["free", "pro", "enterprise", "self-hosted"]),
    autonomy=st.sampled_from(["observer", "advisor", "autonomous", "unheard of"]),
    agent=st.sampled_from(["devops", "guard"]),
    companion=st.sampled_from(["devops", ""]),
    arguments=st.fixed_dictionaries({"amount": st.one_of(st.integers(0, 20), st.text(max_size=3), st.none())}),
    person=st.sampled_from([None, Person(NOBODY, "ann@home.example", "member")]),
)
FREEDOM = {Observe: 0, Deny: 0, Ask: 1, Allow: 2}


def freedom(of) -> int:
    return FREEDOM[type(of)]


@given(calls, rule_lists)
def test_deny_wins_over_everything(one, rules):
    says_no = rule("No", "deny")
    assert freedom(judge(one, Rules(1, (*rules, says_no)))) == 0
    assert isinstance(judge(one, Rules(1, (*rules, says_no))), Deny if one.autonomy != "observer" else Deny | Observe)


@given(calls, rule_lists, some_rules)
def test_another_rule_that_denies_makes_nothing_freer(one, rules, more):
    denying = rule("No", "deny", tool=more.tool, agent=more.agent, condition=more.condition, risks=more.risks)
    assert freedom(judge(one, Rules(1, (*rules, denying)))) <= freedom(judge(one, Rules(1, tuple(rules))))


@given(calls, rule_lists, some_rules)
def test_another_rule_that_asks_frees_nothing_but_what_the_default_would_not_ask(one, rules, more):
    asking = rule("Ask", "ask", tool=more.tool, agent=more.agent, condition=more.condition, risks=more.risks)
    assert freedom(judge(one, Rules(1, (*rules, asking)))) <= freedom(judge(one, Rules(1, tuple(rules))))


@given(calls)
def test_without_rules_reads_run_and_all_else_is_asked_about(one):
    said = judge(one, Rules(0))
    if one.risk == "read":
        assert said == Allow()
    elif one.autonomy == "observer":
        assert said == Observe()
    elif one.tier == "free":
        assert isinstance(said, Deny)
        assert said.code == "tier_required"
    else:
        assert said == Ask()


@given(calls, rule_lists, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(one, rules, random):
    shuffled = list(rules)
    random.shuffle(shuffled)
    assert judge(one, Rules(1, tuple(rules))) == judge(one, Rules(1, tuple(shuffled)))


@given(calls, rule_lists)
def test_nothing_but_reads_runs_unasked_for_who_is_not_autonomous_unless_a_rule_covers_it(one, rules):
    said = judge(one, Rules(1, tuple(rules)))
    if isinstance(said, Allow) and one.risk != "read" and one.autonomy != "autonomous":
        assert said.covers_advisors
        assert one.autonomy != "observer"


def test_of_rules_that_ask_the_lowest_number_says_how():
    strict = rule("Strict", priority=1, quorum_approve=2, roles=("admin",))
    assert verdict(rule("Loose", priority=2), strict) == strict.ask
    assert verdict(rule("Loose", priority=2), strict, tool="door_unlock") == strict.ask


def test_ask_wins_over_allow_and_allow_over_the_default():
    allow = rule("Go", "allow")
    assert verdict(allow) == Allow(policy="Go")
    assert isinstance(verdict(allow, rule("Ask")), Ask)


@pytest.mark.parametrize(
    ("fields", "other"),
    [
        ({"tool": "service_*"}, {"tool": "door_unlock"}),
        ({"tool": "service_restart"}, {"tool": "SERVICE_RESTART"}),
        ({"agent": "devops"}, {"agent": "guard"}),
        ({"companion": "devops"}, {"companion": ""}),
        ({"risks": ("write", "external")}, {"risk": "destructive"}),
        ({"tiers": ("pro",)}, {"tier": "enterprise"}),
        ({"condition": "args.amount < 10"}, {"arguments": {"amount": 10}}),
        ({"condition": 'person.role == "member"'}, {"person": Person(NOBODY, "", "")}),
        ({"condition": 'person.email == "ann@home.example"'}, {"person": None}),
    ],
)
def test_each_part_of_a_rule_must_match(fields, other):
    denying = rule("No", "deny", **fields)
    assert isinstance(verdict(denying), Deny)
    assert verdict(denying, **other) == Ask()


@pytest.mark.parametrize("condition", ["args.nope > 1", "args.amount", "1 / 0 == 1", 'args.amount + "x" == "x"'])
@pytest.mark.parametrize("effect", ["allow", "deny", "ask"])
def test_a_condition_that_says_neither_yes_nor_no_asks(effect, condition):
    odd = rule("Odd", effect, condition=condition, quorum_approve=2)
    assert verdict(odd) == odd.ask
    assert verdict(odd, rule("Go", "allow")) == odd.ask


def test_a_condition_that_fails_does_not_take_the_place_of_stricter_terms():
    """A model chooses the arguments, so it could make a rule fail whose terms are weaker."""
    strict = rule("Strict", priority=100, quorum_approve=2)
    failing = rule("Failing", "allow", priority=1, condition="args.nope > 1")
    assert verdict(strict, failing) == strict.ask
    failing_strict = rule("Strict", priority=1, quorum_approve=2, condition='args.amount > 10 && args.note != ""')
    assert verdict(failing_strict, rule("Loose", priority=5), arguments={"amount": 11}) == failing_strict.ask


def test_arguments_that_are_too_much_to_look_through_ask():
    allow = rule("Go", "allow", condition="size(args.text) > 3")
    assert verdict(allow, arguments={"text": "long"}) == Allow(policy="Go")
    assert verdict(allow, arguments={"text": "x" * 70_000}) == allow.ask


def test_a_rule_ends_by_itself():
    now = datetime(2030, 1, 1, tzinfo=UTC)
    held = Rules(3, (rule("Go", "allow", valid_until=now),))
    assert judge(call(), held.at(now - timedelta(seconds=1))) == Allow(policy="Go")
    assert judge(call(), held.at(now)) == Ask()


def test_an_advisor_asks_for_what_is_allowed_unless_the_rule_covers_advisors():
    assert verdict(rule("Go", "allow"), autonomy="advisor") == Ask(policy="Go")
    assert verdict(rule("Go", "allow", covers_advisors=True), autonomy="advisor") == Allow(
        policy="Go", covers_advisors=True
    )
    both = (rule("A", "allow"), rule("B", "allow", covers_advisors=True))
    assert verdict(*both, autonomy="advisor") == Allow(policy="B", covers_advisors=True)
    assert verdict(rule("Go", "allow"), autonomy="advisor", risk="read") == Allow(policy="Go")
    assert verdict(rule("Go", "allow"), autonomy="unheard of") == Ask(policy="Go")


def test_an_observer_does_nothing_but_read():
    assert verdict(rule("Go", "allow", covers_advisors=True), autonomy="observer") == Observe()
    assert verdict(autonomy="observer", risk="read") == Allow()
    assert isinstance(verdict(rule("No", "deny"), autonomy="observer", risk="read"), Deny)


def test_a_tier_without_approvals_refuses_what_would_be_asked():
    assert verdict(tier="free").code == "tier_required"
    assert verdict(rule("Go", "allow"), tier="free") == Allow(policy="Go")
    assert verdict(rule("No", "deny"), tier="free").code == "denied_by_policy"
