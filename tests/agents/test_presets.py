"""Services that speak OpenAI's API in ways of their own, against real servers that hold their rules."""

import pytest

from agents import environment
from agents.events import ReasoningDelta, Status, Usage
from agents.providers import abilities, presets, provider_for
from agents.providers.base import (
    ChatMessage,
    Image,
    Kept,
    ProviderError,
    ProviderRateLimited,
    ProviderSpec,
    ProviderUnavailable,
    QuotaExhausted,
    ToolCall,
)
from agents.providers.openai import ENDLESS_THOUGHTS
from tests.agents.listening import TOOLS, called, hear, hear_out, text
from tests.servers import dialects

USER = ChatMessage("user", "How is it?")


@pytest.fixture
def service():
    """Starts the server of a service, and gives it with the spec of a provider that reaches it."""
    running = []

    def start(name):
        server = dialects.running(name)
        running.append(server)
        held = server.__enter__()
        return held, ProviderSpec(name, "openai", held.base_url, preset=name)

    yield start
    for server in running:
        server.__exit__(None, None, None)


def usage(events):
    return next((event for event in events if isinstance(event, Usage)), None)


async def test_openrouters_comments_are_passed_over_and_its_cost_is_told(service):
    server, spec = service("openrouter")
    events = await hear(spec, "processing")
    assert (text(events, ReasoningDelta), text(events)) == ("Hm.", "Hello.")
    assert usage(events) == Usage(10, 2, 0.00014)
    assert "stream_options" not in server.chats[0].body


@pytest.mark.parametrize(
    ("model", "said", "kind", "words"),
    [
        ("fails-midway", "so far ", ProviderUnavailable, "openrouter answered 502: Provider disconnected"),
        ("fails-in-choice", "so far ", ProviderRateLimited, "openrouter answered 429: Rate limit exceeded"),
        ("fails-without-words", "so far ", ProviderError, "openrouter reported in its stream: an error without words"),
        ("fails-at-once", "", QuotaExhausted, "openrouter answered 402: Insufficient credits"),
    ],
)
async def test_openrouters_errors_end_the_stream_wherever_they_stand(service, model, said, kind, words):
    events, error = await hear_out(service("openrouter")[1], model)
    assert (text(events), type(error), error.detail) == (said, kind, words)


async def test_mistrals_thoughts_come_as_parts_of_the_content(service):
    events = await hear(service("mistral")[1], "parts")
    assert (text(events, ReasoningDelta), text(events)) == ("Let me think.", "It is 42.")
    assert usage(events) == Usage(10, 5, None)


async def test_mistral_gets_ids_of_nine_letters_and_digits(service):
    server, spec = service("mistral")
    first = await hear(spec, "calls", USER, tools=TOOLS)
    (call,) = called(first)
    told = ChatMessage("assistant", "", (call,))
    given = ChatMessage("tool", "up", call_id=call.call_id, name=call.name)
    assert text(await hear(spec, "calls", USER, told, given, tools=TOOLS)) == "Hello."
    _, asked, answered = server.chats[-1].body["messages"]
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"]


async def test_an_id_that_mistral_gave_goes_back_as_it_was(service):
    server, spec = service("mistral")
    told = ChatMessage("assistant", "", (ToolCall("D681PevKs", "x", {}),))
    await hear(spec, "plain", USER, told, ChatMessage("tool", "up", call_id="D681PevKs"), tools=TOOLS)
    assert server.chats[0].body["messages"][2]["tool_call_id"] == "D681PevKs"


async def test_a_refusal_that_lists_its_faults_is_told_in_words(service):
    server, _ = service("mistral")
    plain = ProviderSpec("other", "openai", server.base_url)
    assert text(await hear(plain, "plain")) == "Hello."  # asked again, since the fault names the option
    assert ["stream_options" in chat.body for chat in server.chats] == [True, False]


async def test_deepseeks_thoughts_come_back_with_the_call_alone(service):
    server, spec = service("deepseek")
    first = await hear(spec, "calls", USER, tools=TOOLS)
    (kept,) = [event for event in first if isinstance(event, Kept)]
    (call,) = called(first)
    told = ChatMessage("assistant", "", (call,), kept=kept)
    given = ChatMessage("tool", "up", call_id=call.call_id, name=call.name)
    again = (USER, ChatMessage("assistant", "Earlier."), USER, told, given)
    assert text(await hear(spec, "calls", *again, tools=TOOLS)) == "Hello."
    assert server.chats[-1].body["messages"][3]["reasoning_content"] == "Which one?"


