"""Agents and people go by their names wherever people read, and by one name each."""

import html
import re
from collections.abc import Callable
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.test import Client

from accounts.models import Actor, Workspace
from agents.models import Agent
from approvals import directory, texts
from approvals.models import Approval, AuditEvent, Decision, OutboxItem
from approvals.services import approvals, audit
from companions.models import Companion
from tests.approvals.browsing import INBOX, Site, page_of, plain
from tests.approvals.desk import Desk, request
from tests.approvals.telling import wants
from tests.cast import Api

LOG = "/admin/approvals/auditevent/"
ADMIN_INBOX = "/admin/approvals/inbox/"
Browser = Callable[[Actor], Client]


def agent(workspace: Workspace, slug: str = "devops", name: str = "Argus") -> Agent:
    return Agent.objects.create(workspace=workspace, slug=slug, name=name)


def asks(desk: Desk, member: Actor, agent: Agent, **changes: object) -> Approval:
    return request(desk, member, call={"agent": agent.slug, "agent_id": agent.pk}, **changes)


def who(client: Client) -> list[str]:
    """Who did what the log's page tells of, the newest first."""
    found = re.findall(r'class="field-who[^"]*"[^>]*>(.*?)</td>', client.get(LOG).text, re.DOTALL)
    return [plain(html.unescape(one)) for one in found]


def test_an_agent_goes_by_its_name_in_every_list_and_on_every_page(
    desk: Desk, member: Actor, manager: Actor, workspace: Workspace, site: Site, browser: Browser
) -> None:
    Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent(workspace))
    approval = asks(desk, member, Agent.objects.get())
    for client, pages in (
        (site(manager), (INBOX, page_of(approval))),
        (
            browser(manager),
            (ADMIN_INBOX, f"/admin/approvals/approval/{approval.pk}/change/", "/admin/approvals/approval/"),
        ),
    ):
        for page in pages:
            text = re.sub(r'value="devops"', "", client.get(page).text)
            assert "Argus" in text, page
            assert "devops" not in text, page
    assert '<option value="devops" >Argus</option>' in browser(manager).get(ADMIN_INBOX).text


def test_a_notice_says_the_name_once_and_a_webhook_both(
    desk: Desk, member: Actor, manager: Actor, workspace: Workspace
) -> None:
    Companion.objects.create(workspace=workspace, type="devops", name="Argus", agent=agent(workspace))
    approval = asks(desk, member, Agent.objects.get())
    wants(member, events={"approval.decided": {"by": "email", "when": "at_once"}})
    approvals.decide(approval.pk, by=manager, decision=Decision.APPROVE)
    told = OutboxItem.objects.filter(topic="email").order_by("pk")
    assert {row.type for row in told} == {"approval.requested", "approval.decided"}
    for row in told:
        names = ("agent", "agent_name", "companion", "companion_name")
        assert [row.payload[name] for name in names] == ["devops", "Argus", "devops", "Argus"]
        facts = texts.of(row.type, row.payload, approval.created_at).facts
        assert ("Agent", "Argus") in facts
        assert "Companion" not in dict(facts)


def test_the_slug_is_said_where_two_have_a_name_or_there_is_none(
    desk: Desk, member: Actor, manager: Actor, workspace: Workspace, other_workspace: Workspace, site: Site
) -> None:
    first, second = agent(workspace), agent(workspace, "devops-2")
    yonder = agent(other_workspace)
    asks(desk, member, first)
    asks(desk, member, second)
    request(desk, member, call={"agent": "gone", "agent_id": uuid4()})
    request(desk, member, call={"agent": "foreign", "agent_id": yonder.pk})
    found = re.findall(r"<span>by <bdi>(.*?)</bdi>", site(manager).get(INBOX).text)
    assert sorted(found) == ["Argus (devops)", "Argus (devops-2)", "foreign", "gone"]
    assert directory.agents([workspace.pk], [first.pk, yonder.pk]) == {first.pk: "Argus (devops)"}


def test_the_log_names_every_actor(
    member: Actor, manager: Actor, workspace: Workspace, other_workspace: Workspace, browser: Browser, manage: Api
) -> None:
    argus, yonder = agent(workspace), agent(other_workspace, name="Yonder")
    gone = UUID("01890a5d-ac96-774b-bcce-b302099a8058")

    def tell(who: audit.Who) -> None:
        with transaction.atomic():
            audit.record(audit.Entry(type="run.completed", workspace_id=workspace.pk, who=who))

    tell(audit.person(member))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL countersign.erasing = 'on'")
        cursor.execute("DELETE FROM approvals_auditpayload")
        cursor.execute("SET LOCAL countersign.erasing = 'off'")
    for one in (
        audit.agent(argus.pk),
        audit.agent(argus.pk, label="devops"),
        audit.agent(gone, label="devops"),
        audit.agent(gone),
        audit.agent(yonder.pk),
        audit.person(manager),
        audit.SYSTEM,
    ):
        tell(one)
    assert who(browser(manager)) == [
        "Countersign",
        "Manager (manager@home.example)",
        f"agent …{str(yonder.pk)[-6:]}",
        "agent …9a8058",
        "devops",
        "Argus",
        "Argus",
        f"person …{str(member.user.pk)[-6:]}",
    ]
    before = set(AuditEvent.objects.filter(type="run.completed").values_list("pk", flat=True))
    said = [one for one in manage.get("/v1/ai/events?type=run.completed").json()["events"] if UUID(one["id"]) in before]
    assert [one["actor"]["label"] for one in said] == [
        "", "manager@home.example", "", "", "devops", "Argus", "Argus", "",
    ]  # fmt: skip


def test_who_has_voted_is_told_that_others_are_waited_for(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site, browser: Browser
) -> None:
    approval = request(desk, member, quorum_approve=2, quorum_reject=2)
    approvals.decide(approval.pk, by=manager, decision=Decision.APPROVE)
    for text in (site(manager).get(INBOX, {"show": "all"}).text, browser(manager).get(f"{ADMIN_INBOX}?whose=all").text):
        assert "you approved; it waits for others" in text
        assert "not yours to decide" not in text
    assert "Nothing waits for your decision." in browser(manager).get(ADMIN_INBOX).text
    approval = request(desk, member, quorum_approve=2, quorum_reject=2)
    approvals.decide(approval.pk, by=manager, decision=Decision.REJECT, reason="No.")
    assert "you rejected; it waits for others" in site(manager).get(INBOX, {"show": "all"}).text
    assert "it waits for others" not in site(colleague).get(INBOX, {"show": "all"}).text
