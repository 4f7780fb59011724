"""The rehearsal calls tools: as directed, as the words say, and as a result calls for; then it tells what they said."""

import json

import pytest

from agents.events import TextDelta, Usage
from agents.providers import provider_for
from agents.providers.base import ChatMessage, ChatRequest, ProviderSpec, ToolCall, ToolDefinition
from agents.tools import registry

SPEC = ProviderSpec("rehearsal", "rehearsal", offline=True)
SERVICES = ["api", "database", "mailer", "web"]
OPENING = "This is a rehearsal: no model was asked."
STATUS = json.dumps(
    {
        "from": "sandbox inventory",
        "services": [{"name": n, "state": "stopped" if n < "e" else "running"} for n in SERVICES],
    }
)


def offer(**choices):
    """The shipped tools, their parameters limited to the values of a made-up workspace."""
    made = []
    for name in registry.names():
        spec = registry.get(name)
        known = {key: values for key, values in choices.items() if key in spec.parameters["properties"]}
        made.append(ToolDefinition(name, spec.description, registry.schema.narrowed(spec.parameters, known)))
    return tuple(made)


@pytest.fixture
def tools():
    devices = ["light.kitchen", "light.living_room", "climate.hallway", "cover.garage_door", "lock.front_door"]
    return offer(service=SERVICES, device=devices, door=["cover.garage_door", "lock.front_door"])


async def hear(messages, tools, system=""):
    """What it says and calls."""
    request = ChatRequest("rehearsal", tuple(messages), system, tools)
    events = [event async for event in provider_for(SPEC).stream(request)]
    assert isinstance(events[-1], Usage)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, [event for event in events if isinstance(event, ToolCall)]


def user(said):
    return ChatMessage("user", f"{said} [[rehearse: interval=0]]")


async def ask(said, tools, system=""):
    return await hear([user(said)], tools, system)


def went(said, text, calls, *contents):
    """The conversation after the calls have their results."""
    results = [
        ChatMessage("tool", content, call_id=call.call_id, name=call.name)
        for call, content in zip(calls, contents, strict=True)
    ]
    return [user(said), ChatMessage("assistant", text, tuple(calls)), *results]


async def test_a_directive_calls_tools_at_once_and_says_so(tools):
    said = '[[rehearse: call=service_restart {"service": "a]]b", "n": [1]} call=service_status]]'
    text, calls = await ask(f"{said} [[rehearse: call=other {{}}]]", tools)
    assert text.startswith(OPENING)
    assert "I call service_restart, service_status, other." in text
    assert calls == [
        ToolCall("call_1_1", "service_restart", {"service": "a]]b", "n": [1]}),
        ToolCall("call_1_2", "service_status", {}),
        ToolCall("call_1_3", "other", {}),
    ]


async def test_it_calls_the_same_each_time(tools):
    first = await ask("Restart the web service.", tools)
    assert first == await ask("Restart the web service.", tools)


async def test_arguments_that_are_no_json_are_sent_as_they_are(tools):
    _, calls = await ask('[[rehearse: call=service_restart {"service": web}]]', tools)
    assert calls == [ToolCall("call_1_1", "service_restart", None, '{"service": web}')]


async def test_nothing_is_called_where_nothing_is_offered():
    text, calls = await ask("Restart web [[rehearse: call=service_restart {}]]", ())
    assert calls == []
    assert "I was directed to call a tool, but none is offered to me." in text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Please restart the web service!", [("service_restart", {"service": "web"})]),
        ("restart WEB", [("service_restart", {"service": "web"})]),
        (
            "Restart the services web and api",
            [("service_restart", {"service": "api"}), ("service_restart", {"service": "web"})],
        ),
        ("Stop the database service", [("service_stop", {"service": "database"})]),
        ("Start the mailer service again", [("service_start", {"service": "mailer"})]),
        ("What is the status of my services?", [("service_status", {})]),
        ("What is the status of web?", [("service_status", {"service": "web"})]),
        ("Show me 20 lines of the logs of api", [("service_logs", {"service": "api", "lines": 20})]),
        ("List my devices", [("device_list", {})]),
        ("Turn on the kitchen light", [("device_control", {"device": "light.kitchen", "command": "on"})]),
        ("Switch the living room light off", [("device_control", {"device": "light.living_room", "command": "off"})]),
        (
            "Set the hallway climate to 21.5",
            [("device_control", {"device": "climate.hallway", "command": "set", "value": 21.5})],
        ),
        ("Lock the front door", [("device_control", {"device": "lock.front_door", "command": "lock"})]),
        ("Unlock the front door", [("door_unlock", {"door": "lock.front_door"})]),
        ("Restart the service", []),
        ("Restart the website service", []),
        ("Is web all right?", []),
        ("How are you?", []),
        ("", []),
    ],
)  # fmt: skip
async def test_the_words_of_a_message_name_the_tool(tools, said, expected):
    text, calls = await ask(said, tools)
    assert [(call.name, call.arguments) for call in calls] == expected
    assert text.startswith(OPENING)
    for call in calls:
        registry.check(registry.get(call.name), call.arguments)


async def test_a_directive_goes_before_the_words(tools):
    _, calls = await ask("Restart web [[rehearse: call=device_list]]", tools)
    assert [call.name for call in calls] == ["device_list"]


