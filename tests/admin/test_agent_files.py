"""Agents as files in the admin and from a shell: out, in, and what is refused by the field that does not fit."""

import io
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import Role, Workspace
from agents.models import Agent, AgentVersion
from agents.services import bundles
from approvals.models import AuditEvent
from tests.admin.conftest import HOSTILE, url

IMPORT = "admin:agents_agent_import_file"


def file(said: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    agent = {"slug": "iris", "name": "Iris", "instructions": "Help.", "tools": ["device_list"], **(said or {})}
    return {"format": bundles.FORMAT, "format_version": bundles.FORMAT_VERSION, "agent": agent, **changes}


def form(workspace: Workspace, content: Any, **more: Any) -> dict[str, Any]:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return {"workspace": workspace.pk, "file": SimpleUploadedFile("agent.json", text), "rename": "", **more}


@pytest.fixture
def path(tmp_path):
    """Writes a file and gives its name."""

    def write(content: Any) -> str:
        at = tmp_path / "agent.json"
        at.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(at)

    return write


def shell(*words: str) -> str:
    told = io.StringIO()
    call_command("agent", *words, stdout=told, stderr=io.StringIO())
    return told.getvalue()


def test_an_agent_goes_out_by_a_button_and_in_by_another(here, staff):
    client, agent = staff(Role.ADMIN), here[Agent]
    Agent.objects.filter(pk=agent.pk).update(autonomy="autonomous", tools=["device_list"], name="Ännchen")
    out = client.get(url(Agent, "export", agent.pk))
    assert out["Content-Disposition"] == f'attachment; filename="agent-{agent.slug}.json"'
    assert "Ännchen" in out.content.decode()
    assert 'enctype="multipart/form-data"' in client.get(reverse(IMPORT)).text
    answer = client.post(reverse(IMPORT), form(here[Workspace], out.content, rename="second"))
    made = Agent.objects.get(slug="second")
    assert answer["Location"] == url(Agent, "change", made.pk)
    assert (made.name, made.tools, made.autonomy, made.version) == ("Ännchen", ["device_list"], "advisor", 1)
    assert AuditEvent.objects.filter(type="agent.changed", target_id=made.pk).count() == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "submitted file is empty"),
        (b"{", "line 1, column 2"),
        (b"\xff", "not UTF-8"),
        (b"[]", "file: an object"),
        (b" " * (bundles.LARGEST + 1), "larger than 900000 bytes"),
        (b"[" * 5_000, "nested more than"),
        (file(format="other"), "format: "),
        (file(more=1), "more: is not known"),
        (file({"autonomy": "autonomous"}), "agent.autonomy: is not known"),
        (file({"slug": "a b"}), "agent.slug: up to 60"),
        (file({"tools": ["no_such"]}), "no_such"),
        (file({"skills": ["no-such"]}), "no skill"),
        (file({"name": HOSTILE, "tools": [HOSTILE]}), "&lt;script&gt;"),
        (file({"slug": "here-agent"}), "agent &#x27;here-agent&#x27; already"),
    ],
)
def test_a_file_that_does_not_fit_is_told_by_its_field_and_nothing_is_made(here, staff, content, told):
    before = Agent.objects.count(), AgentVersion.objects.count(), AuditEvent.objects.count()
    answer = staff(Role.ADMIN).post(reverse(IMPORT), form(here[Workspace], content))
    assert answer.status_code == 400
    assert told in answer.text
    assert HOSTILE not in answer.text
    assert before == (Agent.objects.count(), AgentVersion.objects.count(), AuditEvent.objects.count())


def test_managers_take_agents_out_and_only_admins_bring_them_in(here, there, staff):
    boss, reader = staff(Role.MANAGER), staff(Role.AUDITOR)
    assert boss.get(url(Agent, "export", here[Agent].pk)).status_code == 200
    assert reader.get(url(Agent, "export", here[Agent].pk)).status_code == 403
    assert boss.get(url(Agent, "export", there[Agent].pk)).status_code in (403, 404)
    assert boss.get(reverse(IMPORT)).status_code == 403
    assert boss.post(reverse(IMPORT), form(here[Workspace], file())).status_code == 403
    assert reverse(IMPORT) not in boss.get(url(Agent, "changelist")).text
    admin = staff(Role.ADMIN)
    assert reverse(IMPORT) in admin.get(url(Agent, "changelist")).text
    assert admin.get(url(Agent, "export", there[Agent].pk)).status_code in (403, 404)
    assert "Select a valid choice" in admin.post(reverse(IMPORT), form(there[Workspace], file())).text
    assert not Agent.objects.filter(slug="iris").exists()


def test_the_shell_takes_an_agent_out_and_brings_it_in(owner, workspace, other_workspace, path):
    assert "iris is made: version 1, advisor" in shell(
        "import", path(file()), "--workspace", "home", "--as", owner.user.email
    )
    assert Agent.objects.get().author == owner.user
    text = shell("export", "iris", "--workspace", "home")
    shell("import", path(text.encode()), "--workspace", "home", "--as", owner.user.email.upper(), "--rename", "iris-2")
    assert json.loads(shell("export", "iris-2", "--workspace", "home"))["agent"]["name"] == "Iris"
    with pytest.raises(CommandError, match="no agent 'iris'"):
        shell("export", "iris", "--workspace", "elsewhere")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "bad_json: .* line 1"),
        (b" " * (bundles.LARGEST + 1), "too_large"),
        (file({"tone": 5}), "tone: a text"),
        (file({"slug": "a/b"}), "agent.slug"),
    ],
)
def test_the_shell_names_what_does_not_fit(owner, path, content, told):
    with pytest.raises(CommandError, match=told):
        shell("import", path(content), "--workspace", "home", "--as", owner.user.email)
    assert not Agent.objects.exists()


def test_the_shell_asks_for_a_file_a_workspace_and_an_admin_that_there_are(owner, manager, path, tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        shell("import", str(tmp_path / "none"), "--workspace", "home", "--as", owner.user.email)
    with pytest.raises(CommandError, match="no workspace"):
        shell("import", path(file()), "--workspace", "nowhere", "--as", owner.user.email)
    for nobody in (manager.user.email, "nobody@home.example"):
        with pytest.raises(CommandError, match="no admin"):
            shell("import", path(file()), "--workspace", "home", "--as", nobody)
    assert not Agent.objects.exists()
