"""Calls, signatures and images by Google's Gemini API, against a real server that holds its rules."""

import json

import pytest

from agents.events import ReasoningDelta, TextDelta, Usage
from agents.providers.base import (
    AnswerTooLong,
    ChatMessage,
    Image,
    Kept,
    ProviderError,
    ProviderSpec,
    ToolCall,
    ToolDefinition,
    UnknownModel,
)
from agents.providers.google import Answer
from agents.providers.google_schema import DEEPEST, reduced
from tests.agents.conftest import ask
from tests.agents.listening import TOOLS, called, hear, hear_out, text
from tests.servers import google_wire as says
from tests.servers.google_server import ARGUMENTS, KEY, SIGNED

USER = ChatMessage("user", "Restart it.")
SCHEMA = {
    "type": "object",
    "properties": {"service": {"type": "string"}, "lines": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["service"],
    "additionalProperties": False,
}


async def sent(gemini, google, *messages, model="plain", **more):
    """The conversation as it was sent, accepted by a server that holds the rules."""
    await hear(gemini, model, *messages, **more)
    return google.chats[-1].body["contents"]


async def test_what_was_signed_comes_back_where_it_was(gemini, google):
    first = await hear(gemini, "think", USER, tools=TOOLS)
    assert [type(event) for event in first] == [ReasoningDelta, TextDelta, Kept, ToolCall, ToolCall, Usage]
    assert (text(first, ReasoningDelta), text(first)) == ("Which one? 🙂 The web.", "Grüße, 世界! 🙂")
    kept = first[2]
    assert json.loads(json.dumps(kept.data)) == kept.data

    calls = tuple(ToolCall(f"call_1_{n}", call.name, call.arguments) for n, call in enumerate(called(first), 1))
    asked = ChatMessage("assistant", text(first), calls)
    told = ChatMessage(asked.role, asked.content, asked.calls, kept=kept)
    given = [ChatMessage("tool", "ok", call_id=call.call_id, name=call.name) for call in calls]
    assert text(await hear(gemini, "think", USER, told, *given, tools=TOOLS)) == "It runs."
    contents = google.chats[-1].body["contents"]
    assert [{**part, "functionCall": 0} if "functionCall" in part else part for part in contents[1]["parts"]] == [
        {**part, "functionCall": 0} if "functionCall" in part else part for part in SIGNED
    ]
    assert contents[2]["parts"][0] == {
        "functionResponse": {"id": "call_1_1", "name": "service_restart", "response": {"output": "ok"}}
    }
    with pytest.raises(ProviderError, match="missing a thought_signature"):
        await hear(gemini, "think", USER, asked, *given, tools=TOOLS)


@pytest.mark.parametrize("kept", [Kept("other", {"secret": 1}, "google"), Kept("gemini", [{"secret": 1}], "anthropic")])
async def test_what_was_kept_for_another_name_or_kind_is_not_told(gemini, google, kept):
    told = ChatMessage("assistant", "", (ToolCall("t", "x", {}),), kept=kept)
    contents = await sent(gemini, google, USER, told, ChatMessage("tool", "ok", call_id="t", name="x"), tools=TOOLS)
    assert contents[1]["parts"] == [{"functionCall": {"id": "t", "name": "x", "args": {}}}]


async def test_a_model_that_refuses_unsigned_calls_is_told_that_another_asked(gemini, google):
    calls = ToolCall("a", "x", {}), ToolCall("b", "y", {})
    told = ChatMessage("assistant", "", calls)
    given = [ChatMessage("tool", "ok", call_id=call.call_id, name=call.name) for call in calls]
    with pytest.raises(UnknownModel):
        await hear(gemini, "gemini-3-pro-preview", USER, told, *given)
    signatures = [part.get("thoughtSignature") for part in google.chats[-1].body["contents"][1]["parts"]]
    assert signatures == ["skip_thought_signature_validator", None]


def test_nothing_is_kept_of_an_answer_without_a_call(gemini):
    answer = Answer(gemini, "m", limit=1000, asked=ask("m", tools=TOOLS))
    signed = says.chunk({"text": "", "thoughtSignature": "s"})
    events = answer.feed(says.thoughts("Hm.") + says.text("Yes.") + signed + says.end()) + answer.feed(b"")
    assert [type(event) for event in events] == [ReasoningDelta, TextDelta, Usage]


async def test_a_signature_without_words_stays_between_them(gemini, google):
    answer = Answer(gemini, "m", limit=1000, asked=ask("m", tools=TOOLS))
    sealed = says.chunk({"text": "", "thoughtSignature": "s"})
    events = answer.feed(says.text("One. ") + sealed + says.text("Two.") + says.chunk(says.call("x"), finish="STOP"))
    events += answer.feed(b"")
    kept = next(event for event in events if isinstance(event, Kept))
    told = ChatMessage("assistant", text(events), (ToolCall("t", "x", {}),), kept=kept)
    contents = await sent(gemini, google, USER, told, ChatMessage("tool", "ok", call_id="t", name="x"), tools=TOOLS)
    assert contents[1]["parts"][:3] == [{"text": "One. "}, {"text": "", "thoughtSignature": "s"}, {"text": "Two."}]


async def test_tools_are_offered_with_their_json_schema(gemini, google):
    await hear(gemini, "plain", tools=(*TOOLS, ToolDefinition("service_logs", "Logs.", SCHEMA)))
    assert google.chats[0].body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "service_restart", "description": "Restart a service."},
                {"name": "service_status", "description": "How a service is."},
                {"name": "service_logs", "description": "Logs.", "parametersJsonSchema": SCHEMA},
            ]
        }
    ]


