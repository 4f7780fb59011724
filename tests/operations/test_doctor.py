"""The doctor at a deployment that works, and at ones with something amiss."""

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.db.models.functions import Now

from accounts.services import keys
from approvals.models import OutboxItem
from approvals.services import heads, roles, sealing
from chat.models import Run
from config import bootstrap, prepared
from config.doctor import Level, Wanted, examine, identities, servers, surroundings, work
from config.management.commands import chat
from config.stack import _summary
from tests.chat.conftest import say  # noqa: F401  a fixture
from tests.servers import oidc
from tests.servers.stack import eventually

pytestmark = pytest.mark.timeout(600)
WANTED = Wanted()


def doctor(stack, *arguments: str, **env: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """The exit code, and the findings of each part as level and text."""
    argv = [sys.executable, "manage.py", "doctor", "--json", *arguments]
    own = {**stack.env, "PUBLIC_URL": stack.base_url or "http://localhost:9", **env}
    done = subprocess.run(argv, env=own, cwd=bootstrap.BASE_DIR, capture_output=True, text=True, check=False)
    found: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["part"], []).append((one["level"], one["text"]))
        assert bool(one["todo"]) == (one["level"] != "OK"), one
    return done.returncode, found


def bad(found: dict[str, list[tuple[str, str]]]) -> set[str]:
    return {part for part, several in found.items() if "BAD" in dict(several)}


@pytest.mark.long
def test_a_deployment_that_works_has_nothing_to_mend_and_one_whose_parts_died_says_which(stack):
    made = stack(webs=1, workers=1)
    heads = "from approvals.services import heads, sealing\nwhile sealing.seal(): pass\nheads.sign_heads()"
    made.manage("shell", "-c", heads)
    code, found = doctor(made, "--audit")
    assert bad(found) == set(), found
    assert code == 0
    assert "RESET ROLE" in dict(found["role"])["WARN"], "under make up the owner takes the role"
    made.stop("web1")
    made.stop("worker1")
    ((newest,),) = made.sql("SELECT max(name) FROM django_migrations WHERE app = 'chat'")
    made.sql(f"UPDATE django_migrations SET name = 'gone' WHERE app = 'chat' AND name = '{newest}'")
    code, found = doctor(made)
    assert code == 1
    assert {"web", "workers", "database"} <= bad(found), found
    assert any(f"chat.{newest}" in text for _, text in found["database"])
    made.stop("valkey")
    _, found = doctor(made)
    assert "valkey" in bad(found)
    made.stop("postgres")
    code, found = doctor(made)
    assert code == 1
    assert any("does not answer" in text for _, text in found["database"])
    text = subprocess.run(
        [sys.executable, "manage.py", "doctor"], env=made.env, cwd=bootstrap.BASE_DIR, capture_output=True, text=True,
        check=False,
    ).stdout  # fmt: skip
    assert "BAD   database" in text
    assert "→ Start it" in text
    assert "Traceback" not in text


@pytest.mark.long
def test_a_log_that_was_tampered_with_is_found(stack):
    made = stack(webs=1, workers=1)
    key = """
from accounts.models import Membership
from accounts.services import keys
one = Membership.objects.first()
keys.create(workspace=one.workspace, user=one.user, name="x")
"""
    made.manage("shell", "-c", key)
    eventually(lambda: made.sql("SELECT count(*) FROM approvals_auditunsealed") == [(0,)], "the chain holds all")
    made.manage("shell", "-c", "from approvals.services import heads; heads.sign_heads()")
    made.sql("ALTER TABLE approvals_auditpayload DISABLE TRIGGER ALL")
    made.sql("UPDATE approvals_auditpayload SET data = '{}'")
    assert "audit log" not in bad(doctor(made)[1])
    assert "audit log" in bad(doctor(made, "--audit")[1])
    made.sql("ALTER TABLE approvals_auditseal DISABLE TRIGGER ALL")
    made.sql("DELETE FROM approvals_auditseal")
    assert "audit log" in bad(doctor(made)[1])


def told(check: Any) -> dict[str, str]:
    return {one.text: one.level for one in examine([("x", check)], WANTED)}


def levels(check: Any) -> list[str]:
    return [one.level for one in examine([("x", check)], WANTED)]