async def test_a_call_that_another_provider_thought_of_has_no_thoughts_for_deepseek(service):
    server, spec = service("deepseek")
    told = ChatMessage("assistant", "", (ToolCall("c", "x", {}),), kept=Kept("claude", [{"at": 0}]))
    await hear(spec, "plain", USER, told, ChatMessage("tool", "up", call_id="c"), tools=TOOLS)
    assert server.chats[0].body["messages"][1]["reasoning_content"] == ""


async def test_thoughts_are_kept_for_those_alone_who_want_them_again(service):
    events = await hear(service("vllm")[1], "calls", USER, tools=TOOLS)
    assert called(events)
    assert not any(isinstance(event, Kept) for event in events)


async def test_groqs_usage_stands_in_a_place_of_its_own(service):
    events = await hear(service("groq")[1], "groq")
    assert (text(events, ReasoningDelta), text(events)) == ("Hm.", "Hello.")
    assert usage(events) == Usage(10, 3, None)


@pytest.mark.parametrize(
    ("model", "kind", "retry_after", "words"),
    [
        ("groq-too-large", ProviderError, None, "groq answered 413: Request too large for model"),
        ("groq-limit", ProviderRateLimited, 432, "groq answered 429: Rate limit reached for model"),
    ],
)
async def test_groqs_limits_are_told_apart(service, model, kind, retry_after, words):
    _, error = await hear_out(service("groq")[1], model)
    assert (type(error), error.retry_after) == (kind, retry_after)
    assert error.detail.startswith(words)


async def test_vllms_own_fields_are_passed_over(service):
    events = await hear(service("vllm")[1], "vllm")
    assert (text(events, ReasoningDelta), text(events)) == ("Hm.", "Hello.")
    assert usage(events) == Usage(10, 3, None)


async def test_lm_studio_needs_no_key_and_thinks_in_tags(service):
    server, spec = service("lm-studio")
    events = await hear(spec, "tags")
    assert (text(events, ReasoningDelta), text(events)) == ("Let me think.", "It is 42: `<think>x</think>`.")
    assert "authorization" not in server.chats[0].headers


async def test_thoughts_without_an_end_stay_thoughts_and_say_so(service):
    events = await hear(service("lm-studio")[1], "tags-unclosed")
    assert (text(events, ReasoningDelta), text(events)) == ("Let me think, and thi", "")
    assert Status(ENDLESS_THOUGHTS) in events


async def test_lm_studios_error_in_the_stream_is_an_error(service):
    events, error = await hear_out(service("lm-studio")[1], "lm-studio-error")
    assert text(events) == "so far "
    assert error.detail == "lm-studio reported in its stream: The model has crashed."


async def test_images_come_before_the_text_as_addresses_with_their_data(service):
    server, spec = service("openai")
    pictures = (Image("image/png", "iVBORw0KGgo="), Image("image/webp", "UklGRg=="))
    await hear(spec, "plain", ChatMessage("user", "What is it?", images=pictures))
    await hear(spec, "plain", ChatMessage("user", "", images=pictures[:1]))
    first = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    second = {"type": "image_url", "image_url": {"url": "data:image/webp;base64,UklGRg=="}}
    sent = [chat.body["messages"][0]["content"] for chat in server.chats]
    assert sent == [[first, second, {"type": "text", "text": "What is it?"}], [first]]


async def test_openrouters_list_tells_what_its_models_can_do(service):
    server, spec = service("openrouter")
    sees = {"input_modalities": ["text", "image"], "output_modalities": ["text"]}
    server.listed = [
        {"id": "a/sees", "architecture": sees, "supported_parameters": ["tools", "seed"], "context_length": 8192},
        {"id": "b/blind", "architecture": {"input_modalities": ["text"]}, "supported_parameters": ["reasoning"]},
        {"id": "c/odd", "architecture": "x", "supported_parameters": "y", "capabilities": 7, "context_length": -1},
    ]
    assert await provider_for(spec).list_models() == ["a/sees", "b/blind", "c/odd"]
    every = abilities.ABILITIES
    assert abilities.lacks(spec, "a/sees", every) == {"reasoning"}
    assert abilities.lacks(spec, "b/blind", every) == {"tools", "vision"}
    assert abilities.lacks(spec, "c/odd", every) == abilities.lacks(spec, "gone", every) == set()
    assert [abilities.context_window(spec, name) for name in ("a/sees", "b/blind")] == [8192, None]


