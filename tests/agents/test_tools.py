"""Tools: what their signatures say, what fits, and how they end."""

import asyncio
import json
import threading
from typing import Annotated, Any, Literal
from uuid import uuid4

import pytest
from django.core import checks
from msgspec import Meta

from agents.models import ToolSetting
from agents.tools import registry, schema
from agents.tools.registry import (
    SECRET,
    Change,
    Context,
    MaybeSent,
    NotSent,
    Preview,
    Retry,
    Risk,
    ToolFailed,
    ToolResult,
    ToolSpec,
    tool,
)
from core.errors import Invalid

SHIPPED = [
    "ask_agent", "device_control", "device_list", "door_unlock", "forget", "message_person", "recall", "remember",
    "service_logs", "service_restart", "service_start", "service_status", "service_stop",
    "web_fetch", "web_search",
]  # fmt: skip
CONTEXT = Context(workspace_id=uuid4(), key="key-1")


@pytest.fixture
def made(monkeypatch):
    """Registers a function as a tool for the length of a test."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    def make(function: Any, **how: Any) -> ToolSpec:
        tool(**{"risk": Risk.WRITE, "retry": Retry.KEYED, **how})(function)
        return registry._registered[function.__name__][-1]

    return make


def note_add(
    context: Context,
    text: Annotated[str, Meta(description="What to write.", max_length=10)],
    copies: Annotated[int, Meta(ge=1, le=3)] = 1,
    colour: Literal["red", "blue"] | None = None,
    tags: list[str] = [],  # noqa: B006
    password: Annotated[str, SECRET] = "",
) -> ToolResult:
    """Add a note
    to the board."""
    return ToolResult(f"{text} {copies!r} {colour} {tags} {password}")


def test_the_schema_comes_from_the_signature(made):
    spec = made(note_add)
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What to write.", "maxLength": 10},
            "copies": {"type": "integer", "minimum": 1, "maximum": 3, "default": 1},
            "colour": {"anyOf": [{"type": "string", "enum": ["blue", "red"]}, {"type": "null"}], "default": None},
            "tags": {"type": "array", "items": {"type": "string"}, "default": []},
            "password": {"type": "string", "writeOnly": True, "default": ""},
        },
        "required": ["text"],
        "additionalProperties": False,
    }
    assert (spec.title, spec.description) == ("Note add", "Add a note to the board.")
    assert spec.secrets == {"password"}


def test_the_version_follows_the_name_the_schema_and_what_is_declared(made):
    def other(context: Context, text: str) -> ToolResult:
        """Another."""
        return ToolResult(text)

    versions = {made(note_add).version, made(note_add, version=2).version, made(other).version}
    assert len(versions) == 3
    assert made(note_add, timeout=1).version == made(note_add).version


def untyped(context, text) -> ToolResult:
    """Takes anything."""


def nested(context: Context, spec: ToolSpec) -> ToolResult:
    """Takes an object of a class."""


def starred(context: Context, *names: str) -> ToolResult:
    """Takes any number."""


@pytest.mark.parametrize("function", [untyped, nested, starred])
def test_a_signature_without_a_plain_schema_is_refused(made, function):
    with pytest.raises((TypeError, KeyError)):
        made(function)


def test_a_tool_without_a_docstring_or_with_an_odd_name_is_refused(made):
    def silent(context: Context) -> ToolResult: ...

    def Shouting(context: Context) -> ToolResult:
        """It says so."""

    for function in (silent, Shouting):
        with pytest.raises(ValueError, match="docstring"):
            made(function)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, {"text": "is missing"}),
        ({"text": "x", "copies": 0}, {"copies": "must be at least 1"}),
        ({"text": "x", "copies": 1.5}, {"copies": "must be of type integer"}),
        ({"text": "x", "copies": True}, {"copies": "must be of type integer"}),
        ({"text": "x" * 11}, {"text": "must have at most 10 characters"}),
        ({"text": "x", "colour": "green"}, {"colour": "must be one of blue, red"}),
        ({"text": "x", "tags": ["a", 5]}, {"tags.1": "must be of type string"}),
        ({"text": "x\x00"}, {"text": "must not contain NUL"}),
        ({"text": "x", "tags": ["a", "\x00"]}, {"tags.1": "must not contain NUL"}),
        ({"text": "x", "te\x00xt": 1}, {"te?xt": "is not a parameter of this tool"}),
        ({"txt": 1}, {"text": "is missing", "txt": "is not a parameter of this tool"}),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_field(made, arguments, said):
    with pytest.raises(Invalid) as caught:
        registry.check(made(note_add), arguments)
    assert {one.field: one.message for one in caught.value.errors} == said
    assert "\x00" not in caught.value.detail


@pytest.mark.parametrize(
    "arguments",
    [None, [], "text", 5, {"text": "x" * 200_000}, {"text": float("nan")}, {"text": "\ud83d"}, {"text": 2**70}],
)
def test_what_is_no_json_object_of_a_sound_size_is_refused(made, arguments):
    with pytest.raises(Invalid):
        registry.check(made(note_add), arguments)


def test_a_refusal_repeats_no_value(made):
    with pytest.raises(Invalid) as caught:
        registry.check(made(note_add), {"text": "x", "password": ["s3cret"], "colour": "s3cret", "copies": "s3cret"})
    assert len(caught.value.errors) == 3
    assert "s3cret" not in str([caught.value.detail, caught.value.errors])


def test_a_flood_of_errors_is_cut(made):
    with pytest.raises(Invalid) as caught:
        registry.check(made(note_add), {f"unknown-{n}" * 20: n for n in range(200)})
    assert len(caught.value.errors) == schema.MOST_ERRORS
    assert len(caught.value.detail) < 2_000


async def test_arguments_that_fit_are_given_as_the_function_takes_them(made):
    spec = made(note_add)
    arguments = registry.check(spec, {"text": "x", "copies": 2.0, "colour": None})
    assert arguments == {"text": "x", "copies": 2.0, "colour": None}
    assert (await registry.execute(spec, arguments, CONTEXT)).content == "x 2 None [] "


async def test_a_synchronous_tool_runs_in_a_thread_and_an_asynchronous_one_on_the_loop(made):
    def threaded(context: Context) -> ToolResult:
        """Say where it runs."""
        return ToolResult(threading.current_thread().name)

    async def looped(context: Context) -> ToolResult:
        """Say where it runs."""
        return ToolResult(threading.current_thread().name, context.key)

    assert (await registry.execute(made(threaded), {}, CONTEXT)).content != "MainThread"
    assert await registry.execute(made(looped), {}, CONTEXT) == ToolResult("MainThread", "key-1")


async def test_a_tool_that_takes_too_long_may_have_had_its_effect(made):
    async def slow(context: Context) -> ToolResult:
        """Take long."""
        await asyncio.sleep(60)

    with pytest.raises(MaybeSent, match=r"Slow has not ended within 0\.05 seconds"):
        await registry.execute(made(slow, timeout=0.05), {}, CONTEXT)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (NotSent("no"), NotSent),
        (MaybeSent("no"), MaybeSent),
        (ToolFailed("no"), ToolFailed),
        (Invalid("no"), ToolFailed),
    ],
)
async def test_a_failure_is_told_as_the_tool_tells_it(made, raised, kind):
    async def failing(context: Context) -> ToolResult:
        """Fail."""
        raise raised

    with pytest.raises(kind) as caught:
        await registry.execute(made(failing), {}, CONTEXT)
    assert type(caught.value) is kind
    assert caught.value.detail == "no"


async def test_a_fault_of_a_tool_is_not_taken_for_an_outcome(made):
    async def broken(context: Context) -> ToolResult:
        """Break."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await registry.execute(made(broken), {}, CONTEXT)