@pytest.fixture
def public(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "as the settings say")
    settings.PUBLIC_URL, settings.HTTPS, settings.DATA_DIR = "https://ai.example.org", True, tmp_path
    settings.ALLOWED_HOSTS = ["ai.example.org"]
    return settings


def test_a_public_address_behind_tls_is_well(public, monkeypatch):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    assert levels(surroundings.check_address) == [Level.OK]


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("HTTPS", False, Level.BAD),
        ("PUBLIC_URL", "http://ai.example.org", Level.BAD),
        ("ALLOWED_HOSTS", ["localhost"], Level.BAD),
        ("ALLOWED_HOSTS", ["*"], Level.WARN),
        ("PUBLIC_URL", "http://localhost:8000", Level.BAD),
    ],
)
def test_an_address_that_is_not_safe_is_told(public, monkeypatch, name, value, level):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    setattr(public, name, value)
    assert level in levels(surroundings.check_address)


def test_demo_accounts_in_public_are_told(public, tmp_path, monkeypatch):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    (tmp_path / "demo.json").write_text("{}")
    assert Level.BAD in levels(surroundings.check_address)
    public.PUBLIC_URL = "http://localhost:8000"
    assert "the demo's accounts open a public installation" in told(surroundings.check_address)


def test_it_is_local_where_all_that_is_answered_is(public, monkeypatch):
    public.PUBLIC_URL, public.ALLOWED_HOSTS = "http://localhost:8000", ["localhost", "127.0.0.1", "[::1]"]
    monkeypatch.delenv("HOST", raising=False)
    assert levels(surroundings.check_address) == [Level.OK]
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert Level.BAD in levels(surroundings.check_address)


def test_an_address_that_nobody_named_is_not_known(public, monkeypatch, tmp_path):
    monkeypatch.delenv("PUBLIC_URL")
    public.PUBLIC_URL = "http://localhost:9"
    for check in (surroundings.check_address, work.check_web):
        assert ["PUBLIC_URL is not set here" in text for text in told(check)] == [True]
        assert levels(check) == [Level.WARN]
    prepared.mark(tmp_path, "http://127.0.0.1:9")
    assert ["make up answered at http://127.0.0.1:9" in text for text in told(surroundings.check_address)] == [True]
    assert levels(work.check_web) == [Level.BAD]


@pytest.mark.parametrize("kept", [(), ("secret_key",)])
@pytest.mark.parametrize("command", ["doctor", "audit", "backup", "policy", "dbshell"])
def test_where_nothing_is_nothing_is_made(monkeypatch, settings, tmp_path, command, kept):
    monkeypatch.setenv("DATABASE_AS_OWNER", "1")  # some set it, and it goes with this test
    for name in ("DATABASE_URL", "REDIS_URL", "DATABASE_URL_FILE", "REDIS_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("COUNTERSIGN_KEY", raising=False)
    folder = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(folder))
    for name in kept:
        folder.mkdir()
        (folder / name).write_text("x")
    monkeypatch.setenv("SECRET_KEY", "x")
    settings.DATA_DIR, words = folder, f"Set COUNTERSIGN_KEY.*set DATA_DIR.*not {folder}"
    with bootstrap.django_command(["manage.py", "chat"]), pytest.raises(CommandError, match=words):
        chat._where("http://localhost:9", "")
    with pytest.raises(SystemExit, match="nothing was made"), bootstrap.django_command(["manage.py", command]):
        pytest.fail("it went on")
    assert [path.name for path in tmp_path.rglob("*")] == (["data", *kept] if kept else [])


def test_where_an_installation_without_a_demo_answers_is_told_at_its_start(tmp_path):
    told_at_start = _summary("http://127.0.0.1:8001", tmp_path)
    for path in ("/", "/approvals/", "/console/", "/admin/", "/api/docs/"):
        assert f" http://127.0.0.1:8001{path}\n" in told_at_start, path
    assert "demo" not in told_at_start


