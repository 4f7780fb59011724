"""A person exported and erased at a real stack, and looked for in a dump of the whole database afterwards."""

import io
import json
import os
import subprocess
import sys
import zipfile

import httpx
import pytest

from config import bootstrap
from core import embedded_home
from tests.chat.asking import Person
from tests.pictures import sent
from tests.servers.stack import eventually

pytestmark = pytest.mark.timeout(600)
CANARIES = {
    "said": "quixotilla-said", "remembered": "quixotilla-note", "title": "quixotilla-title", "logs": "quixotilla-logs",
    "reason": "quixotilla-reason", "key": "quixotilla-key", "asked": "quixotilla-asked", "name": "Quixotilla Person",
}  # fmt: skip
NOTE = {"layer": "preferences", "type": "coffee", "content": f"likes {CANARIES['remembered']}"}


@pytest.fixture
def lived(stack):
    """A stack at which a member and a manager left canaries wherever people can leave something."""
    made = stack(webs=1, workers=1)
    member, manager = Person(made, "member"), Person(made, "manager")
    said = f"I am {CANARIES['said']} [[rehearse: interval=0]]"
    body = {"message": said, "companion": "devops", "attachments": [sent()]}
    answer = member.http.post("/v1/ai/chat", json=body, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 200, answer.text
    title = {"title": CANARIES["title"]}
    assert member.http.patch(f"/v1/ai/sessions/{answer.json()['session_id']}", json=title).status_code == 200
    assert member.http.post("/v1/ai/memory/import", json={"memories": [NOTE]}).status_code == 200
    read = f'[[rehearse: call=service_logs {{"service": "{CANARIES["logs"]}"}}]]'
    assert member.http.post("/v1/ai/chat", json={"message": read, "companion": "devops"}).status_code == 200
    for _ in range(2):
        ask = f'{CANARIES["asked"]} [[rehearse: call=service_restart {{"service": "web"}}]]'
        assert member.http.post("/v1/ai/chat", json={"message": ask, "companion": "devops"}).status_code == 202
    first = manager.http.get("/v1/ai/approvals").json()["approvals"][0]
    digest = manager.approval(first["id"])["digest"]
    no = {"decision": "reject", "reason": CANARIES["reason"], "digest": digest}
    assert manager.decide(first["id"], **no).status_code == 200
    eventually(lambda: made.sql("SELECT count(*) FROM chat_run WHERE state = 'running'") == [(0,)], "all runs rest")
    key = f"""
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from accounts.models import ApiKey, Membership, User
from accounts.services import keys, people
admin = User.objects.get(email="admin@demo.example")
user = User.objects.get(email="{member.email}")
user.name = "{CANARIES["name"]}"
people.save(user, by=admin)
TOTP.activate(user, generate_totp_secret())
workspace = Membership.objects.get(user=user).workspace
keys.create(workspace=workspace, user=user, name="{CANARIES["key"]}", by=admin)
"""
    made.manage("shell", "-c", key)
    yield made, member, manager
    for one in (member, manager):
        one.http.close()


def dump(stack) -> str:
    place = stack.home
    program = embedded_home.programs(place) / embedded_home.POSTGRES_PROGRAMS / "bin" / "pg_dump"
    return subprocess.run([program, "--dbname", place.database_url], capture_output=True, check=True).stdout.decode()


def erase(stack, email: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "manage.py", "person", "erase", email, "--yes"]
    return subprocess.run(argv, env=stack.env, cwd=bootstrap.BASE_DIR, capture_output=True, text=True, check=False)


def test_nothing_of_a_person_is_left_once_they_were_erased(lived):
    stack, member, manager = lived
    before = dump(stack)
    for what in (*CANARIES.values(), member.email):
        assert what in before, what
    files = [path for path in (stack.folder / "attachments").rglob("*") if path.is_file()]
    assert len(files) == 1
    done = erase(stack, member.email)
    assert done.returncode == 0, done.stdout + done.stderr
    after = dump(stack)
    left = [what for what in (*CANARIES.values(), member.email) if what in after]
    # What another wrote of them, as a reason for what was decided, went with the request that it is about.
    assert left == []
    assert not files[0].exists()
    assert "The log is what was written" in stack.manage("audit", "verify")
    assert stack.sql("SELECT count(*) FROM approvals_approval WHERE status = 'pending'") == [(0,)]
    assert stack.sql("SELECT count(*) FROM memory_tombstone") != [(0,)]
    login = stack.demo["users"]["member"]
    tried = {"email": login["email"], "password": login["password"]}
    assert httpx.post(f"{stack.base_url}/v1/auth/login", json=tried, trust_env=False).status_code == 401
    assert member.http.get("/v1/ai/sessions").status_code == 401
    assert httpx.get(f"{stack.base_url}/v1/ai/info", headers=stack.headers, trust_env=False).status_code == 401
    assert manager.http.get("/v1/ai/approvals").status_code == 200
    assert stack.sql("SELECT count(*) FROM approvals_auditevent WHERE type = 'person.erased'") == [(1,)]
    again = erase(stack, member.email)
    assert again.returncode == 1
    assert "Nobody has the address" in again.stderr


@pytest.mark.long
def test_a_person_takes_everything_along(lived, tmp_path):
    stack, member, _ = lived
    target = tmp_path / "mine.zip"
    stack.manage("person", "export", member.email, str(target))
    assert os.stat(target).st_mode & 0o777 == 0o600
    by_command = _unpacked(target.read_bytes())
    answer = member.http.get("/v1/auth/me/export")
    assert answer.headers["Content-Type"] == "application/zip"
    by_api = _unpacked(answer.content)
    assert set(by_api) == set(by_command)
    for found in (by_command, by_api):
        text = "".join(data.decode(errors="replace") for name, data in found.items() if not name.endswith(".png"))
        assert [what for what in (*CANARIES.values(), member.email) if what not in text] == []
    talks = [json.loads(data) for name, data in by_api.items() if "/conversations/" in name]
    assert [one["title"] for one in talks if one["title"] == CANARIES["title"]]
    assert [name for name in by_api if name.startswith("demo/images/")]
    stranger = httpx.get(f"{stack.base_url}/v1/auth/me/export", trust_env=False)
    assert stranger.status_code == 401
    page = {"Authorization": f"Bearer {stack.demo['keys']['publishable']}"}
    assert httpx.get(f"{stack.base_url}/v1/auth/me/export", headers=page, trust_env=False).status_code == 403


def _unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}