async def test_a_result_is_bounded_and_can_be_stored(made):
    async def wordy(context: Context) -> ToolResult:
        """Say much."""
        return ToolResult("a\x00b\ud83dc" + "x" * 30_000, "s\x00\n" * 400)

    result = await registry.execute(made(wordy), {}, CONTEXT)
    assert result.content.startswith("a\ufffdb?cxxx")
    assert result.content.endswith("\n[cut: these are the first 20,000 of 30,005 characters]")
    assert len(result.content) < 20_100
    assert len(result.summary) == 300
    assert "\x00" not in result.summary + result.content


async def test_a_result_without_a_summary_is_its_own(made):
    async def terse(context: Context) -> ToolResult:
        """Say little."""
        return ToolResult("Two\nlines")

    assert (await registry.execute(made(terse), {}, CONTEXT)).summary == "Two lines"


def test_validate_and_preview_are_given_the_parameters(made):
    def validate(context: Context, text: str, copies: int, **rest: Any) -> None:
        if text == "no":
            raise Invalid.field("text", f"not {copies} times")

    def preview(context: Context, text: str, copies: int, **rest: Any) -> Preview:
        return Preview(f"Add {text}.", [Change("notes", "0", str(copies))], recipients=["all"], amount="0.10 EUR")

    spec = made(note_add, validate=validate, preview=preview)
    registry.validate(spec, {"text": "yes"}, CONTEXT)
    with pytest.raises(Invalid, match="text: not 2 times"):
        registry.validate(spec, {"text": "no", "copies": 2}, CONTEXT)
    found = registry.preview(spec, {"text": "yes", "copies": 2}, CONTEXT)
    assert json.loads(json.dumps(found)) == {
        "sentence": "Add yes.",
        "diff": [{"what": "notes", "before": "0", "after": "2"}],
        "recipients": ["all"],
        "amount": "0.10 EUR",
        "details": {},
    }