def test_a_data_directory_that_is_not_there_is_told(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "none"
    assert told(surroundings.check_files) == {f"{tmp_path / 'none'} is not there": Level.BAD}


@pytest.mark.django_db
def test_ends_are_not_checked_with_a_key_that_would_be_made_for_it(settings, tmp_path):
    settings.DATA_DIR, settings.AUDIT_SIGNING_KEY = tmp_path, ""
    assert levels(work.check_audit) == [Level.OK]
    (found,) = examine([("x", work.check_audit)], Wanted(audit=True))
    assert (found.level, "no key is here" in found.text) == (Level.WARN, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.django_db
def test_what_waits_for_people_is_told_however_long_it_waits(workspace, say):  # noqa: F811
    assert told(work.check_waiting) == {"nothing is left to people": Level.OK}
    Run.objects.filter(pk=say("Well?").pk).update(state="waiting_approval")
    assert [(text[:28], level) for text, level in told(work.check_waiting).items()] == [
        ("1 answers wait for people, s", Level.OK)
    ]
    Run.objects.update(created_at=Now() - timedelta(days=40))
    OutboxItem.objects.create(workspace=workspace, topic="email", type="x", failed_at=Now() - timedelta(days=20))
    assert levels(work.check_waiting) == [Level.WARN, Level.WARN]
    assert ["notices were given up, since" in text for text in told(work.check_waiting)] == [True, False]


@pytest.mark.django_db
def test_a_chain_that_grows_without_signed_ends_is_told(workspace, member, monkeypatch, settings, tmp_path):
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")
    keys.create(workspace=workspace, user=member.user, name="x")
    while sealing.seal():
        pass
    assert levels(work.check_audit) == [Level.OK]
    monkeypatch.setattr(work, "LATE", timedelta(seconds=-1))  # as if that were long ago
    assert levels(work.check_audit) == [Level.WARN]
    heads.sign_heads()
    assert levels(work.check_audit) == [Level.OK]


@pytest.mark.django_db
def test_a_role_that_is_only_taken_is_told():
    with connection.cursor() as cursor:
        roles.grant("doctored")
        assert "could change the audit log" in " ".join(told(servers.check_role))
        cursor.execute("SET LOCAL ROLE doctored")
        assert ["by RESET ROLE" in text for text in told(servers.check_role)] == [True]


def test_secrets_that_others_can_read_are_told(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    tmp_path.chmod(0o700)
    secret = tmp_path / "secret_key"
    secret.write_text("x")
    secret.chmod(0o644)
    assert Level.BAD in levels(surroundings.check_files)
    secret.chmod(0o600)
    assert told(surroundings.check_files)[f"{tmp_path} is its user's alone"] == Level.OK


def test_a_mail_server_that_is_away_is_told(settings):
    assert levels(surroundings.check_mail) == [Level.WARN]
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert levels(surroundings.check_mail) == [Level.BAD]


@pytest.mark.django_db
def test_an_identity_provider_that_is_away_and_rules_for_no_workspace_are_told(workspace, settings):
    assert told(identities.check_provider) == {}
    with oidc.serving() as at:
        settings.OIDC_ISSUER, settings.OIDC_NAME, settings.OIDC_WORKSPACE = at.issuer, "Acme", workspace.slug
        assert told(identities.check_provider) == {f"Acme answers at {at.issuer}": Level.OK}
        at.down = frozenset({"/keys"})
        settings.OIDC_WORKSPACE = "misspelt"
        assert told(identities.check_provider) == {
            f"{at.issuer}: the provider answered 500": Level.BAD,
            "OIDC_WORKSPACE=misspelt names no workspace": Level.BAD,
        }
    settings.OIDC_ISSUER, settings.OIDC_WORKSPACE = "http://127.0.0.1:9", ""
    assert levels(identities.check_provider) == [Level.BAD]


def test_a_key_that_no_sealing_key_opens_is_told(workspace, settings):
    workspace.providers.create(name="lost", base_url="http://127.0.0.1:9/v1", api_key="sk-1")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_provider SET api_key = 'gAAAAAB-not-of-our-keys'")
    assert told(work.check_providers)[f"the key of lost ({workspace.slug}) opens with no present key"] == Level.BAD


def test_a_check_that_breaks_down_is_a_finding():
    def breaks(_):
        raise KeyError("x")
        yield

    (found,) = examine([("part", breaks)], WANTED)
    assert (found.level, found.part) == (Level.BAD, "part")
