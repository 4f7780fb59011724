"""A backup of a whole installation into an empty one, and files that are no backup or not the whole of it."""

import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
from django.core.management import CommandError, call_command

from config import bootstrap
from config.backups import archive, restoring, taking
from config.backups.archive import BackupError, BadBackup
from core import embedded, embedded_home
from tests.operations.archives import FACTS, backup
from tests.pictures import sent
from tests.servers.stack import eventually, free_port

pytestmark = pytest.mark.timeout(600)
RESTART = '[[rehearse: call=service_restart {"service": "web"}]]'
COUNTED = (
    "accounts_user", "accounts_apikey", "agents_agent", "companions_companion", "chat_conversation", "chat_message",
    "chat_attachment", "chat_run", "chat_action", "approvals_approval", "approvals_auditseal", "memory_entry",
)  # fmt: skip


class Home:
    """An installation of its own that nothing has been put into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.env = {**kept, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "manage.py", *arguments]
        return subprocess.run(argv, env=self.env, cwd=bootstrap.BASE_DIR, capture_output=True, text=True, check=False)

    def counts(self) -> dict[str, int]:
        place = embedded_home.find(self.folder)
        with embedded.running([embedded.postgres(place, durable=False)]), psycopg.connect(place.database_url) as link:
            return counts(lambda query: link.execute(query).fetchall())


def counts(sql) -> dict[str, int]:
    return {table: sql(f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED}


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "new")
    yield made
    embedded_home.discard(made.folder)


def say(stack, message: str, **more) -> httpx.Response:
    body = {"message": message, "companion": "devops", **more}
    return httpx.post(f"{stack.base_url}/v1/ai/chat", json=body, headers=stack.headers, trust_env=False, timeout=60)


@pytest.fixture
def lived(stack, tmp_path):
    """A stack in which was said, shown and asked something, and a backup of it, taken while it runs."""
    made = stack(webs=1, workers=1)
    assert say(made, "My dog is called Zwinglibart. [[rehearse: interval=0]]").status_code == 200
    assert say(made, "Look [[rehearse: interval=0]]", attachments=[sent()]).status_code == 200
    assert say(made, RESTART).status_code == 202
    eventually(lambda: made.sql("SELECT count(*) FROM approvals_auditunsealed") == [(0,)], "the chain holds all")
    target = tmp_path / "backup.tar"
    printed = made.manage("backup", str(target), "--with-keys")
    assert "The keys are in it" in printed
    return made, target


@pytest.mark.long
def test_all_of_an_installation_comes_back_in_an_empty_one(lived, home, tmp_path):
    stack, target = lived
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = counts(stack.sql)
    assert before["chat_attachment"] == 1
    assert before["approvals_approval"] == 1
    done = home.manage("restore", str(target))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TO DO" not in done.stdout
    assert home.counts() == before
    verified = home.manage("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"{before['approvals_auditseal']} events in" in verified.stdout
    files = [path for path in (home.folder / "attachments").rglob("*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600]
    ((sha256,),) = stack.sql("SELECT sha256 FROM chat_attachment")
    assert hashlib.sha256(files[0].read_bytes()).hexdigest() == sha256
    again = home.manage("restore", str(target))
    assert again.returncode == 1
    assert "--replace" in again.stderr
    assert home.counts() == before
    replaced = home.manage("restore", str(target), "--replace")
    assert replaced.returncode == 0, replaced.stdout + replaced.stderr
    assert home.counts() == before


@pytest.mark.long
def test_a_restored_installation_serves_and_its_waiting_approval_can_be_decided(lived, home):
    stack, target = lived
    assert home.manage("restore", str(target)).returncode == 0
    port = free_port()
    log = home.folder.with_suffix(".log").open("wb")
    with log:
        env = {**home.env, "PORT": str(port), "SECRET_KEY": stack.env["SECRET_KEY"]}
        argv = [sys.executable, "-m", "config.stack"]
        up = subprocess.Popen(argv, cwd=bootstrap.BASE_DIR, env=env, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        eventually(lambda: _answers(f"{url}/ai/health"), "the restored stack answers", 90)
        manager = stack.demo["users"]["manager"]
        with httpx.Client(trust_env=False, timeout=30) as client:
            token = client.post(f"{url}/auth/login", json={"email": manager["email"], "password": manager["password"]})
            client.headers["Authorization"] = f"Bearer {token.json()['access']}"
            (asked,) = client.get(f"{url}/ai/approvals").json()["approvals"]
            detail = client.get(f"{url}/ai/approvals/{asked['id']}").json()
            body = {"decision": "approve", "digest": detail["digest"]}
            assert client.post(f"{url}/ai/approvals/{asked['id']}", json=body).status_code == 200
            run = f"{url}/ai/runs/{asked['run_id']}"
            mine = {"headers": stack.headers}
            eventually(lambda: client.get(run, **mine).json()["status"] == "completed", "the run goes on")
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.long
def test_a_backup_that_is_killed_leaves_nothing_under_its_name(stack, tmp_path):
    made = stack(webs=0, workers=0)
    target = tmp_path / "backup.tar"
    partial = tmp_path / ".backup.tar.countersign-partial"
    slow = tmp_path / "pg_dump"  # as pg_dump on the PATH, of the server's own version: it never ends
    version = made.sql("SHOW server_version")[0][0]
    told = f'[ "$1" = --version ] && echo "pg_dump (PostgreSQL) {version}" && exit'
    slow.write_text(f"#!/bin/sh\n{told}\nhead -c 5000000 /dev/zero\nexec sleep 600\n")
    slow.chmod(0o755)
    env = {**made.env, "PATH": f"{tmp_path}:{made.env['PATH']}"}
    argv = [sys.executable, "manage.py", "backup", str(target)]
    child = subprocess.Popen(argv, env=env, cwd=bootstrap.BASE_DIR, stdout=subprocess.DEVNULL, start_new_session=True)
    eventually(lambda: partial.is_file() and partial.stat().st_size > 0, "the backup is being written")
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not target.exists()
    made.manage("backup", str(tmp_path / "another.tar"))
    assert not partial.exists()
    made.manage("backup", str(target))
    with target.open("rb") as file:
        archive.check(file)
    assert "is there already" in _refused(made, target)


def _refused(stack, target: Path) -> str:
    argv = [sys.executable, "manage.py", "backup", str(target)]
    done = subprocess.run(argv, env=stack.env, cwd=bootstrap.BASE_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr


def tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(data), kind, "/etc/passwd"
            file.addfile(member, io.BytesIO(data))
    return out.getvalue()


WHOLE = backup((archive.DATABASE, b"x" * 2_000), ("attachments/2026-01-01/a.png", b"image"))
BAD = {
    "empty": b"",
    "text": b"hello" * 500,
    "a foreign tar": tar(("home/notes.txt", b"mine")),
    "cut in the database": WHOLE[:1_500],
    "cut before the manifest": WHOLE[: 512 + 2_048 + 512 + 512],
    "cut in the manifest": WHOLE[: 512 + 2_048 + 512 + 512 + 600],
    "a byte of the database changed": WHOLE.replace(b"xxxx", b"xxyx", 1),
    "a byte of an image changed": WHOLE.replace(b"image", b"imago"),
    "no database": backup((archive.HEADS, b"")),
    "out of the folder": backup((archive.DATABASE, b"x"), ("attachments/../../etc/cron.d/x", b"y")),
    "an absolute name": backup((archive.DATABASE, b"x"), ("/etc/cron.d/x", b"y")),
    "the same name twice": backup((archive.DATABASE, b"x"), (archive.DATABASE, b"x")),
    "something after the manifest": WHOLE[:-1_024] + tar(("keys.json", b"{}")),
    "a link": tar((archive.DATABASE, b""), kind=tarfile.SYMTYPE),
    "another format": backup((archive.DATABASE, b"x"), format="countersign.backup.9"),
}


def test_a_whole_file_is_read_as_it_was_written():
    found = archive.check(io.BytesIO(WHOLE))
    assert found.attachments == ["2026-01-01/a.png"]
    assert found.read("attachments/2026-01-01/a.png") == b"image"
    assert b"".join(found.chunks(archive.DATABASE)) == b"x" * 2_000
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as plain:
        assert plain.getnames()[-1] == archive.MANIFEST


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_whole_backup_is_refused(data):
    with pytest.raises(BadBackup):
        archive.check(io.BytesIO(data))


END = {"workspace_id": "6f1c1a52-3f0e-4b63-9d5e-0d6f4f6f1c11", "seq": 1, "hash": "00"}
ODD = [
    ("migrations", 5), ("migrations", ["chat"]), ("migrations", [["chat", 1]]), ("attachments", []),
    ("attachments", {}), ("keys", []), ("keys", {"SECRET_KEY": None}), ("audit", []), ("audit", {"ends": []}),
    ("audit", {"ends": [], "public_key": "no key"}), ("format", ["countersign.backup.1"]), ("version", {}),
    ("audit", {"ends": [{**END, "workspace_id": "ours"}], "public_key": "0" * 64}),
    ("audit", {"ends": [{**END, "seq": "first"}], "public_key": "0" * 64}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), ODD)
def test_a_manifest_of_another_shape_is_refused_in_words(name, value):
    with pytest.raises(BadBackup, match="The manifest cannot be read"):
        archive.check(io.BytesIO(backup((archive.DATABASE, b"x"), **{name: value})))


@pytest.mark.parametrize("text", [b"[]", b"5", b"{", b"\xff", b'{"format": "countersign.backup.1"}', b"[" * 100_000])
def test_what_is_no_manifest_at_all_is_refused_in_words(text):
    with pytest.raises(BadBackup, match="The manifest cannot be read"):
        archive.check(io.BytesIO(tar((archive.DATABASE, b"x"), (archive.MANIFEST, text))))


@pytest.mark.parametrize("parts", [5, [5], [{"name": []}], [{"name": archive.DATABASE}], []])
def test_a_manifest_that_tells_of_no_parts_or_others_is_refused(parts):
    told = {**FACTS, "format": archive.FORMAT, "parts": parts}
    with pytest.raises(BadBackup):
        archive.check(io.BytesIO(tar((archive.DATABASE, b"x"), (archive.MANIFEST, json.dumps(told).encode()))))


@pytest.mark.parametrize(
    "text", [b"[]", b"{}", b"{", b'{"SECRET_KEY": 5, "SEALING_KEYS": [], "AUDIT_SIGNING_KEY": ""}']
)
def test_keys_of_another_shape_are_refused_in_words(text):
    with pytest.raises(BadBackup, match="The part with keys cannot be read"):
        archive.check(io.BytesIO(backup((archive.DATABASE, b"x"), (archive.KEYS, text))))


HEAD = {
    "workspace_id": END["workspace_id"], "seq": 1, "hash": "00", "signed_at": "2026-01-01T00:00:00Z", "key_id": "k",
    "signature": "00",
}  # fmt: skip
NO_HEADS = [
    {}, {**HEAD, "seq": "first"}, {**HEAD, "seq": -1}, {**HEAD, "seq": 2**64}, {**HEAD, "seq": float("inf")},
    {**HEAD, "signed_at": "2026-01-01T00:00:00"}, {**HEAD, "hash": "no"}, {**HEAD, "workspace_id": 5}, [],
]  # fmt: skip


@pytest.mark.parametrize("line", [b"{", b"\xff", b"[" * 100_000, *(json.dumps(one).encode() for one in NO_HEADS)])
def test_heads_of_another_shape_are_refused_in_words_before_anything_is_touched(line, monkeypatch, tmp_path):
    monkeypatch.setattr("config.backups.restoring._images", lambda held: pytest.fail("it was begun"))
    text = json.dumps(HEAD).encode() + b"\n" + line + b"\n"
    (file := tmp_path / "backup.tar").write_bytes(backup((archive.DATABASE, b"x"), (archive.HEADS, text)))
    with pytest.raises(BadBackup, match="The signed ends of the audit log"):
        restoring.restore(file)
    assert archive.check(io.BytesIO(backup((archive.DATABASE, b"x"), (archive.HEADS, text[: -len(line) - 1])))).heads


def test_a_backup_holds_whole_heads_or_is_not_made(settings, tmp_path):
    settings.DATA_DIR, settings.AUDIT_HEADS_FILE = tmp_path, str(tmp_path / "heads.jsonl")
    line = json.dumps(HEAD).encode() + b"\n"
    (tmp_path / "heads.jsonl").write_bytes(line + line[:20])  # a worker is writing the second
    taking._files(writer := archive.Writer(io.BytesIO()), with_keys=False)
    assert [part.size for part in writer.parts] == [len(line)]
    (tmp_path / "heads.jsonl").write_bytes(line[:20] + b"\n" + line)
    with pytest.raises(BackupError, match="heads.jsonl cannot be restored from"):
        taking._files(archive.Writer(io.BytesIO()), with_keys=False)


def test_ends_and_migrations_are_read_as_they_were_written():
    audit = {"ends": [END], "public_key": "0" * 64}
    whole = backup((archive.DATABASE, b"x"), audit=audit, migrations=[["chat", "0001_initial"]])
    manifest = archive.check(io.BytesIO(whole)).manifest
    assert manifest["audit"]["ends"] == [{**END, "workspace_id": UUID(END["workspace_id"])}]
    assert manifest["migrations"] == [("chat", "0001_initial")]


def test_an_odd_manifest_is_refused_before_valkey_forgets_anything(monkeypatch, tmp_path):
    def forget():
        raise AssertionError("Valkey is emptied")

    monkeypatch.setattr("config.backups.restoring._forget", forget)
    (tmp_path / "odd.tar").write_bytes(backup((archive.DATABASE, b"x"), keys=[]))
    with pytest.raises(CommandError, match="The manifest cannot be read"):
        call_command("restore", str(tmp_path / "odd.tar"), "--replace")


def test_a_backup_of_a_newer_version_is_refused_whose_schema_is_ours(monkeypatch, tmp_path):
    monkeypatch.setattr("config.backups.restoring._images", lambda held: pytest.fail("it was begun"))
    (tmp_path / "newer.tar").write_bytes(backup((archive.DATABASE, b"x"), version="9.10.0"))
    with pytest.raises(CommandError, match=r"version 9\.10\.0, which is newer"):
        call_command("restore", str(tmp_path / "newer.tar"), "--replace")
    with pytest.raises(CommandError, match="There is no file .*Nothing was begun"):
        call_command("restore", str(tmp_path / "none.tar"))


@pytest.mark.parametrize("name", ["backups", "backups/", "copy.tar/"])
def test_a_folder_that_is_not_there_becomes_no_file(tmp_path, name):
    with pytest.raises(CommandError, match="There is no folder .*mount it or make it"):
        call_command("backup", f"{tmp_path}/{name}")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("name", ["cut in the database", "a foreign tar", "a byte of an image changed"])
def test_a_bad_file_changes_nothing(home, tmp_path, name):
    file = tmp_path / "bad.tar"
    file.write_bytes(BAD[name])
    done = home.manage("restore", str(file), "--replace")
    assert done.returncode == 1, done.stdout + done.stderr
    assert not (home.folder / "attachments").exists()
    assert not (home.folder / "audit_key").exists()
    place = embedded_home.find(home.folder)
    with embedded.running([embedded.postgres(place, durable=False)]), psycopg.connect(place.database_url) as link:
        assert link.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchall() == [(0,)]


@pytest.mark.long
def test_a_backup_of_a_newer_version_is_refused(home, tmp_path):
    file = tmp_path / "newer.tar"
    file.write_bytes(backup((archive.DATABASE, b"x"), migrations=[["chat", "9999_later"]]))
    done = home.manage("restore", str(file))
    assert done.returncode == 1
    assert "chat.9999_later" in done.stderr