def test_a_tool_without_a_preview_is_named_with_its_arguments_names(made):
    found = registry.preview(made(note_add), {"text": "yes", "password": "s3cret"}, CONTEXT)
    assert found["sentence"] == "Run “Note add” with text, password."
    assert found["diff"] is None


def test_two_tools_of_one_name_are_found_by_the_system_check(made):
    assert not [one for one in checks.run_checks() if one.id == "agents.E002"]
    made(note_add)
    made(note_add)
    assert [one.msg for one in checks.run_checks() if one.id == "agents.E002"] == [
        "More than one tool is called note_add."
    ]


def test_the_tools_of_apps_are_found():
    assert registry.names() == SHIPPED
    assert registry.get("nothing") is None
    risks = {name: registry.get(name).risk.value for name in SHIPPED}
    assert risks == {
        "device_list": "read", "service_status": "read", "service_logs": "read",
        "ask_agent": "read", "web_search": "read", "recall": "read",
        "remember": "write", "message_person": "write", "forget": "destructive",
        "device_control": "write", "service_start": "external", "web_fetch": "external",
        "door_unlock": "destructive", "service_restart": "destructive", "service_stop": "destructive",
    }  # fmt: skip
    assert all(registry.get(name).preview for name in SHIPPED if risks[name] != "read")


def test_a_model_is_offered_what_exists_and_is_switched_on(workspace, other_workspace, made):
    made(note_add)
    ToolSetting.objects.create(workspace=workspace, tool="service_stop", enabled=False)
    wanted = ["service_restart", "nothing", "service_stop", "note_add", "service_restart"]
    found = {one.name: one for one in registry.offered(workspace.pk, wanted)}
    assert list(found) == ["service_restart", "note_add"]
    assert "service_stop" in {one.name for one in registry.offered(other_workspace.pk, wanted)}
    assert found["note_add"].parameters == registry.get("note_add").parameters


def test_what_is_offered_names_what_the_workspace_has(workspace):
    restart, status, control, unlock = registry.offered(
        workspace.pk, ["service_restart", "service_status", "device_control", "door_unlock"]
    )
    services = ["api", "cache", "database", "mailer", "web", "worker"]
    assert restart.parameters["properties"]["service"]["enum"] == services
    assert status.parameters["properties"]["service"]["anyOf"] == [
        {"type": "string", "enum": services}, {"type": "null"},
    ]  # fmt: skip
    assert "light.kitchen" in control.parameters["properties"]["device"]["enum"]
    assert unlock.parameters["properties"]["door"]["enum"] == [
        "cover.garage_door", "cover.living_room_blinds", "lock.front_door",
    ]  # fmt: skip
    assert "enum" not in registry.get("service_restart").parameters["properties"]["service"]


def test_names_too_many_to_list_are_not_listed():
    parameters = registry.get("service_restart").parameters
    assert schema.narrowed(parameters, {"service": [str(n) for n in range(101)]}) == parameters
    assert schema.narrowed(parameters, {"service": []}) == parameters


def test_offering_many_tools_asks_the_database_little(workspace, django_assert_max_num_queries):
    registry.offered(workspace.pk, SHIPPED)
    with django_assert_max_num_queries(1):
        registry.offered(workspace.pk, SHIPPED)
