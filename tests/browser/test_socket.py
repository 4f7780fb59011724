"""The sockets of open pages, in the admin and outside: who is let in, what they hear, and when it ends."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from accounts.models import Actor, Membership, Role, User, Workspace
from approvals import consumers, openpages
from approvals.models import Decision
from approvals.services import approvals
from core import valkey
from tests.approvals.desk import Desk, request
from tests.cast import person

WAIT = 20
ADMIN, PAGES = "/ws/admin/approvals", "/ws/approvals"
Socket = Callable[..., ClientConnection]


@pytest.fixture
def socket_of(served: str) -> Socket:
    """Opens the socket as the page of somebody who has signed in."""

    def make(
        actor: Actor | None, origin: str | None = served, staff: bool = True, path: str = ADMIN
    ) -> ClientConnection:
        headers = {}
        if actor is not None:
            User.objects.filter(pk=actor.user.pk).update(is_staff=staff)
            client = Client()
            client.force_login(actor.user)
            headers["Cookie"] = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        address = served.replace("http", "ws") + path
        return connect(address, origin=origin, additional_headers=headers, proxy=None, open_timeout=WAIT)

    return make


def heard(socket: ClientConnection) -> str:
    return str(json.loads(socket.recv(timeout=WAIT))["type"])


def closed(socket: ClientConnection) -> int:
    """The code that the server ends it with, whatever it says before."""
    try:
        while True:
            socket.recv(timeout=WAIT)
    except ConnectionClosed as ended:
        return ended.rcvd.code


def test_a_manager_hears_of_requests_and_of_decisions(
    desk: Desk, member: Actor, manager: Actor, workspace: Workspace, socket_of: Socket
) -> None:
    colleague = person(workspace, "colleague", Role.MANAGER)
    with socket_of(manager) as socket:
        assert heard(socket) == "ready"
        approval = request(desk, member)
        assert heard(socket) == "changed"
        approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE)
        assert heard(socket) == "changed"


def test_other_workspaces_are_not_heard_of(
    desk: Desk, member: Actor, stranger: Actor, manager: Actor, other_workspace: Workspace, socket_of: Socket
) -> None:
    boss = person(other_workspace, "boss", Role.AUDITOR)
    with socket_of(manager) as here, socket_of(boss) as yonder:
        assert (heard(here), heard(yonder)) == ("ready", "ready")
        request(desk, stranger)
        assert heard(yonder) == "changed"
        with pytest.raises(TimeoutError):
            here.recv(timeout=0.3)
        request(desk, member)
        assert heard(here) == "changed"


def test_an_operator_hears_of_all(desk: Desk, member: Actor, stranger: Actor, socket_of: Socket) -> None:
    User.objects.filter(pk=stranger.user.pk).update(is_superuser=True)
    with socket_of(stranger) as socket:
        assert heard(socket) == "ready"
        request(desk, member)
        assert heard(socket) == "changed"


def test_who_is_not_signed_in_or_reads_nothing_is_turned_away(member: Actor, manager: Actor, socket_of: Socket) -> None:
    for actor, staff, code in ((None, True, 4401), (manager, False, 4401), (member, True, 4403)):
        with socket_of(actor, staff=staff) as socket:
            assert closed(socket) == code


def test_a_page_of_another_origin_is_turned_away(manager: Actor, served: str, socket_of: Socket) -> None:
    for origin in (None, "http://127.0.0.1", "http://localhost:1", served.replace("http", "https") + "0"):
        with socket_of(manager, origin=origin) as socket:
            assert closed(socket) == 4403, origin
    for origin in ("http://evil.example", "null"):
        with pytest.raises(InvalidStatus):
            socket_of(manager, origin=origin)


def test_who_speaks_is_shown_out(manager: Actor, socket_of: Socket) -> None:
    with socket_of(manager) as socket:
        assert heard(socket) == "ready"
        socket.send("{}")
        assert closed(socket) == 1008


@pytest.mark.parametrize("end", ["role", "session", "account"])
def test_rights_that_end_end_the_socket(
    end: str, manager: Actor, socket_of: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    with socket_of(manager) as socket:
        assert heard(socket) == "ready"
        if end == "role":
            Membership.objects.filter(user=manager.user).update(role=Role.MEMBER)
        elif end == "session":
            Session.objects.all().delete()
        else:
            User.objects.filter(pk=manager.user.pk).update(is_active=False)
        assert closed(socket) == 4403


def test_a_channel_that_is_lost_ends_the_socket_so_that_the_page_looks_by_itself(
    desk: Desk, member: Actor, manager: Actor, socket_of: Socket
) -> None:
    with socket_of(manager) as socket:
        assert heard(socket) == "ready"
        valkey.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert closed(socket) == 1013
    with socket_of(manager) as socket:
        assert heard(socket) == "ready"
        request(desk, member)
        assert heard(socket) == "changed"


def test_a_request_is_made_although_nobody_can_be_told(
    desk: Desk, member: Actor, monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    def lost() -> Any:
        raise valkey.RedisError("gone")

    monkeypatch.setattr(valkey, "quick", lost)
    assert request(desk, member).status == "pending"


# Outside the admin


def said(socket: ClientConnection) -> tuple[str, str]:
    word = json.loads(socket.recv(timeout=WAIT))
    return word["type"], word["waiting"]


def test_a_manager_who_is_no_staff_hears_with_how_much_waits_for_them(
    desk: Desk, member: Actor, manager: Actor, workspace: Workspace, socket_of: Socket
) -> None:
    colleague = person(workspace, "colleague", Role.MANAGER)
    with socket_of(manager, staff=False, path=PAGES) as socket:
        assert said(socket) == ("ready", "0")
        approval = request(desk, member)
        assert said(socket) == ("changed", "1")
        request(desk, manager)
        assert said(socket) == ("changed", "1"), "one's own is for others to decide"
        approvals.decide(approval.pk, by=colleague, decision=Decision.APPROVE)
        assert said(socket) == ("changed", "0")


def test_a_member_hears_of_what_they_see_and_of_nothing_else(
    desk: Desk, member: Actor, manager: Actor, socket_of: Socket
) -> None:
    with socket_of(member, staff=False, path=PAGES) as socket:
        assert said(socket) == ("ready", "0")
        request(desk, manager)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)
        approval = request(desk, member)
        assert said(socket) == ("changed", "0")
        approvals.decide(approval.pk, by=manager, decision=Decision.APPROVE)
        assert said(socket) == ("changed", "0")


def test_only_the_workspace_in_which_one_works_is_heard(
    desk: Desk, member: Actor, stranger: Actor, manager: Actor, other_workspace: Workspace, socket_of: Socket
) -> None:
    Membership.objects.create(workspace=other_workspace, user=manager.user, role=Role.MANAGER)
    User.objects.filter(pk=manager.user.pk).update(is_superuser=True)
    with socket_of(manager, path=PAGES) as socket:
        assert said(socket) == ("ready", "0")
        request(desk, stranger)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)
        request(desk, member)
        assert said(socket) == ("changed", "1")


def test_outside_the_admin_too_nobody_is_let_in_without_a_session_or_from_elsewhere(
    member: Actor, served: str, socket_of: Socket
) -> None:
    with socket_of(None, path=PAGES) as socket:
        assert closed(socket) == 4401
    with socket_of(member, origin=f"{served}0", path=PAGES) as socket:
        assert closed(socket) == 4403
    Membership.objects.filter(user=member.user).delete()
    with socket_of(member, path=PAGES) as socket:
        assert closed(socket) == 4403


@pytest.mark.parametrize("path", [ADMIN, PAGES])
def test_who_lacks_the_second_factor_that_a_workspace_asks_for_is_turned_away(
    path: str, manager: Actor, workspace: Workspace, socket_of: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    with socket_of(manager, path=path) as open_before:
        assert heard(open_before) == "ready"
        Workspace.objects.filter(pk=workspace.pk).update(require_mfa=True)
        assert closed(open_before) == 4403
    with socket_of(manager, path=path) as socket:
        assert closed(socket) == 4403
    TOTP.activate(manager.user, generate_totp_secret())
    with socket_of(manager, path=path) as socket:
        assert heard(socket) == "ready"


@pytest.mark.parametrize("end", ["membership", "session", "account"])
def test_outside_the_admin_too_rights_that_end_end_the_socket(
    end: str, member: Actor, socket_of: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    with socket_of(member, staff=False, path=PAGES) as socket:
        assert said(socket)[0] == "ready"
        if end == "membership":
            Membership.objects.filter(user=member.user).delete()
        elif end == "session":
            Session.objects.all().delete()
        else:
            User.objects.filter(pk=member.user.pk).update(is_active=False)
        assert closed(socket) == 4403


def test_a_person_has_so_many_open_pages_and_one_that_closes_makes_room(
    manager: Actor, member: Actor, socket_of: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openpages, "MOST", 1)
    with socket_of(manager, staff=False, path=PAGES) as first:
        assert said(first)[0] == "ready"
        with socket_of(manager, staff=False, path=PAGES) as second:
            assert closed(second) == 1013
        with socket_of(member, staff=False, path=PAGES) as other:
            assert said(other)[0] == "ready"
    last = time.monotonic() + WAIT
    while True:
        with socket_of(manager, staff=False, path=PAGES) as again:
            try:
                assert said(again)[0] == "ready"
                return
            except ConnectionClosed:
                assert time.monotonic() < last


def test_all_pages_of_a_person_hear_of_each_change(
    desk: Desk, member: Actor, manager: Actor, socket_of: Socket
) -> None:
    with socket_of(manager, staff=False, path=PAGES) as one, socket_of(manager, staff=False, path=PAGES) as two:
        assert (said(one), said(two)) == (("ready", "0"), ("ready", "0"))
        for number in ("1", "2"):
            request(desk, member)
            assert (said(one), said(two)) == (("changed", number), ("changed", number))
