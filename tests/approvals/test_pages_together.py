"""Several requests that are decided together at the inbox: what was ticked is decided, and told of, whatever happens
meanwhile."""

import re
from typing import Any

import pytest

from accounts.models import Actor, Role, Workspace
from approvals.models import Approval, Decision, Vote
from approvals.pages import listing
from approvals.services import approvals
from core import ids
from tests.approvals.browsing import INBOX, TOGETHER, Site, ask, plain
from tests.approvals.desk import Desk, fresh, request, untouched
from tests.cast import PASSWORD, person


def sent(*rows: Approval, **more: Any) -> dict[str, Any]:
    """The page as a browser sends it, with these rows ticked."""
    digests = {f"digest-{row.pk}": row.digest for row in rows}
    return {"tool": rows[0].tool, "decision": "approve", "ids": [str(row.pk) for row in rows], **digests, **more}


def test_requests_of_one_tool_are_decided_together_each_by_itself(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    rows, grave = [ask(desk, member, f"s{number}") for number in range(4)], ask(desk, member, "grave", "destructive")
    other = request(desk, member, call={"tool": "device_set", "arguments": {"service": "other"}})
    client = site(manager)
    assert "Look at 4 of service_restart together" in plain(client.get(INBOX).text)
    page = client.get(TOGETHER, {"tool": "service_restart"}).text
    assert all(str(row.pk) in page for row in rows)
    assert str(grave.pk) not in page, "what cannot be taken back is decided by itself"
    assert " checked" not in page
    done = client.post(TOGETHER, sent(*rows[:2], grave, other, **{f"digest-{rows[1].pk}": "0" * 64}), follow=True)
    text = plain(done.text)
    assert "Approved: 1 of service_restart." in text
    assert "This is not the digest of what would run now" in text
    assert "Not decided: 2 that you ticked, which cannot be decided here." in text
    assert [fresh(row).status for row in (*rows, grave, other)] == ["approved", *["pending"] * 5]
    assert client.post(TOGETHER, sent(rows[2], decision="reject")).status_code == 400
    assert client.post(TOGETHER, sent(rows[2], decision="reject", reason="No.")).status_code == 302
    assert fresh(rows[2]).status == "rejected"


@pytest.mark.parametrize("changes", [{"ids": []}, {"ids": ["nonsense"]}, {"decision": "respond"}, {"decision": ""}])
def test_together_nothing_is_decided_without_ticks_and_a_word(
    changes: dict[str, Any], desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    row = ask(desk, member, "billing")
    page = site(manager).post(TOGETHER, sent(row, **changes))
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert untouched(row)


def test_what_was_ticked_is_decided_though_more_urgent_requests_came(
    desk: Desk, member: Actor, manager: Actor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_TOGETHER", 2)
    rows, client = [ask(desk, member, f"s{number}") for number in range(2)], site(manager)
    urgent = [ask(desk, member, f"u{number}", "external") for number in range(2)]
    assert "Approved: 2 of service_restart." in plain(client.post(TOGETHER, sent(*rows), follow=True).text)
    assert [fresh(row).status for row in (*rows, *urgent)] == ["approved", "approved", "pending", "pending"]
    many = client.post(TOGETHER, sent(*urgent, ask(desk, member, "third")))
    assert (many.status_code, "tick 2 at most" in many.text) == (400, True)
    assert {fresh(row).status for row in urgent} == {"pending"}


def test_who_is_refused_finds_what_they_ticked_though_more_urgent_requests_came(
    desk: Desk, member: Actor, manager: Actor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_TOGETHER", 2)
    ticked = ask(desk, member, "ticked")
    for number in range(2):
        ask(desk, member, f"u{number}", "external")
    page = site(manager).post(TOGETHER, sent(ticked, decision="reject"))
    assert page.status_code == 400
    assert re.findall(r'name="ids" value="([^"]+)"( checked)?', page.text)[0] == (str(ticked.pk), " checked")
    assert page.text.count('name="ids"') == 2


def test_together_too_who_comes_second_is_told_whose_decision_stands(
    desk: Desk, member: Actor, manager: Actor, colleague: Actor, site: Site
) -> None:
    over, open_now = ask(desk, member, "over"), ask(desk, member, "open")
    approvals.decide(over.pk, by=colleague, decision=Decision.REJECT, reason="No.")
    text = plain(site(manager).post(TOGETHER, sent(over, open_now), follow=True).text)
    assert "Approved: 1 of service_restart." in text
    assert re.search(r"Restart over\.: Your decision was not counted\. Colleague rejected this", text)
    assert [fresh(row).status for row in (over, open_now)] == ["rejected", "approved"]


def test_together_too_what_is_sent_twice_is_counted_once_and_told_as_done(
    desk: Desk, member: Actor, manager: Actor, site: Site
) -> None:
    rows, client = [ask(desk, member, "once"), ask(desk, member, "two", quorum_approve=2)], site(manager)
    for _ in range(2):
        assert "Approved: 2 of service_restart." in plain(client.post(TOGETHER, sent(*rows), follow=True).text)
    assert Vote.objects.count() == 2
    text = plain(client.post(TOGETHER, sent(*rows, decision="reject", reason="No."), follow=True).text)
    assert "Rejected" not in text.split("Your decision was not counted.")[0], "another word is none of the same"


def test_what_changed_since_it_was_ticked_has_to_be_read_again(
    desk: Desk, member: Actor, workspace: Workspace, colleague: Actor, site: Site
) -> None:
    boss = person(workspace, "boss", Role.MANAGER, PASSWORD)
    same, other = (ask(desk, member, name, quorum_approve=2, fresh_password=True) for name in ("same", "other"))
    approvals.decide(
        other.pk,
        by=colleague,
        decision=Decision.APPROVE,
        digest=other.digest,
        arguments={"service": "login"},
        fresh=True,
    )
    page = site(boss).post(TOGETHER, sent(same, other, password="wrong")).text
    ticks = dict(re.findall(r'name="ids" value="([^"]+)"( checked)?', page))
    assert ticks == {str(same.pk): " checked", str(other.pk): ""}
    assert fresh(other).digest in page


def test_of_what_is_not_for_somebody_nothing_is_told(
    desk: Desk, member: Actor, stranger: Actor, manager: Actor, site: Site
) -> None:
    own, foreign = ask(desk, member, "own"), ask(desk, stranger, "yonder")
    text = site(manager).post(TOGETHER, sent(own, foreign, ids=[own.pk, foreign.pk, ids.new()]), follow=True).text
    assert "Not decided: 2 that you ticked" in text
    assert "yonder" not in text
    assert [fresh(row).status for row in (own, foreign)] == ["approved", "pending"]
