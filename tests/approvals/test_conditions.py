"""Conditions of rules: what may be written, what it sees of a call, and that no arguments make it dear or break it."""

import pytest

from approvals import conditions
from approvals.calls import Person
from approvals.expressions import Text
from config import bootstrap
from core.errors import Invalid
from tests.approvals.test_judging import NOBODY, call


def holds(expression: str, **changes) -> bool | None:
    return conditions.hold([expression], call(**changes))[expression]


@pytest.mark.parametrize(
    "expression",
    [
        'args.amount == 5 && person.role == "member" && person.email.endsWith("@home.example") && person.id != ""',
        'tool == "service_restart" && risk == "write" && agent == "devops" && companion == "devops"',
        'has(args.to) && args.to.all(x, x.matches(r"(?i)^[^@]+@example\\.com$"))',
        'args.to.exists_one(x, x.startsWith("ann")) && size(args.to) == 2 && !("eve@example.com" in args.to)',
        'args["to"][0] == "ann@example.com" && type(args.to) == list && args.amount > 4.5',
        'args.note == null && args.name == "Zoë\\u202e" && args.deep.a.b[1].c == 2',
        'duration(args.time) < duration("2h") // as long as it is short',
    ],
)
def test_what_a_call_has_can_be_asked(expression):
    conditions.check(expression)
    arguments = {
        "amount": 5, "to": ["ann@example.com", "BOB@Example.COM"], "note": None, "name": "Zoë\u202e", "time": "30m",
        "deep": {"a": {"b": [1, {"c": 2}]}},
    }  # fmt: skip
    assert holds(expression, arguments=arguments) is True


def test_who_is_nobody_has_empty_texts():
    assert holds('person.id + person.email + person.role == ""', person=None)
    assert holds('person.role == ""', person=Person(NOBODY, "gone@home.example", ""))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "Syntax error"),
        ("args.amount >", "Syntax error"),
        ("((", "Syntax error"),
        ("9223372036854775808 > 1", "invalid int literal"),
        ("now > 1", "'now' is not known; there is agent, args, companion, person, risk, tool"),
        ("argz.amount > 1", "'argz' is not known"),
        ('args.name.lowerAscii() == "x"', "'lowerAscii' is not known"),
        ("args.to.all(x, y > 1)", "'y' is not known"),
        ("args.name.matches(args.pattern)", "takes a pattern that is written out"),
        ('args.name.matches("a" + args.pattern)', "takes a pattern that is written out"),
        ('matches(args.name, "a")', "takes a pattern that is written out"),
        ('args.name.matches("\\x5cw+")', "takes a pattern that is written out"),
        ("args.a.all(a, args.a.all(b, args.a.all(c, args.a.all(d, args.a.all(e, true)))))", "costs too much"),
        ('args.name.matches(r"((a{1,200}){1,200}){1,200}")', "costs too much"),
        ("true && " * 300 + "true", "at most 2,000 characters"),
        ("(" * 41 + "true" + ")" * 41, "brackets may stand 40 deep"),
    ],
)
def test_what_is_no_condition_is_refused_in_words(expression, said):
    with pytest.raises(Invalid) as refusal:
        conditions.check(expression)
    assert said in refusal.value.detail
    assert refusal.value.errors[0].field == "condition"


@pytest.mark.parametrize(
    "expression",
    [
        "args.nope == 1", "args.amount", '"text"', "null", "args.amount / 0 == 1", "args.to[9] == 1",
        "args.big * args.big > 1",
        'args.name + 1 == "x"', 'int(args.name) > 1', 'timestamp(args.name) > timestamp("2020-01-01T00:00:00Z")',
        'args.name.matches(r"[")', "args", "args.note > 1", "!args.name",
    ],
)  # fmt: skip
def test_what_goes_wrong_says_neither_yes_nor_no(expression):
    assert holds(expression, arguments={"amount": 5, "to": [], "name": "x", "note": None, "big": 2**52}) is None


@pytest.mark.parametrize(
    "arguments",
    [{"a": 2**53}, {"a": float("nan")}, {"a": float("inf")}, {"a": "\ud800"}, {"a": b"bytes"}, {"a": "x" * 65_536}],
    ids=["a large number", "no number", "infinity", "half a character", "bytes", "a long text"],
)
def test_arguments_that_are_no_plain_json_or_too_long_say_neither(arguments):
    assert holds("true", arguments=arguments) is None


