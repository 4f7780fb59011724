"""Memories out and in: over HTTP, and by `manage.py memory`."""

import asyncio
import io
import json
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from agents.models import Agent
from approvals.models import AuditEvent
from companions.models import Companion
from core import ids
from memory.management.commands import memory as command
from memory.models import Entry
from memory.services import forgetting, keeping, owners, portability
from memory.services.entries import By
from memory.services.keeping import Told, Whose
from tests.contract.operations import check_answer, check_problem
from tests.servers.threads import bridged

IMPORT = "/v1/ai/memory/import"
TEA = {"layer": "preferences", "type": "tea", "content": "Likes tea."}
SAID = {"kind": "message", "content": "Hello!", "said_at": "2020-01-31T12:00:00Z", "conversation": "old"}


def brought(api: Any, *memories: Any, **body: Any) -> dict[str, Any]:
    answer = api.post(IMPORT, {"memories": memories, **body})
    assert answer.status_code == 200, answer.content
    check_answer(f"POST {IMPORT}", 200, answer.json())
    told: dict[str, Any] = answer.json()
    return told


def counts(told: dict[str, Any]) -> tuple[int, int, int]:
    return told["added"], told["same"], len(told["refused"])


def taken(response: Any) -> str:
    """A stream's whole text."""

    async def take() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    with bridged():
        return asyncio.run(take()).decode()


@pytest.fixture
def full(member, smart_home, mine, note):
    """A memory with something of every kind in it."""
    note("Lives in Rome.", slot="home")
    note("Lives in Oslo.", slot="home")
    note("Likes tea.", layer="preferences", slot="tea", pinned=True, metadata={"a": [1]})
    whose, talk = Whose(member.workspace.pk, member.user.pk, smart_home.pk), ids.new()
    keeping.keep([(whose, Told(talk, ids.new(), *said)) for said in (("person", "I like\ntea."), ("companion", "So?"))])
    return mine


def exported(member: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in portability.as_lines(portability.export(member))]


def test_what_is_exported_is_all_there_is_and_comes_back_as_it_was(member, full, api):
    before = exported(member)
    assert {one["content"] for one in before} == {
        "Lives in Rome.", "Lives in Oslo.", "Likes tea.", "I like\ntea.", "So?",
    }  # fmt: skip
    assert counts(brought(api, *before)) == (0, 4, 1)
    everything = Entry.objects.filter(owner=full)
    everything.delete()
    refused = brought(api, *before)
    assert counts(refused) == (4, 0, 1)
    assert [one["detail"] for one in refused["refused"]] == ["status: what was superseded is not taken over"]
    after = exported(member)
    same = ("kind", "layer", "type", "content", "companion_type", "pinned", "metadata", "said_at", "speaker", "status")
    wanted = [{name: one.get(name) for name in same} for one in before if one["status"] == "active"]
    assert [{name: one.get(name) for name in same} for one in after] == wanted
    assert counts(brought(api, *after)) == (0, 4, 0)


@pytest.mark.django_db(transaction=True)
def test_an_export_is_streamed_as_lines_or_to_read_and_is_the_callers_own(api, member, full, client_of, manager):
    lines = api.get("/v1/ai/memory/export")
    assert lines.headers["Content-Type"] == "application/jsonl; charset=utf-8"
    assert len([json.loads(line) for line in taken(lines).splitlines()]) == 5
    markdown = taken(api.get("/v1/ai/memory/export?to=markdown&companion_type=smart-home"))
    assert markdown.startswith("# What is remembered of you\n\n## Who you are (identity)\n")
    assert "\n## What was said (history)\n" in markdown
    assert "**home**: Lives in Oslo." in markdown
    assert "Lives in Rome." not in markdown
    assert "(the companion): So?" in markdown
    assert taken(client_of(manager).get("/v1/ai/memory/export")) == ""
    assert AuditEvent.objects.filter(type="memory.exported").count() == 3


def test_an_export_reads_page_by_page(member, full, monkeypatch):
    monkeypatch.setattr(portability, "PAGE", 1)
    assert len(exported(member)) == 5


@pytest.mark.parametrize("query", ["?to=xml", "?companion_type=nobody", "?format=jsonl", "?to=jsonl&to=jsonl"])
def test_an_export_that_is_not_there_is_refused(api, query):
    assert check_problem(api.get(f"/v1/ai/memory/export{query}"))["status"] in (400, 404)


