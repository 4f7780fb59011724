"""What leaves the house: exports and proofs that strangers check, and people who are forgotten."""

import json
import re
import subprocess
import sys
import uuid
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from approvals.models import AuditEvent, AuditPayload, OutboxItem
from approvals.services import audit, erasing, heads, proving, sealing, verifying
from core.ledger import INSTALLATION
from tests.approvals.auditing import chained, newest, owner, record

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"


@pytest.fixture(autouse=True)
def heads_file(settings, tmp_path):
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")
    return settings.AUDIT_HEADS_FILE


@pytest.fixture
def stranger_checks(tmp_path):
    """Checks a text with the program in the document, as somebody who has nothing else of ours."""
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "check.py").write_text(program)

    def check(text):
        (tmp_path / "told").write_text(text)
        argv = [sys.executable, "check.py", "told", heads.public_key()]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    return check


def run(*argv):
    """What the command says."""
    out = StringIO()
    call_command("audit", *argv, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_stranger_can_check_a_proof(workspace, manager, stranger_checks):
    chained(workspace, 3)
    record(workspace, 1, who=audit.person(manager), target=("tool", uuid.uuid4()), data={"text": "für alle"})
    wanted = newest()
    record(workspace, 5, data={"password": "of somebody else"})
    text = run("proof", str(wanted.pk))
    done = stranger_checks(text)
    assert done.stdout == "1 events are what was written.\n", done.stderr
    told = json.loads(text)
    assert (told["seq"], len(told["path"]), told["head"]["seq"]) == (4, 5, 9)
    assert json.loads(told["data"])["text"] == "für alle"
    forged = json.dumps({**told, "data": told["data"].replace("alle", "mich")})
    assert "payload at 4" in stranger_checks(forged).stderr
    forged = json.dumps({**told, "event": {**told["event"], "type": "action.failed"}})
    assert stranger_checks(forged).returncode


def test_a_stranger_can_check_an_export(workspace, other_workspace, stranger_checks):
    chained(workspace, 30)
    chained(other_workspace, 2)
    text = run("export", workspace.slug)
    done = stranger_checks(text)
    assert done.stdout == "30 events are what was written.\n", done.stderr
    assert str(other_workspace.pk) not in text
    lines = text.splitlines()
    assert "place 12" in stranger_checks("\n".join([*lines[:11], *lines[12:]])).stderr
    assert stranger_checks("\n".join([*lines[:30], *lines[31:]])).returncode


def test_an_export_is_itself_recorded(workspace, tmp_path):
    chained(workspace, 2)
    run("export", str(workspace.pk), "--output", str(tmp_path / "out"))
    event = newest()
    assert (event.type, json.loads(event.payload.data)) == ("audit.exported", {"events": 2})
    with pytest.raises(CommandError, match="exists"):
        run("export", workspace.slug, "--output", str(tmp_path / "out"))


def test_only_what_a_signed_head_covers_is_proven(workspace):
    record(workspace)
    with pytest.raises(proving.NotSignedYet):
        proving.proof(newest().pk)
    sealing.seal()
    with pytest.raises(proving.NotSignedYet):
        proving.proof(newest().pk)
    with pytest.raises(proving.UnknownEvent):
        proving.proof(uuid.uuid4())


def test_verify_says_how_it_stands(workspace, heads_file):
    chained(workspace, 10)
    assert "10 events in 1 chains, 0 of them erased, 1 signed heads" in run("verify", "--heads", heads_file)
    with owner() as cursor:
        cursor.execute("UPDATE approvals_auditevent SET type = 'action.failed' WHERE id = %s", [newest().pk])
    out = StringIO()
    with pytest.raises(CommandError, match="not what was written"):
        call_command("audit", "verify", "--workspace", "home", stdout=out, stderr=StringIO())
    assert f"BAD  {workspace.pk}  seq 10: " in out.getvalue()


@pytest.mark.parametrize("line", ["{}", "[]", "no JSON", '{"workspace_id": "x", "signed_at": "2026-01-01T00:00:00Z"}'])
def test_a_file_of_heads_that_holds_none_is_refused(workspace, tmp_path, line):
    (tmp_path / "bad").write_text(f"\n{line}\n")
    with pytest.raises(CommandError, match="Line 2"):
        run("verify", "--heads", str(tmp_path / "bad"))


@pytest.mark.parametrize(
    "argv",
    [
        ("verify", "--workspace", "nowhere"),
        ("export", "nowhere"),
        ("erase", "nobody@example.org"),
        ("verify", "--heads", "/nowhere"),
        ("verify", "--public-key", "short"),
        ("proof", str(uuid.UUID(int=1))),
        ("role", "x;y"),
    ],
)
def test_what_the_command_cannot_do_it_says(workspace, argv):
    with pytest.raises(CommandError):
        run(*argv)


def test_a_person_is_forgotten_and_the_chain_holds(workspace, other_workspace, member, manager):
    record(workspace, 2, who=audit.person(member), data={"text": "canary of the member"})
    record(workspace, 1, who=audit.agent(uuid.uuid4(), member.user.pk), data={"text": "canary of the member"})
    record(workspace, 1, who=audit.person(manager), target=("user", member.user.pk), data={"text": "canary"})
    record(workspace, 3, who=audit.person(manager), data={"text": "of the manager"})
    record(other_workspace, 1, who=audit.person(member), data={"text": "canary"})
    for workspace_id, payload in ((workspace.pk, {"to": member.user.email}), (other_workspace.pk, {"to": "others"})):
        OutboxItem.objects.create(workspace_id=workspace_id, topic="webhook", type="x", payload=payload)
    OutboxItem.objects.create(workspace=workspace, topic="email", type="x", target=member.user.email)
    sealing.seal()

    said = run("erase", member.user.email)

    assert f"{workspace.pk}: 4 events, 2 notices" in said
    assert f"{other_workspace.pk}: 1 events, 0 notices" in said
    kept = list(AuditPayload.objects.values_list("data", flat=True))
    assert not any("canary" in text or member.user.email in text for text in kept)
    assert sum("of the manager" in text for text in kept) == 3
    assert OutboxItem.objects.count() == 1
    assert AuditEvent.objects.filter(person_id=member.user.pk).count() == 4
    sealing.seal()
    found = verifying.verify()
    assert (found.ok, found.rows, found.erased) == (True, 10, 5)


def test_to_forget_somebody_twice_tells_nothing_new(workspace, member):
    record(workspace, 2, who=audit.person(member))
    assert [len(erased.events) for erased in erasing.erase(member.user.pk)] == [2]
    assert erasing.erase(member.user.pk) == []
    assert AuditEvent.objects.filter(type="audit.erased").count() == 1


def test_an_erasure_that_cannot_be_recorded_erases_nothing(workspace, member, monkeypatch):
    record(workspace, 2, who=audit.person(member))
    monkeypatch.setattr(erasing, "KEPT", "not.registered")
    with pytest.raises(KeyError):
        erasing.erase(member.user.pk)
    assert AuditPayload.objects.count() == 2


def test_what_was_erased_is_null_in_an_export_and_still_checks(workspace, member, stranger_checks):
    record(workspace, 2, who=audit.person(member), data={"text": "canary"})
    record(workspace, 1)
    erasing.erase(member.user.pk)
    text = run("export", workspace.slug)
    done = stranger_checks(text)
    assert done.stdout == "4 events are what was written.\n", done.stderr
    assert "canary" not in text


def test_what_concerns_no_workspace_has_a_chain_too(db):
    with transaction.atomic():
        audit.record(audit.Entry(type="login.failed", workspace_id=INSTALLATION, who=audit.SYSTEM))
    sealing.seal()
    heads.sign_heads()
    found = verifying.verify()
    assert (found.ok, found.chains, found.heads) == (True, 1, 1)