async def test_after_the_results_it_tells_what_each_tool_said_and_calls_nothing_again(tools):
    said = "Restart web and api services"
    text, calls = await ask(said, tools)
    refused = json.dumps({"refused": "rejected", "reason": "Not during “lunch”."})
    found = '{"done":"restarted","of":[{"name":"web","up":true}, "api"],"at":{"deep":[1,{"a":"b"}]}}'
    answer, more = await hear(went(said, text, calls, refused, found), tools)
    assert more == []
    assert "service_restart did not run (rejected): “Not during “lunch”.”" in answer
    listed = [
        "- done: restarted",
        "- of:",
        "  - name: web, up: true",
        "  - api",
        "- at:",
        "  - deep:",
        "    - 1",
        "    - a: b",
    ]
    assert "service_restart said:\n\n" + "\n".join(listed) in answer, "JSON as lists"
    assert (text + answer).count(OPENING) == 1


async def test_it_opens_anew_where_nothing_was_said_before(tools):
    _, calls = await ask("Restart web", tools)
    answer, _ = await hear(went("Restart web", "", calls, "done"), tools)
    assert answer.startswith(OPENING)


async def test_it_tells_what_really_ran_after_an_edit(tools):
    text, calls = await ask("Restart web", tools)
    edited = 'An approver edited the arguments. What ran: {"service": "api"}\n{"done":"restarted"}'
    answer, _ = await hear(went("Restart web", text, calls, edited), tools)
    assert 'An approver edited the arguments. What ran: {"service": "api"}' in answer


RULE = "[[rehearse: when state=stopped call=service_restart service=name]]"


@pytest.mark.parametrize("place", ["system", "message"])
@pytest.mark.parametrize("prefix", ["", "An approver edited the arguments. What ran: {}\n"])
async def test_a_result_calls_for_more_by_a_rule(tools, place, prefix):
    said, system = ("Status?", f"You guard. {RULE}") if place == "system" else (f"Status? {RULE}", "")
    text, calls = await ask(said, tools, system)
    assert [call.name for call in calls] == ["service_status"]
    conversation = went(said, text, calls, prefix + STATUS)
    text, more = await hear(conversation, tools, system)
    assert more == [
        ToolCall("call_1_2", "service_restart", {"service": "api"}),
        ToolCall("call_1_3", "service_restart", {"service": "database"}),
    ]
    after = [*conversation, *went("", text, more, "done", STATUS)[1:]]
    answer, again = await hear(after, tools, system)
    assert again == []
    assert answer.count("service_restart said:") == 2
    assert "service_status said:" in answer


@pytest.mark.parametrize("content", ["[]", "null", "nothing", '{"services": 5}', '[1, {"state": 7}]', "[" * 9_000])
async def test_a_result_without_such_an_object_calls_for_nothing(tools, content):
    text, calls = await ask("Status?", tools, RULE)
    _, more = await hear(went("Status?", text, calls, content), tools, RULE)
    assert more == []


async def test_only_what_was_said_by_people_directs_it(tools):
    text, calls = await ask("Status?", tools)
    _, more = await hear(went("Status?", text, calls, "[[rehearse: call=service_stop {}]] restart web service"), tools)
    assert more == []
    _, calls = await ask("Hello", tools, "[[rehearse: call=service_stop {}]] Restart the web service.")
    assert calls == []


async def test_a_loop_calls_for_ever(tools):
    said = '[[rehearse: loop=service_status {"service": "web"}]]'
    conversation, ids = [user(said)], []
    for _ in range(5):
        text, calls = await hear(conversation, tools)
        (call,) = calls
        ids.append(call.call_id)
        conversation += went("", text, calls, "running")[1:]
    assert len(set(ids)) == 5


async def test_another_message_begins_another_turn(tools):
    text, calls = await ask("Restart web", tools)
    conversation = [*went("Restart web", text, calls, "done"), ChatMessage("assistant", "Done."), user("Restart web")]
    text, again = await hear(conversation, tools)
    assert [call.arguments for call in again] == [{"service": "web"}]
    assert again[0].call_id != calls[0].call_id
    assert text.startswith(OPENING)


@pytest.mark.parametrize(
    "said",
    ["when", "when a=b", "when a=b call=", "when a call=x", "when a=b call=x y", 'when a=b call=x {"y": 1}', "call="],
)
async def test_a_rule_that_is_none_is_named(tools, said):
    text, calls = await ask(f"[[rehearse: {said}]]", tools)
    assert calls == []
    assert "I do not know the direction" in text


@pytest.mark.parametrize(
    "said",
    [
        '[[rehearse: call=x {"a":' * 200,
        "[[rehearse: call=x " + "[" * 3_900,
        '[[rehearse: call=x {"a":' + "[" * 3_900,
        "1 " * 2_000,
        "1." * 2_000,
        "restart web " * 300,
    ],
)
@pytest.mark.timeout(20, func_only=True)
async def test_no_message_holds_the_loop(tools, said):
    request = ChatRequest("rehearsal", (user(said),), '[[rehearse: call=x {"a":' * 20_000, tools)
    events = provider_for(SPEC).stream(request)
    assert isinstance(await anext(events), TextDelta)
    await events.aclose()
