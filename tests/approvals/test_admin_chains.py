"""The audit log verified and exported from the admin, beside the requests."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client

from accounts.models import Actor, Workspace
from approvals.admin import chains
from approvals.models import AuditEvent
from approvals.services import audit, heads, proving, sealing
from core.ledger import SYSTEM
from tests.servers.stack import eventually

LIST = "/admin/approvals/auditevent/"
Browser = Callable[[Actor], Client]
pytestmark = pytest.mark.django_db(transaction=True)


def tell(workspace: Workspace, times: int) -> None:
    with transaction.atomic():
        audit.record(*(audit.Entry(type="run.started", workspace_id=workspace.pk, who=SYSTEM) for _ in range(times)))
    sealing.seal()


@pytest.fixture
def _heads(settings: Any, tmp_path: Any) -> None:
    settings.AUDIT_HEADS_FILE, settings.AUDIT_HEADS_URL = str(tmp_path / "heads.jsonl"), ""


def verified(client: Client, workspace: Workspace) -> str:
    """What the list says once the chain was looked at."""
    page = client.post(f"{LIST}verify/", {"workspace": workspace.pk}, follow=True)
    assert "It is being looked at" in page.text
    eventually(lambda: (found := chains.last(workspace.pk)) and found.done, "the look comes to its end")
    return " ".join(client.get(LIST).text.split())


@pytest.mark.usefixtures("_heads")
def test_a_whole_log_is_told_as_whole_and_a_changed_one_is_not(
    manager: Actor, workspace: Workspace, browser: Browser
) -> None:
    tell(workspace, 3)
    heads.sign_heads()
    client = browser(manager)
    before = " ".join(client.get(LIST).text.split())
    assert "3 events in the chain, signed up to 3 at" in before
    assert "It has not been verified here yet." in before
    assert "Whole</b> up to 3, with 1 signed head" in verified(client, workspace)
    event = AuditEvent.objects.earliest("pk")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE approvals_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE approvals_auditevent SET type = 'run.failed' WHERE id = %s", [event.pk])
        cursor.execute("ALTER TABLE approvals_auditevent ENABLE TRIGGER USER")
    page = verified(client, workspace)
    assert "Not whole</b>" in page
    assert "Run <code>manage.py audit verify</code> and keep the database as it is." in page
    assert "Place 1: The event or its hash is not what was written." in page


def test_who_looks_already_is_not_sent_again(
    manager: Actor, workspace: Workspace, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(chains._threads, "submit", lambda *given: sent.append(given))
    client = browser(manager)
    for _ in range(3):
        client.post(f"{LIST}verify/", {"workspace": workspace.pk})
    assert len(sent) == 1
    assert "data-under-way" in client.get(LIST).text
    monkeypatch.setattr(chains, "SILENT_SECONDS", 0)
    assert "did not come to its end" in client.get(LIST).text
    client.post(f"{LIST}verify/", {"workspace": workspace.pk})
    assert len(sent) == 2


def taken(lines: Iterator[proving.Line]) -> list[dict[str, Any]]:
    """An export, taken to its end."""

    async def take() -> bytes:
        return b"".join([piece async for piece in chains.export(lines)])

    return [json.loads(line) for line in asyncio.run(take()).decode().splitlines()]


@pytest.mark.usefixtures("_heads")
def test_an_export_has_every_event_in_its_place(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "LINES", 3)
    tell(workspace, 20)
    heads.sign_heads()
    about, *rest = taken(proving.export(workspace.pk, by=SYSTEM))
    assert (about["events"], [line["seq"] for line in rest[:20]]) == (20, list(range(1, 21)))
    assert rest[20]["head"]["seq"] == 20
    assert AuditEvent.objects.filter(type="audit.exported").count() == 1


def test_an_export_that_breaks_does_not_look_whole(workspace: Workspace) -> None:
    def lines() -> Iterator[proving.Line]:
        yield proving.Line("{}", 0)
        raise OperationalError("gone")

    with pytest.raises(OperationalError):
        taken(lines())


def test_an_export_that_nobody_takes_any_more_is_not_made_to_its_end(workspace: Workspace) -> None:
    made: list[int] = []

    def lines() -> Iterator[proving.Line]:
        for number in range(1_000_000):
            made.append(number)
            yield proving.Line("{}", 0)

    async def leave() -> None:
        pieces = chains.export(lines())
        await anext(pieces)
        await pieces.aclose()

    asyncio.run(leave())
    assert len(made) <= (chains.AHEAD + 3) * chains.LINES
