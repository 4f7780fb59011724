"""What a client asks of an answer, in each provider's own words; what it leaves out is in no request."""

import json

import msgspec
import pytest

from agents.providers import anthropic_requests, google_requests, ollama_requests, openai_requests
from agents.providers.base import ANY_TOOL, ChatMessage, ChatRequest, Options, ProviderSpec, ToolDefinition

USER = (ChatMessage("user", "Hi"),)
TOOLS = (ToolDefinition("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}}),)
ALL = Options(1.5, 0.9, ("END", "\n"))


def asked(options: Options, model: str = "m", **more) -> ChatRequest:
    return ChatRequest(model, USER, options=options, **more)


def openai(request: ChatRequest) -> dict:
    return json.loads(msgspec.json.encode(openai_requests.body(request, ProviderSpec("p", "openai"))))


def ollama(request: ChatRequest) -> dict:
    return json.loads(ollama_requests.encoded(ollama_requests.body(request, ProviderSpec("p", "ollama"))))


def google(request: ChatRequest) -> dict:
    return json.loads(google_requests.body(request, ProviderSpec("p", "google")))


def anthropic(request: ChatRequest, **more) -> dict:
    return json.loads(anthropic_requests.body(request, ProviderSpec("p", "anthropic"), **more))


def test_openai_is_asked():
    assert openai(asked(ALL)).items() >= {"temperature": 1.5, "top_p": 0.9, "stop": ["END", "\n"]}.items()


def test_ollama_is_asked():
    request = asked(ALL, most_tokens=5)
    assert ollama(request)["options"] == {
        "num_predict": 5,
        "temperature": 1.5,
        "top_p": 0.9,
        "stop": ["END", "\n"],
    }


def test_google_is_asked():
    assert google(asked(ALL))["generationConfig"] == {"temperature": 1.5, "topP": 0.9, "stopSequences": ["END", "\n"]}


def test_anthropic_is_asked_what_it_takes():
    told = anthropic(asked(ALL))
    assert (told["temperature"], told["stop_sequences"], "top_p" in told) == (1.0, ["END"], False)
    assert anthropic(asked(Options(top_p=0.9)))["top_p"] == 0.9


@pytest.mark.parametrize("told", [openai, ollama, google, anthropic])
def test_what_is_left_out_is_in_no_request(told):
    body = json.dumps(told(asked(Options(), tools=TOOLS)))
    assert all(word not in body for word in ("temperature", "top_p", "topP", "stop", "toolConfig", "generationConfig"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            ANY_TOOL,
            ["required", {"functionCallingConfig": {"mode": "ANY"}}, {"type": "any"}],
        ),
        (
            "look",
            [
                {"type": "function", "function": {"name": "look"}},
                {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
                {"type": "tool", "name": "look"},
            ],
        ),
    ],
)
def test_a_tool_that_must_be_called_is_named(call, words):
    request = asked(Options(call=call), tools=TOOLS)
    told = [openai(request)["tool_choice"], google(request)["toolConfig"], anthropic(request)["tool_choice"]]
    assert told == words
    assert "tool_choice" not in openai(asked(Options(call=call))), "none is offered"
    assert "toolConfig" not in google(asked(Options(call=call)))


@pytest.mark.parametrize("options", [Options(call="look"), Options(temperature=0.5), Options(top_p=0.5)])
def test_a_model_that_thinks_does_not_where_that_forbids_it(options):
    model = "claude-sonnet-4-5"
    assert "thinking" in anthropic(asked(Options(), model, tools=TOOLS), thinking=2_000)
    assert "thinking" not in anthropic(asked(options, model, tools=TOOLS), thinking=2_000)