async def test_a_server_that_does_not_know_json_schema_is_told_less(gemini, google):
    google.modern = False
    events = await hear(gemini, "plain", tools=(ToolDefinition("service_logs", "Logs.", SCHEMA),))
    assert text(events)
    assert [list(chat.body["tools"][0]["functionDeclarations"][0]) for chat in google.chats] == [
        ["name", "description", "parametersJsonSchema"],
        ["name", "description", "parameters"],
    ]
    assert google.chats[1].body["tools"][0]["functionDeclarations"][0]["parameters"] == {
        "type": "object",
        "properties": {"service": {"type": "string"}, "lines": {"type": "integer", "nullable": True}},
        "required": ["service"],
    }


async def test_another_fault_is_not_asked_about_again(gemini, google):
    await hear_out(gemini, "status:400:INVALID_ARGUMENT", tools=(ToolDefinition("a", "A.", SCHEMA),))
    assert len(google.chats) == 1


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": ["string", "null"], "format": "uri", "title": "T"}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"const": "a", "type": "string"}, {"type": "string", "enum": ["a"]}),
        ({"enum": [1, 2], "type": "integer"}, {"type": "integer"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"items": {"format": "float", "type": "number"}},
         {"type": "array", "items": {"type": "number", "format": "float"}}),
        ({"type": "object", "properties": {}}, {"type": "object"}),
        ({"allOf": [{"type": "integer"}], "description": "D"}, {"type": "integer", "description": "D"}),
        (True, {"type": "string"}),
        ({"$ref": "#/nowhere"}, {"type": "string"}),
        ({"$ref": 7}, {"type": "string"}),
    ],
)  # fmt: skip
def test_a_schema_is_cut_down_to_what_is_known_there(schema, told):
    told = {"type": "object", "properties": {"x": told}, "required": ["x"]}
    found = reduced({"type": "object", "properties": {"x": schema}, "required": ["x", "y"]})
    assert found == told
    assert not list(says._faults_of_schema(found, "x"))


