"""The inbox outside the admin: its lists, a request's page, and who sees and decides what."""

import datetime
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Actor, Group, Membership, Role, User, Workspace
from approvals.models import Approval, Decision
from approvals.pages import listing
from approvals.services import approvals
from core import ids
from tests.approvals.browsing import INBOX, TOGETHER, WAITING, Site, ask, listed, page_of, plain, post
from tests.approvals.desk import Desk, events, fresh, request, untouched
from tests.cast import person


def test_what_ends_within_minutes_stands_first_then_the_gravest(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    ask(desk, member, "a", "read")
    ask(desk, member, "b", "destructive")
    ask(desk, member, "c", "destructive", request_lasts=datetime.timedelta(hours=1))
    ask(desk, member, "d", "write", request_lasts=datetime.timedelta(minutes=5))
    assert listed(site(manager)) == ["d", "c", "b", "a"]


def test_each_list_has_what_it_says(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, auditor: Actor, site: Site
) -> None:
    ask(desk, member, "waits")
    ask(desk, manager, "own")
    over = ask(desk, member, "over")
    approvals.decide(over.pk, by=colleague, decision=Decision.APPROVE)
    client = site(manager)
    assert [listed(client, show) for show in ("mine", "asked", "decided")] == [["waits"], ["own"], ["over"]]
    assert sorted(listed(client, "all")) == ["own", "waits"]
    assert listed(client, "nonsense") == ["waits"]
    client = site(auditor)
    assert (listed(client), sorted(listed(client, "all"))) == ([], ["own", "waits"])
    client = site(member)
    assert (listed(client), sorted(listed(client, "asked")), listed(client, "decided")) == ([], ["over", "waits"], [])
    assert listed(client, "all") == [], "a member reads no workspace: it is the list of what is theirs to decide"


def test_what_was_decided_last_stands_first_however_long_ago_it_was_asked(
    desk: Desk, member: Actor, manager: Actor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST", 2)
    rows = [ask(desk, member, f"s{number}") for number in range(3)]
    for row in reversed(rows):
        approvals.decide(row.pk, by=manager, decision=Decision.APPROVE)
    assert listed(site(manager), "decided") == ["s0", "s1"]


def test_a_vote_that_is_given_takes_the_request_from_ones_own_list(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site
) -> None:
    approval = ask(desk, member, "billing", quorum_approve=2)
    assert post(site(manager), approval).status_code == 302
    assert (listed(site(manager)), listed(site(colleague))) == ([], ["billing"])
    page = site(manager).get(page_of(approval)).text
    assert re.search(r'<ul class="votes">.*?<time data-up="\d+">\d+ s</time> ago', page, re.DOTALL), "it counts on"
    text = plain(page)
    assert "Your vote is counted. It waits for the votes of others: Managers, Admins." in text
    assert "1 of 2 votes to approve" in text


def test_a_member_of_a_group_that_is_asked_sees_and_decides_that_alone(
    desk: Desk, member: Actor, manager: Actor, workspace: Workspace, site: Site
) -> None:
    helper, group = person(workspace, "helper"), Group.objects.create(workspace=workspace, name="On call")
    group.members.add(helper.user)
    ask(desk, member, "others")
    asked = ask(desk, member, "grouped", roles=(), groups=(group.pk,))
    client = site(helper)
    assert listed(client) == ["grouped"]
    page = client.get(page_of(asked)).text
    assert "Earlier decisions" not in page, "what others asked for is not theirs to read"
    assert post(client, asked).status_code == 302
    assert (fresh(asked).status, listed(client, "decided")) == ("approved", ["grouped"])


def test_a_list_is_bounded_and_says_so(
    desk: Desk, member: Actor, manager: Actor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST", 2)
    for number in range(3):
        ask(desk, member, f"s{number}")
    for show in ("mine", "all"):
        page = site(manager).get(INBOX, {"show": show}).text
        assert page.count('class="request ') == 2
        assert "there are more behind them" in page


def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    client = site(manager)

    def queries(show: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(INBOX, {"show": show}).status_code == 200
        return len(captured)

    ask(desk, member, "first")
    few = {show: queries(show) for show in listing.Show}
    for number in range(5):
        ask(desk, member, f"s{number}")
        approvals.decide(ask(desk, member, f"t{number}").pk, by=manager, decision=Decision.APPROVE)
    assert {show: queries(show) for show in listing.Show} == few
    assert max(few.values()) <= 14


def test_an_open_list_is_told_what_became_of_its_rows(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, stranger: Actor, site: Site
) -> None:
    gone, foreign = ask(desk, member, "gone"), ask(desk, stranger, "yonder")
    approvals.decide(gone.pk, by=colleague, decision=Decision.APPROVE)
    known = f"{gone.pk},{foreign.pk},nonsense"
    text = site(manager).get(INBOX, {"fragment": "1", "known": known}).text
    assert "Approved by <bdi>Colleague</bdi>" in text
    assert str(foreign.pk) not in text
    assert "<html" not in text


def test_what_waits_is_counted_with_the_newest_in_words(desk: Desk, member: Actor, manager: Actor, site: Site) -> None:
    ask(desk, member, "first")
    newest = ask(desk, member, "second\u202e", "destructive")
    told = site(manager).get(WAITING).json()
    assert told["waiting"] == "2"
    assert told["newest"][0] == {
        "id": str(newest.pk),
        "title": "service_restart waits for your decision",
        "text": "Destructive: Restart second⟨U+202E⟩.",
    }
    assert site(member).get(WAITING).json() == {"waiting": "0", "newest": []}


# One request


def test_the_page_shows_what_would_run_and_why_it_is_asked(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval = request(desk, member, call={"arguments": {"service": "billing", "count": 2}}, quorum_approve=2)
    page = site(manager).get(page_of(approval))
    text = plain(page.text)
    for told in (
        "Restart billing.", '"count": 2', '"service": "billing"', "devops", member.user.email, "Restarts, version 1",
        "Managers, Admins", approval.digest, "0 of 2 votes to approve", "left to decide", "Earlier decisions",
    ):  # fmt: skip
        assert told in text, told
    assert "no-store" in page["Cache-Control"]
    assert "script-src 'self';" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]
    assert "/admin/" not in page.text, "who is no staff has no way there"


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\u200b{{ 7*7 }}"


def test_what_a_model_writes_is_text_and_all_of_it_can_be_seen(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval = request(desk, member, call={"agent": "a<b>", "arguments": {"service": HOSTILE, HOSTILE: [HOSTILE]}})
    told = {"sentence": HOSTILE, "amount": HOSTILE, "recipients": [HOSTILE], "details": {HOSTILE: HOSTILE}}
    Approval.objects.filter(pk=approval.pk).update(preview=told, risk="destructive")
    other = ask(desk, member, "b")
    Approval.objects.filter(pk=other.pk).update(preview=told)
    ask(desk, member, "c")
    client = site(manager)
    for address in (INBOX, page_of(approval), page_of(approval, "approve"), f"{TOGETHER}?tool=service_restart"):
        page = client.get(address)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "⟨U+202E⟩" in page.text
        assert "{{ 7*7 }}" in page.text


def test_earlier_decisions_are_as_old_as_the_decision_and_not_as_the_request(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site
) -> None:
    earlier, now = ask(desk, member, "earlier"), ask(desk, member, "now")
    Approval.objects.filter(pk=earlier.pk).update(created_at=earlier.created_at - datetime.timedelta(days=2))
    approvals.decide(earlier.pk, by=colleague, decision=Decision.APPROVE)
    text = plain(site(manager).get(page_of(now)).text).split("Earlier decisions on this tool")[1]
    assert re.search(r"Approved \d+ s ago by Colleague", text)


# Who may


@pytest.mark.parametrize(
    ("who", "sees", "decides"),
    [("manager", True, True), ("owner", True, True), ("auditor", True, False), ("member", True, False),
     ("bystander", False, False), ("stranger", False, False), ("boss", False, False)],
)  # fmt: skip
def test_who_sees_and_who_decides(
    who: str, sees: bool, decides: bool, desk: Desk, member: Actor, manager: Actor, owner: Actor, auditor: Actor,
    stranger: Actor, workspace: Workspace, other_workspace: Workspace, site: Site,
) -> None:  # fmt: skip
    people = {"member": member, "manager": manager, "owner": owner, "auditor": auditor, "stranger": stranger}
    people |= {"bystander": person(workspace, "bystander"), "boss": person(other_workspace, "boss", Role.ADMIN)}
    approval = ask(desk, member, "billing")
    client = site(people[who])
    page = client.get(page_of(approval))
    assert page.status_code == (200 if sees else 404)
    assert ('value="approve"' in page.text) is decides
    assert client.get(page_of(approval, "standing")).status_code == (200 if sees else 404)
    if not sees:
        unknown = client.get(f"{INBOX}{ids.new()}/")
        assert unknown.status_code == 404
        assert plain(unknown.text).split("Request")[0] == plain(page.text).split("Request")[0]
    answer = post(client, approval)
    assert answer.status_code == (302 if decides else 403 if sees else 404)
    assert fresh(approval).status == ("approved" if decides else "pending")
    assert events(approval)[1:] == ["approved" if decides else "denied_attempt"]


def test_the_requester_reads_how_it_stands_and_whom_it_waits_for(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval = ask(desk, member, "billing")
    page = site(member).get(page_of(approval))
    text = plain(page.text)
    assert "is decided by somebody else. Asked are: Managers, Admins." in text
    assert "<form" not in page.text.split('<main id="content"')[1]
    approvals.decide(approval.pk, by=manager, decision=Decision.REJECT, reason="Not today.")
    text = plain(site(member).get(page_of(approval)).text)
    assert "Rejected by Manager (manager@home.example)" in text
    assert "Not today." in text


def test_nobody_gets_in_without_signing_in(desk: Desk, member: Actor) -> None:
    approval = ask(desk, member, "billing")
    for address in (
        INBOX,
        WAITING,
        TOGETHER,
        *(page_of(approval, name) for name in ("", "standing", "approve", "edit")),
    ):
        answer = Client().get(address)
        assert answer.status_code == 302
        assert "login" in answer["Location"]
    assert post(Client(), approval).status_code == 302
    assert untouched(approval)


def test_a_request_of_another_workspace_of_ones_own_leads_there(
    desk: Desk, member: Actor, manager: Actor, other_workspace: Workspace, site: Site
) -> None:
    there = person(other_workspace, "worker")
    approval, client = ask(desk, there, "yonder"), site(manager)
    assert client.get(page_of(approval)).status_code == 404
    Membership.objects.create(workspace=other_workspace, user=manager.user, role=Role.MANAGER)
    page = client.get(page_of(approval))
    assert "This request is in another workspace" in page.text
    assert "Restart" not in page.text
    for name in ("", "approve", "edit"):
        refused = post(client, approval, to=name)
        assert refused.status_code == 409
        assert "Nothing was decided." in refused.text
    assert events(approval) == ["requested"], "who may decide it there is nobody to warn of"
    moved = client.post("/account/workspace/", {"workspace": str(other_workspace.pk), "next": page_of(approval)})
    assert moved["Location"] == page_of(approval)
    assert "Restart yonder." in plain(client.get(page_of(approval)).text)
    assert post(client, approval).status_code == 302


def test_rights_that_have_ended_are_looked_at_when_deciding(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    approval, client = ask(desk, member, "billing"), site(manager)
    assert 'value="approve"' in client.get(page_of(approval)).text
    Membership.objects.filter(user=manager.user).update(role=Role.AUDITOR)
    assert post(client, approval).status_code == 403
    User.objects.filter(pk=manager.user.pk).update(is_active=False)
    assert post(client, approval).status_code == 302
    assert untouched(approval)