def test_deep_arguments_say_neither_or_are_looked_through():
    deep: dict = {}
    for _ in range(50_000):
        deep = {"a": deep}
    assert holds("true", arguments=deep) is None
    deep = {}
    for _ in range(60):
        deep = {"a": deep}
    assert holds("has(args.a.a.a)", arguments=deep) is True


DEAR = [
    "args.l.map(x, args.l).size() > 1",
    "args.l.map(x, args.l.map(y, args.l)).size() > 1",
    "args.l.all(x, args.l.all(y, x == y || true))",
    "args.l.map(x, [x, x, x]).map(x, [x, x, x]).map(x, [x, x, x]).map(x, [x, x, x]).size() > 1",
    "(args.l + args.l + args.l + args.l).all(x, (args.l + args.l).exists(y, y == x))",
    "[0].map(x, args.s + args.s).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).size() > 9",
    'args.s.matches(r"(a{1,100}){1,100}b")',
    'args.s.matches(r"(\\w{1,50}){1,20}b")',
    'args.l.all(x, x.matches(r"\\w{1,100}") || true)',
]


@pytest.mark.timeout(30, func_only=True)
@pytest.mark.parametrize("expression", DEAR)
@pytest.mark.parametrize(("items", "length"), [(8_000, 1), (500, 50), (60, 900), (10, 6_000)])
def test_no_arguments_make_a_condition_dear(expression, items, length):
    """Some of these took minutes, and nothing would have stopped them; what would is not begun."""
    try:
        conditions.check(expression)
    except Invalid:
        return
    holds(
        expression, arguments={"l": ["a" * length] * items if items < 8_000 else [1] * items, "s": "a" * items * length}
    )


def test_ordinary_conditions_are_cheap_enough_for_large_arguments():
    mail = {"to": ["someone@example.com"] * 200, "text": "x" * 50_000}
    assert holds('args.to.all(x, x.endsWith("@example.com"))', arguments=mail) is True
    assert holds('args.text.contains("confidential")', arguments=mail) is False
    assert holds('args.text.matches(r"(?i)\\bconfidential\\b")', arguments=mail) is False


def test_many_conditions_share_what_one_call_may_cost():
    dear = 'args.text.matches(r"(a{1,20}){1,20}b")'
    arguments = {"text": "a" * 10_000}
    assert holds(dear, arguments=arguments) is False
    several = [f"{dear} && args.text != {number!r}" for number in map(str, range(200))]
    assert set(conditions.hold([*several, "true"], call(arguments=arguments)).values()) == {None, True}


class PanicException(BaseException):
    """As the library's panics are called; they are no Exception."""


def test_a_panic_of_the_library_says_neither_and_an_interrupt_goes_on(monkeypatch):
    class Broken:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def execute(self, _: object) -> None:
            raise self.error

    def compiled(error: BaseException):
        made = conditions._compiled("true")
        return lambda _: conditions.Condition(Broken(error), *[getattr(made, name) for name in made.__slots__[1:]])

    monkeypatch.setattr(conditions, "_compiled", compiled(PanicException("overflow")))
    assert holds("tool == 'x'") is None
    monkeypatch.setattr(conditions, "_compiled", compiled(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        holds("tool == 'x'")


@pytest.mark.parametrize(
    ("expression", "loops", "bound"),
    [
        ("args.l.all(x, true) && args.l.all(y, true)", 1, {"x", "y"}),
        ("args.l.all(x, args.m.exists(y, x == y))", 2, {"x", "y"}),
        ("args . l // .all(a, \n . all ( x , true )", 1, {"x"}),
        ('args.s == ".all(x, .all(y, "', 0, set()),
        (r"""args.s == r"\" && args.l.all(x, x == '"')""", 1, {"x"}),
        ("args.s == '''a'.all(x,''' && args.l.filter(z, true) == []", 2, {"z"}),
        ("args.all == 1 && args.map.filter == 2", 0, set()),
    ],
)
def test_loops_are_seen_where_they_are_and_nowhere_else(expression, loops, bound):
    text = Text(expression)
    assert (text.loops, text.bound) == (loops, bound)


def test_the_examples_of_the_documentation_are_conditions():
    text = (bootstrap.BASE_DIR / "docs" / "policies.md").read_text()
    examples = text.split("```cel\n")[1].split("```")[0].splitlines()
    assert len(examples) == 4
    for example in examples:
        conditions.check(example)
    assert all(name in text for name in conditions.FUNCTIONS if not name.startswith("get"))