def test_an_import_is_stored_once_and_refused_one_by_one(api, smart_home):
    memories = [
        TEA, SAID, 5, "text", [], {}, {"layer": "dreams", "content": "x"}, {**TEA, "content": ""}, {**TEA, "x": 1},
        {**TEA, "companion_type": "nobody"}, {**SAID, "said_at": None}, {**SAID, "said_at": "0001-01-01T00:00:00Z"},
        {**SAID, "speaker": "god"}, {**SAID, "content": "x" * 100_001}, {**TEA, "metadata": {"a": "x" * 4_000}},
        {**TEA, "confidence": True}, {**TEA, "expires_at": "2001-01-01T00:00:00Z"}, {**TEA, "type": 5},
        {"kind": ["message"], "layer": {}, "content": None}, {f"k{n}": n for n in range(20_000)},
    ]  # fmt: skip
    first = brought(api, *memories)
    assert counts(first) == (2, 0, 18)
    assert [one["index"] for one in first["refused"]] == list(range(2, 20))
    assert all(one["detail"] and len(one["detail"]) < 400 for one in first["refused"])
    assert counts(brought(api, *memories)) == (0, 2, 18)


@pytest.mark.parametrize("memories", [[], [None], {}, "x", None, [TEA] * 1_001])
def test_what_is_no_list_of_memories_is_refused(api, memories):
    check_problem(api.post(IMPORT, {"memories": memories}), 400)
    assert not Entry.objects.exists()


def test_a_thousand_at_once_are_taken(api):
    memories = [{"layer": "history", "content": f"Note {number}"} for number in range(1_000)]
    assert counts(brought(api, *memories)) == (1_000, 0, 0)


def test_each_goes_to_the_companion_that_it_names_or_to_the_one_that_is_named_for_all(api, member, smart_home):
    agent = Agent.objects.create(workspace=member.workspace, slug="devops", name="Olaf")
    Companion.objects.create(workspace=member.workspace, type="devops", name="Olaf", agent=agent, memory_layers=[])
    brought(api, TEA, {**TEA, "companion_type": "smart-home"})
    assert set(Entry.objects.values_list("owner__companion__type", flat=True)) == {None, "smart-home"}
    refused = brought(api, {**TEA, "companion_type": "smart-home"}, SAID, companion_type="devops")["refused"]
    assert [one["detail"] for one in refused] == [
        "layer: Olaf does not keep preferences", "layer: Olaf does not keep history",
    ]  # fmt: skip


def test_neither_a_foreign_companion_nor_a_foreign_session_is_reached(api, client_of, stranger, full):
    theirs = client_of(stranger)
    check_problem(theirs.post(IMPORT, {"memories": [TEA], "companion_type": "smart-home"}), 404)
    message = Entry.objects.get(text="So?")
    said = {**SAID, "conversation": str(message.conversation_id), "content": "So?", "speaker": "companion"}
    brought(theirs, {**said, "said_at": message.said_at.isoformat()})
    assert Entry.objects.filter(conversation_id=message.conversation_id).count() == 2
    assert Entry.objects.filter(owner__user=stranger.user).count() == 1


def test_what_was_forgotten_is_refused(api, member, note):
    forgetting.forget(note("Likes tea.", layer="preferences", slot="tea"), by=By.person(member))
    shared = owners.of(member, None)
    Entry.objects.filter(owner=shared).delete()
    assert brought(api, TEA, companion_type="smart-home")["refused"][0]["code"] == "forgotten"


def run(*arguments: str, refused: str = "") -> tuple[list[str], list[str]]:
    """The lines that `manage.py memory` prints, and those of its complaints."""
    out, err = io.StringIO(), io.StringIO()
    fails = pytest.raises(CommandError, match=f"^{refused} of 30 lines refused") if refused else nullcontext()
    with fails:
        call_command("memory", *arguments, stdout=out, stderr=err)
    return out.getvalue().splitlines(), err.getvalue().splitlines()


def of(member: Any, *more: str) -> list[str]:
    return ["--workspace", member.workspace.slug, "--person", member.user.email.upper(), *more]


def test_a_file_is_imported_in_parts_with_progress_and_once(member, smart_home, tmp_path, monkeypatch):
    monkeypatch.setattr(portability, "MOST_AT_ONCE", 10)
    lines: list[bytes] = [json.dumps({"layer": "history", "content": f"Note {n}"}).encode() for n in range(25)]
    nul = b'{"layer": "history", "content": "\\u0000"}'
    lines[3:3] = [b"", b"  ", b"not json", b"\xff\xfe", b"5", b"x" * 600_000, nul]
    file = tmp_path / "memories.jsonl"
    file.write_bytes(b"\n".join(lines))
    out, err = run("import", str(file), *of(member, "--companion", "smart-home"), refused="5")
    assert out == [
        "10/30: 5 added, 0 there already, 5 refused",
        "20/30: 15 added, 0 there already, 5 refused",
        "30/30: 25 added, 0 there already, 5 refused",
    ]
    assert [line.split(":")[0] for line in err] == ["line 6", "line 7", "line 8", "line 9", "line 10"]
    assert run("import", str(file), *of(member, "--companion", "smart-home"), refused="5")[0][-1] == (
        "30/30: 0 added, 25 there already, 5 refused"
    )
    assert not AuditEvent.objects.filter(type="memory.imported").exclude(actor_kind="system").exists()