def test_references_are_put_in_their_places_as_far_as_they_go():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/a~1node"}}}
    found = reduced({"type": "object", "properties": {"x": {"$ref": "#/$defs/a~1node"}}, "$defs": {"a/node": node}})
    depth = json.dumps(found).count('"next"')
    assert 5 < depth <= DEEPEST
    wide = {"type": "object", "properties": {str(n): {"$ref": "#/$defs/w"} for n in range(50)}}
    assert len(json.dumps(reduced({**wide, "$defs": {"w": wide}}))) < 2_000_000


async def test_several_calls_have_ids_of_their_own(gemini):
    calls = called(await hear(gemini, "several", tools=TOOLS))
    assert [(call.name, call.arguments) for call in calls] == [
        ("service_restart", ARGUMENTS),
        ("service_status", {}),
        ("service_logs", {"lines": 5}),
    ]
    assert calls[0].call_id == "fc-1"
    assert len({call.call_id for call in calls}) == 3


async def test_odd_arguments_are_told_as_they_are(gemini):
    first, second = called(await hear(gemini, "odd-call", tools=TOOLS))
    assert (first.arguments, first.raw) == (None, '["x"]')
    assert (second.name, second.arguments) == ("", {"a\ufffd": "b\ufffd"})


async def test_more_calls_than_anybody_needs_are_an_error(gemini):
    _, error = await hear_out(gemini, "many-calls", tools=TOOLS)
    assert type(error) is AnswerTooLong


async def test_a_call_that_nothing_was_offered_for_is_an_error(gemini):
    _, error = await hear_out(gemini, "several")
    assert error.detail == "gemini called a tool that it was not offered."


async def test_calls_that_take_their_time_are_no_silence(google):
    waits = {"first_token_seconds": 0.4, "between_tokens_seconds": 0.4}
    gemini = ProviderSpec("gemini", "google", google.base_url, KEY, **waits)
    assert len(called(await hear(gemini, "slow-call", tools=TOOLS))) == 10


def test_signatures_have_their_bounds(gemini):
    answer = Answer(gemini, "m", limit=1000, asked=ask("m", tools=TOOLS))
    for _ in range(4):
        answer.feed(says.chunk({"text": "", "thoughtSignature": "x" * 300_000}))
    assert type(answer.failure) is AnswerTooLong


async def test_images_come_before_the_text(gemini, google):
    picture = Image("image/png", "iVBORw0KGgo=")
    contents = await sent(gemini, google, ChatMessage("user", "What is this?", images=(picture, picture)))
    shown = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    assert contents == [{"role": "user", "parts": [shown, shown, {"text": "What is this?"}]}]


async def test_neighbours_of_one_role_become_one_content_and_nothing_blank_is_said(gemini, google):
    said = (
        ChatMessage("system", "Be brief."),
        ChatMessage("assistant", "Welcome."),
        ChatMessage("user", "One."),
        ChatMessage("user", " \n"),
        ChatMessage("user", "Two."),
        ChatMessage("assistant", "", (ToolCall("a", "9 odd name!", None, "{broken"), ToolCall("b", "y", {"n": "é"}))),
        ChatMessage("tool", "", call_id="a", name="9 odd name!"),
        ChatMessage("tool", "refused", call_id="b", name="y"),
        ChatMessage("user", "And now?"),
        ChatMessage("assistant", ""),
        ChatMessage("user", "Well?"),
    )
    contents = await sent(gemini, google, *said)
    assert [(content["role"], [next(iter(part)) for part in content["parts"]]) for content in contents] == [
        ("user", ["text"]),
        ("model", ["text"]),
        ("user", ["text", "text"]),
        ("model", ["functionCall", "functionCall"]),
        ("user", ["functionResponse", "functionResponse", "text", "text"]),
    ]
    assert contents[0]["parts"] == [{"text": "…"}]
    assert contents[3]["parts"][0]["functionCall"] == {"id": "a", "name": "_9_odd_name_", "args": {}}
    assert contents[4]["parts"][0]["functionResponse"]["response"] == {"output": ""}
    assert google.chats[-1].body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
