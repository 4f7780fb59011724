"""The audit browser: what it lists and finds, what it says of one event, and that it neither counts nor skips rows."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Actor, Role, User, Workspace
from approvals.models import AuditEvent, AuditPayload, Decision
from approvals.services import approvals, audit, sealing
from core.ledger import INSTALLATION
from tests.approvals.desk import Desk, request
from tests.cast import person

LIST = "/admin/approvals/auditevent/"
Browser = Callable[[Actor], Client]


def tell(workspace_id: Any, type: str = "run.started", actor: Actor | None = None, **more: Any) -> AuditEvent:
    who = audit.person(actor) if actor else audit.SYSTEM
    with transaction.atomic():
        audit.record(audit.Entry(type=type, workspace_id=workspace_id, who=who, **more))
    return AuditEvent.objects.order_by("-pk").first()


def listed(client: Client, query: str = "") -> list[str]:
    """The ids of the events on a page, in its order."""
    page = client.get(f"{LIST}?{query}")
    assert page.status_code == 200
    return list(dict.fromkeys(re.findall(rf"{LIST}([0-9a-f-]{{36}})/change/", page.text)))


def ids_of(*events: AuditEvent) -> list[str]:
    return [str(event.pk) for event in events]


def test_the_newest_stand_first_and_other_workspaces_nowhere(
    manager: Actor, workspace: Workspace, other_workspace: Workspace, browser: Browser
) -> None:
    first, second = tell(workspace.pk), tell(workspace.pk, actor=manager)
    tell(other_workspace.pk)
    tell(INSTALLATION, "login.failed")
    client = browser(manager)
    assert listed(client) == ids_of(second, first)
    text = client.get(LIST).text
    assert manager.user.email in text
    assert "not sealed yet" in text
    sealing.seal()
    assert "not sealed yet" not in client.get(LIST).text


def test_an_operator_sees_the_log_of_all_and_of_the_installation(
    workspace: Workspace, other_workspace: Workspace
) -> None:
    operator = Client()
    operator.force_login(User.objects.create_superuser("operator@example.org"))
    rows = [tell(workspace.pk), tell(other_workspace.pk), tell(INSTALLATION, "login.failed")]
    assert listed(operator) == ids_of(*reversed(rows))
    assert "the installation" in operator.get(LIST).text


def test_events_are_found_by_type_time_and_every_id(
    desk: Desk, member: Actor, manager: Actor, workspace: Workspace, browser: Browser
) -> None:
    approval = request(desk, member)
    approvals.decide(approval.pk, by=manager, decision=Decision.APPROVE)
    other = tell(workspace.pk, "workspace.frozen", manager)
    approved = AuditEvent.objects.get(type="approval.approved")
    requested = AuditEvent.objects.get(type="approval.requested")
    client = browser(manager)
    for query, expected in (
        ("type=approval.approved", ids_of(approved)),
        ("type=nonsense", ids_of(other, approved, requested)),
        (f"q={approved.pk}", ids_of(approved)),
        (f"q={approval.pk}", ids_of(approved, requested)),
        (f"q={approval.session_id}", ids_of(approved, requested)),
        (f"q={manager.user.pk}", ids_of(other, approved)),
        (f"q={manager.user.email.upper()}", ids_of(other, approved)),
        ("q=nobody@example.org", []),
        ("q=nonsense", []),
        ("since=1&type=approval.requested", ids_of(requested)),
    ):
        assert listed(client, query) == expected, query


def test_a_page_goes_on_behind_a_row_and_skips_none(manager: Actor, workspace: Workspace, browser: Browser) -> None:
    rows = ids_of(*reversed([tell(workspace.pk) for _ in range(120)]))
    client, query, seen = browser(manager), "type=run.started", []
    while True:
        seen.append(listed(client, query))
        older = re.search(r'href="\?([^"]+)">Older', client.get(f"{LIST}?{query}").text)
        if older is None:
            break
        query = older[1].replace("&amp;", "&")
        assert "type=run.started" in query
    assert [len(page) for page in seen] == [50, 50, 20]
    assert sum(seen, []) == rows
    with CaptureQueriesContext(connection) as captured:
        client.get(f"{LIST}?{query}")
    assert not any("OFFSET" in one["sql"] for one in captured)
    for strange in ("before=x", "before=", "p=7", "before=00000000-0000-0000-0000-000000000000&p=2"):
        assert client.get(f"{LIST}?{strange}").status_code == 200


def test_an_event_tells_its_payload_and_its_place(desk: Desk, member: Actor, manager: Actor, browser: Browser) -> None:
    approval = request(desk, member)
    event, client = AuditEvent.objects.get(type="approval.requested"), browser(manager)
    page = f"{LIST}{event.pk}/change/"
    assert "It is not sealed yet." in client.get(page).text
    sealing.seal()
    text = client.get(page).text
    for told in ("Place 1, hash", "is the one that was committed to", "service_restart", member.user.email):
        assert told in text
    assert f"/admin/approvals/approval/{approval.pk}/change/" in text
    assert f"commitment {bytes(event.commitment).hex()}" in text
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE approvals_auditpayload DISABLE TRIGGER USER")
        cursor.execute("UPDATE approvals_auditpayload SET data = 'no JSON'")
        assert "THE PAYLOAD IS NOT THE ONE" in client.get(page).text
        cursor.execute("DELETE FROM approvals_auditpayload")
    assert "It was erased; the chain holds without it." in client.get(page).text
    assert not AuditPayload.objects.exists()


def test_nobody_writes_the_log_here(owner: Actor, workspace: Workspace, browser: Browser) -> None:
    event, client = tell(workspace.pk), browser(owner)
    for address in (f"{LIST}add/", f"{LIST}{event.pk}/change/", f"{LIST}{event.pk}/delete/"):
        assert client.post(address, {"type": "x", "post": "yes"}).status_code == 403
    assert AuditEvent.objects.count() == 1


def test_only_who_reads_the_log_verifies_and_exports_it(
    member: Actor, manager: Actor, other_workspace: Workspace, workspace: Workspace, browser: Browser
) -> None:
    boss = person(other_workspace, "boss", Role.ADMIN)
    for name in ("verify", "export"):
        assert browser(manager).get(f"{LIST}{name}/").status_code == 302
        for actor in (member, boss):
            for wanted in (str(workspace.pk), "x", ""):
                assert browser(actor).post(f"{LIST}{name}/", {"workspace": wanted}).status_code == 403
    assert not AuditEvent.objects.filter(type="audit.exported").exists()


def test_a_list_of_any_length_takes_the_same_queries(manager: Actor, workspace: Workspace, browser: Browser) -> None:
    client = browser(manager)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(LIST)
        return len(captured)

    tell(workspace.pk, actor=manager)
    few = queries()
    for _ in range(20):
        tell(workspace.pk, actor=manager)
    sealing.seal()
    assert queries() == few <= 12


@pytest.mark.parametrize("given", ["\u202e", "%00", "x" * 5_000])
def test_a_strange_search_finds_nothing(given: str, manager: Actor, workspace: Workspace, browser: Browser) -> None:
    tell(workspace.pk)
    assert browser(manager).get(LIST, {"q": given}).status_code == 200