def test_progress_is_told_at_once_also_to_where_output_is_gathered(member, tmp_path, monkeypatch):
    monkeypatch.setattr(portability, "MOST_AT_ONCE", 1)
    file = tmp_path / "memories.jsonl"
    file.write_text("".join(json.dumps({"layer": "history", "content": f"Note {n}"}) + "\n" for n in range(2)))
    load, told, arrived = portability.load, io.BytesIO(), []
    output = io.TextIOWrapper(told)

    def loaded(*args: Any, **kwargs: Any) -> Any:
        arrived.append(told.getvalue())
        return load(*args, **kwargs)

    monkeypatch.setattr(portability, "load", loaded)
    call_command("memory", "import", str(file), *of(member), stdout=output)
    assert arrived == [b"", b"1/2: 1 added, 0 there already, 0 refused\n"]


def test_a_part_that_was_stored_stays_and_the_import_is_begun_again(member, tmp_path, monkeypatch):
    monkeypatch.setattr(portability, "MOST_AT_ONCE", 10)
    file = tmp_path / "memories.jsonl"
    file.write_text("".join(json.dumps({"layer": "history", "content": f"Note {n}"}) + "\n" for n in range(20)))
    load, parts = portability.load, []

    def broken(*args: Any, **kwargs: Any) -> Any:
        parts.append(1)
        if len(parts) == 2:
            raise KeyboardInterrupt
        return load(*args, **kwargs)

    monkeypatch.setattr(portability, "load", broken)
    with pytest.raises(KeyboardInterrupt):
        run("import", str(file), *of(member))
    assert Entry.objects.count() == 10
    assert run("import", str(file), *of(member))[0][-1] == "20/20: 10 added, 10 there already, 0 refused"


def test_twenty_refusals_are_shown_and_nothing_of_them_steers_the_terminal(member, tmp_path):
    file = tmp_path / "memories.jsonl"
    file.write_text("\n".join([json.dumps({"layer": "\x1b[2J", "\x1b]0;": 1})] * 30))
    out, err = run("import", str(file), *of(member), refused="30")
    assert out == ["30/30: 0 added, 0 there already, 30 refused"]
    assert len(err) == 20
    assert "\x1b" not in "".join(err)


def test_a_file_that_cannot_be_imported_is_refused_whole(member, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "MOST_LINES", 3)
    file = tmp_path / "memories.jsonl"
    file.write_text("5\n" * 4)
    for name, person, companion, text in [
        (str(file), member.user.email, "", "more than 3 lines"),
        (str(tmp_path / "none"), member.user.email, "", "cannot be read"),
        (str(file), "nobody@home.example", "", "no member"),
        (str(file), member.user.email, "nobody", "unknown_companion"),
    ]:
        with pytest.raises(CommandError, match=text):
            run("import", name, "--workspace", "home", "--person", person, "--companion", companion)
    file.write_text("\n\n")
    assert run("import", str(file), *of(member))[0] == ["There is nothing in it."]
    assert not Entry.objects.exists()


def test_the_shell_exports_as_the_api_does(member, full):
    out, _ = run("export", *of(member))
    assert [json.loads(line) for line in out] == exported(member)
    assert run("export", *of(member, "--to", "markdown", "--companion", "smart-home"))[0][0].startswith("# What")
    kinds = AuditEvent.objects.filter(type="memory.exported").order_by("pk").values_list("actor_kind", flat=True)
    assert list(kinds) == ["system", "person", "system"]


def test_missing_vectors_are_made_with_progress(member, full):
    assert run("embed")[0] == ["4/4"]
    assert run("embed")[0] == ["0/0"]
    assert not Entry.objects.filter(status="active", embedding=None).exists()


def test_without_an_embedder_the_shell_says_so(full, settings):
    settings.EMBEDDER = "none"
    assert run("embed")[0][0].startswith("No vectors are made: off")


def test_a_message_keeps_when_it_was_said(api):
    brought(api, SAID)
    assert Entry.objects.get().said_at == datetime(2020, 1, 31, 12, tzinfo=UTC)
