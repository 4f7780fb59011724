"""The exact lines of the agents' and teams' streams."""

import json

import pytest

from agents.events import (
    ApprovalDecided,
    ApprovalRequested,
    Edited,
    MemberEnded,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRestarted,
    RunStarted,
    RunWaiting,
    Snapshot,
    Speaker,
    Status,
    TeamBegan,
    TextDelta,
    ToolFinished,
    ToolProposed,
    ToolStarted,
    Usage,
)
from chat.dialects.agents.encoder import FAULT, Encoder

END = "data: [DONE]\n\n"
ADA = Speaker("id-1", "Ada", "member", "1.member.id-1")
BOB = Speaker("id-2", "Bob", "member", "1.member.id-2")


def lines(*events, team=False):
    encoder = Encoder(team=team)
    return b"".join(encoder.sse(number, event) for number, event in enumerate(events, 1)).decode()


def text(*events, team=False):
    """What a client adds up."""
    found = [json.loads(line[6:]) for line in lines(*events, team=team).split("\n") if line.startswith("data: {")]
    return "".join(one["content"] for one in found if one["type"] == "text")


def test_an_answer_is_its_pieces_then_done_then_the_end():
    told = lines(
        RunStarted("c", "", "rehearsal", "rehearsal"),
        TextDelta("Good "),
        TextDelta("“morning”\nAda"),
        Usage(1, 2),
        RunCompleted("m", "Good “morning”\nAda"),
    )
    assert told == (
        'data: {"type":"text","content":"Good "}\n\n'
        'data: {"type":"text","content":"“morning”\\nAda"}\n\n'
        'data: {"type":"done","content":""}\n\n'
        "data: [DONE]\n\n"
    )


@pytest.mark.parametrize(
    "odd", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "data: [DONE]\n"]
)
def test_whatever_is_said_one_event_is_one_line(odd):
    speaker = Speaker("id", f"A{odd}da", "member", "p")
    for event, team in (
        (TextDelta(f"a{odd}b"), False),
        (TextDelta(f"a{odd}b", speaker), True),
        (Status(f"é{odd}"), True),
    ):
        [line, blank, rest] = lines(event, team=team).split("\n")
        assert len(line.splitlines()) == 1
        assert (blank, rest) == ("", "")
        assert odd in json.loads(line.removeprefix("data: "))["content"]


def test_a_team_says_of_each_piece_who_says_it_and_leaves_its_headings_out():
    told = lines(TextDelta("**Ada**\n\n"), TextDelta("Yes.", ADA), TextDelta("No.", BOB), team=True)
    assert told == (
        'data: {"type":"text","agent_id":"id-1","agent_name":"Ada","content":"Yes."}\n\n'
        'data: {"type":"text","agent_id":"id-2","agent_name":"Bob","content":"No."}\n\n'
    )


def test_what_is_beside_the_text_has_types_that_clients_pass_over():
    told = [
        json.loads(line.removeprefix("data: "))
        for line in lines(
            TeamBegan("debate", []),
            ReasoningDelta("Hm.", ADA),
            ToolProposed("c", "service_restart", {}),
            ApprovalRequested("a", "c", "service_restart", "destructive", "2026-01-01T00:00:00Z"),
            ApprovalDecided("a", "approve", "Mia", "Go.", ["Bo", "Mia"], Edited("Bo", {"service": "api"})),
            ToolStarted("c", "service_restart"),
            ToolFinished("c", "service_restart", True, "ok"),
            MemberEnded(**{name: getattr(BOB, name) for name in BOB.__struct_fields__}, run_id=None, error="stalled"),
            MemberEnded(**{name: getattr(ADA, name) for name in ADA.__struct_fields__}, run_id="r"),
            team=True,
        ).split("\n")
        if line
    ]
    assert [one["type"] for one in told] == ["status", "reasoning", "approval", "approval", "status", "error"]
    assert all(isinstance(one["content"], str) for one in told)
    assert told[3]["content"] == "Bo and Mia: approve, with arguments changed by Bo"
    assert (told[3]["by"], told[3]["edited"]) == ("Mia", {"by": "Bo", "arguments": {"service": "api"}})
    assert (told[0]["mode"], told[1]["agent_name"], told[5]["agent_id"]) == ("debate", "Ada", "id-2")
    assert (told[2]["status"], told[2]["approval_id"], told[3]["status"]) == ("pending", "a", "approve")


def test_each_end_is_told_once_and_closed():
    assert lines(RunWaiting(["a"], "")).endswith('{"type":"done","content":""}\n\n' + END)
    assert lines(RunCancelled(None, "")).endswith('{"type":"done","content":""}\n\n' + END)
    failed = lines(RunFailed("stalled", "The model fell silent.", True))
    assert failed == (
        'data: {"type":"error","content":"The model fell silent.","code":"stalled","retryable":true}\n\n' + END
    )
    assert FAULT.decode().endswith(END)
    assert FAULT.count(END.encode()) == 1


def test_what_another_attempt_repeats_is_not_told_twice():
    again = RunRestarted(2, "worker_lost")
    assert (
        text(TextDelta("Good "), TextDelta("morn"), again, TextDelta("Good m"), TextDelta("orning")) == "Good morning"
    )
    assert (
        text(TextDelta("Good morning"), again, TextDelta("Good "), again, TextDelta("Good morning.")) == "Good morning."
    )
    assert text(TextDelta("Good"), again, TextDelta("Hello"), TextDelta(" Ada")) == "Good\n\nHello Ada"
    assert text(TextDelta("Good"), Snapshot(1, "Good morn"), TextDelta("ing")) == "Good morning"


def test_a_member_that_begins_anew_repeats_nothing_of_the_others():
    told = text(
        TextDelta("Yes, I", ADA), TextDelta("No", BOB), RunRestarted(1, "member_restarted"),
        TextDelta("No", BOB), TextDelta("Yes, I do.", ADA), TextDelta(".", BOB), team=True,
    )  # fmt: skip
    assert told == "Yes, INo do.."