async def test_mistrals_list_tells_what_its_models_can_do(service):
    server, spec = service("mistral")
    flags = {"completion_chat": True, "function_calling": True, "vision": False}
    server.listed = [
        {"id": "mistral-small-latest", "capabilities": flags, "max_context_length": 131072},
        {"id": "mistral-embed", "capabilities": {"completion_chat": False}},
    ]
    assert await provider_for(spec).list_models() == ["mistral-small-latest"]
    assert abilities.lacks(spec, "mistral-small-latest", abilities.ABILITIES) == {"vision"}
    assert abilities.has(spec, "mistral-small-latest", "tools")
    assert abilities.has(spec, "mistral-small-latest", "reasoning") is None
    assert abilities.context_window(spec, "mistral-small-latest") == 131072


def test_what_a_profile_says_holds_where_nothing_was_told():
    spec = ProviderSpec("openai", "openai", "https://api.openai.com/v1")
    assert abilities.lacks(spec, "gpt-4o", {"tools", "vision", "reasoning"}) == {"reasoning"}
    assert abilities.lacks(spec, "claude-3-5-haiku-20241022", {"vision"}) == set()
    assert abilities.context_window(spec, "gpt-4o") == 128_000
    abilities.learn(spec, "gpt-4o", abilities.complete({"vision"}, 4096))
    assert abilities.lacks(spec, "gpt-4o", {"tools", "vision"}) == {"tools"}
    assert abilities.context_window(spec, "gpt-4o") == 4096


def test_the_offline_provider_surely_lacks_nothing():
    spec = ProviderSpec("rehearsal", "rehearsal", offline=True)
    assert abilities.lacks(spec, "rehearsal", abilities.ABILITIES) == set()


def test_what_is_remembered_of_models_is_bounded(monkeypatch):
    monkeypatch.setattr(abilities, "MOST", 10)
    spec = ProviderSpec("x", "openai", "http://x/v1")
    for number in range(25):
        abilities.learn(spec, str(number), abilities.Told())
    assert len(abilities._told) <= 10
    assert abilities.told(spec, "24")


@pytest.mark.parametrize(
    ("name", "url", "default", "any_model"),
    [
        ("openai", "https://api.openai.com/v1", "gpt-4o-mini", False),
        ("groq", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", False),
        ("mistral", "https://api.mistral.ai/v1", "mistral-small-latest", False),
        ("deepseek", "https://api.deepseek.com/v1", "", False),
        ("openrouter", "https://openrouter.ai/api/v1", "openrouter/auto", True),
    ],
)
def test_a_key_alone_names_a_hosted_service(settings, name, url, default, any_model):
    setattr(settings, presets.PRESETS[name].key_variable, "k")
    (found,) = [one for one in environment.providers() if one.name == name]
    assert (found.base_url, found.api_key, found.default_model, found.any_model) == (url, "k", default, any_model)
    assert presets.of(found).name == name


@pytest.mark.parametrize("name", ["vllm", "lm-studio"])
def test_an_address_names_a_server_of_ones_own(settings, name):
    preset = presets.PRESETS[name]
    setattr(settings, preset.key_variable, "k")
    assert name not in [one.name for one in environment.providers()]
    setattr(settings, preset.url_variable, "http://gpu.lan:9000/v1")
    (found,) = [one for one in environment.providers() if one.name == name]
    assert (found.base_url, found.api_key, found.default_model) == ("http://gpu.lan:9000/v1", "k", "")


def test_a_row_is_known_by_its_address():
    assert presets.of(ProviderSpec("mine", "openai", "https://api.mistral.ai/v1")).name == "mistral"
    assert presets.of(ProviderSpec("mistral", "openai", "http://127.0.0.1:1234/v1")).name == ""
    assert presets.of(ProviderSpec("mistral", "openai", "")).name == ""


@pytest.mark.parametrize(
    ("kind", "base_url", "preset", "service"),
    [
        ("openai", "https://api.openai.com/v1", "", "openai"),
        ("openai", "https://api.groq.com/openai/v1", "", "groq"),
        ("openai", "https://openrouter.ai/api/v1", "", "openrouter"),
        ("openai", "http://127.0.0.1:9/v1", "groq", "groq"),
        ("openai", "http://127.0.0.1:9/v1", "", ""),
        ("anthropic", "http://127.0.0.1:9/v1", "", "anthropic"),
        ("google", "http://127.0.0.1:9/v1beta", "", "google"),
        ("ollama", "http://127.0.0.1:11434", "", "ollama"),
    ],
)
def test_a_providers_service_is_known_by_its_address_or_its_wire_format(kind, base_url, preset, service):
    assert presets.service(ProviderSpec("ours", kind, base_url, preset=preset)) == service
