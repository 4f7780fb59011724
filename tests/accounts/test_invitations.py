"""People are invited by a letter, whose link works once, for a week, and for nobody else."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connections
from django.db.models.functions import Now
from django.test import Client

from accounts.models import Invitation, Letter, Membership, Role, User
from accounts.services import invitations, letters, members
from approvals.models import AuditEvent
from core.errors import Invalid
from tests import signing_in
from tests.cast import person

pytestmark = pytest.mark.django_db

EMAIL = "new@people.example"
GOOD = {"name": "Nia New", "password": "a long enough phrase 7"}


@pytest.fixture
def invited(owner):
    """An invitation, and the path of its link."""
    made, link = invitations.invite(by=owner, email=EMAIL)
    return made, link.removeprefix("http://localhost:8000")


def page_of(actor) -> Client:
    client = Client(headers={"Accept": "text/html"})
    client.force_login(actor.user)
    return client


def recorded() -> list[str]:
    return list(AuditEvent.objects.filter(type__startswith="invitation.").order_by("pk").values_list("type", flat=True))


def test_a_letter_says_who_invites_to_what_and_has_the_link(owner, invited):
    letters.post()
    [message] = mail.outbox
    assert message.to == [EMAIL]
    assert "Owner invites you to Home" in message.subject
    assert f"http://localhost:8000{invited[1]}" in message.body
    assert "as member" in message.body


def test_only_a_hash_of_the_link_is_kept(invited):
    made, path = invited
    token = path.split("/")[3]
    assert len(bytes(Invitation.objects.get().token_hash)) == 32
    assert token not in str(Invitation.objects.values().get())
    assert token not in str(list(AuditEvent.objects.values()))
    raw = str(list(Letter.objects.extra(select={"raw": "text"}).values("raw", "subject")))
    assert token not in raw


def test_logs_leave_the_link_out(invited, capfd):
    token = invited[1].split("/")[3]
    Client().get(invited[1])
    assert token not in capfd.readouterr().err


def test_somebody_new_says_who_they_are_and_is_in(invited, workspace):
    made, path = invited
    browser = Client()
    asked = browser.get(path)
    assert asked.status_code == 200
    for text in ("Join Home", "owner@home.example", EMAIL):
        assert text in asked.content.decode()
    answer = browser.post(path, GOOD)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    membership = Membership.objects.get(user__email=EMAIL)
    assert (membership.workspace, membership.role, membership.user.name) == (workspace, Role.MEMBER, "Nia New")
    assert membership.user.check_password(GOOD["password"])
    assert not membership.user.is_staff
    assert browser.get("/v1/ai/sessions").status_code == 200, "who accepted is signed in"
    assert recorded() == ["invitation.sent", "invitation.accepted"]
    assert AuditEvent.objects.filter(type="login.succeeded", person_id=membership.user_id).exists()


@pytest.mark.parametrize(
    "wrong",
    [{"password": "short"}, {"password": "password"}, {"password": "1234567890"}, {"name": ""}, {"password": EMAIL}],
)
def test_a_password_that_will_not_do_stores_nothing(invited, wrong):
    answer = Client().post(invited[1], {**GOOD, **wrong})
    assert answer.status_code == 400
    assert b"Nothing was stored yet." in answer.content
    assert not User.objects.filter(email=EMAIL).exists()
    assert invitations.by_token(invited[1].split("/")[3])


def test_a_link_works_once(invited):
    assert Client().post(invited[1], GOOD).status_code == 302
    again = Client(headers={"Accept": "text/html"})
    for send in (again.get, again.post):
        answer = send(invited[1], GOOD)
        assert answer.status_code == 404
        assert b"Ask an admin of the workspace for a new one." in answer.content


def test_links_that_do_not_hold_are_told_alike(owner, invited):
    made, path = invited
    token = path.split("/")[3]
    Invitation.objects.update(expires_at=Now() - timedelta(seconds=1))
    old = Client().get(path)
    unknown = Client().get("/account/invited/iv_cs_nothing/")
    Invitation.objects.update(expires_at=Now() + timedelta(days=1), revoked_at=Now())
    revoked = Client().get(path)
    assert {one.status_code for one in (old, unknown, revoked)} == {404}
    assert old.json()["detail"] == unknown.json()["detail"] == revoked.json()["detail"]
    with pytest.raises(invitations.InvitationGone):
        invitations.by_token(token)


def test_an_invitation_ends_with_the_rights_of_who_sent_it(owner, invited, workspace):
    person(workspace, "second", Role.ADMIN)
    members.change_role(owner.membership, Role.MANAGER)
    assert Client().get(invited[1]).status_code == 404


def test_who_has_an_account_signs_in_and_joins_by_one_button(owner, stranger, other_workspace):
    _, link = invitations.invite(by=owner, email=stranger.user.email, role=Role.MANAGER)
    path = link.removeprefix("http://localhost:8000")
    asked = Client().get(path).content.decode()
    assert f"/account/login/?next={path.replace('/', '%2F')}" in asked
    assert "password" not in asked.lower()
    assert Client().post(path, GOOD)["Location"].startswith("/account/login/"), "no second password is set"
    theirs = page_of(stranger)
    assert "Accept the invitation" in theirs.get(path).content.decode()
    assert theirs.post(path)["Location"] == "/"
    assert Membership.objects.get(workspace=owner.workspace, user=stranger.user).role == Role.MANAGER
    assert theirs.session["workspace"] == str(owner.workspace.pk)


def test_somebody_else_who_is_signed_in_is_told_so_and_does_not_join(invited, stranger):
    theirs = page_of(stranger)
    for send in (theirs.get, theirs.post):
        answer = send(invited[1])
        assert answer.status_code == 403
        assert f"You are signed in as {stranger.user.email}" in answer.content.decode()
    assert not Membership.objects.filter(workspace__slug="home", user=stranger.user).exists()
    assert Invitation.objects.open().exists()


def test_the_session_of_who_came_by_a_link_is_listed_and_ended_from_elsewhere(invited):
    here, there = Client(), Client(headers={"User-Agent": "Browser of the link"})
    assert there.post(invited[1], GOOD).status_code == 302
    signing_in.post(EMAIL, GOOD["password"], client=here)
    assert "Browser of the link" in here.get("/account/sessions/").text
    here.post("/account/sessions/")
    assert there.get("/account/").status_code == 302


@pytest.mark.parametrize("email", ["x", f"x@{'é' * 60}.com", f"x@{'a' * 64}.com"])
def test_an_address_to_which_no_letter_goes_is_refused(owner, email):
    with pytest.raises(Invalid, match="no e-mail address"):
        invitations.invite(by=owner, email=email)
    answer = page_of(owner).post("/console/members/invite/", {"email": email, "role": "member"})
    assert answer.status_code == 400
    assert not Invitation.objects.exists()


def test_an_address_has_one_open_invitation(owner, invited, member):
    with pytest.raises(invitations.AlreadyInvited):
        invitations.invite(by=owner, email=EMAIL.upper())
    with pytest.raises(members.AlreadyMember):
        invitations.invite(by=owner, email=member.user.email)
    Invitation.objects.update(expires_at=Now() - timedelta(seconds=1))
    assert invitations.invite(by=owner, email=EMAIL)[0].email == EMAIL, "one that is too old is in nobody's way"
    assert Invitation.objects.open().count() == 1


def test_a_new_letter_ends_the_link_before(owner, invited):
    made, path = invited
    _, link = invitations.resend(made, by=owner)
    assert Client().get(path).status_code == 404
    assert Client().get(link.removeprefix("http://localhost:8000")).status_code == 200


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MANAGER, Role.AUDITOR])
def test_only_admins_invite(workspace, invited, role):
    somebody = person(workspace, "somebody", role)
    for act in (
        lambda: invitations.invite(by=somebody, email="friend@people.example"),
        lambda: invitations.resend(invited[0], by=somebody),
        lambda: invitations.revoke(invited[0], by=somebody),
    ):
        with pytest.raises(invitations.MayNotInvite):
            act()


def test_an_admin_of_elsewhere_reaches_none_of_it(other_workspace, invited):
    theirs = person(other_workspace, "their-admin", Role.ADMIN)
    with pytest.raises(invitations.MayNotInvite):
        invitations.revoke(invited[0], by=theirs)
    with pytest.raises(invitations.InvitationGone):
        invitations.find(theirs, invited[0].pk)


def test_a_verified_address_is_told_what_waits_for_it(owner, invited):
    [found] = invitations.waiting_for(EMAIL.upper())
    user = User.objects.create_user(EMAIL)
    assert invitations.accept(found, user=user).role == Role.MEMBER
    assert invitations.waiting_for(EMAIL) == []


def test_a_person_who_may_not_sign_in_does_not_join(owner, invited):
    user = User.objects.create_user(EMAIL, is_active=False)
    with pytest.raises(invitations.ForAnother):
        invitations.accept(invited[0], user=user)


def test_links_are_not_tried_by_the_thousand():
    client = Client()
    told = [client.get(f"/account/invited/iv_cs_{number}/").status_code for number in range(25)]
    assert told[:20] == [404] * 20
    assert told[20:] == [429] * 5


@pytest.mark.django_db(transaction=True)
def test_of_many_who_accept_at_once_one_does(owner, invited):
    found = invitations.by_token(invited[1].split("/")[3])

    def accept(number: int) -> str:
        try:
            invitations.accept_new(found, name="Nia", password=None)
        except Exception as error:  # noqa: BLE001  whatever it was, it is told below
            return type(error).__name__
        finally:
            connections.close_all()
        return "joined"

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(accept, range(8)))
    assert told.count("joined") == 1
    assert set(told) <= {"joined", "InvitationGone", "HasAccount"}
    assert Membership.objects.filter(user__email=EMAIL).count() == 1


def test_an_admin_invites_on_the_page_and_sees_the_link_where_there_is_no_mail(owner, settings):
    browser = page_of(owner)
    answer = browser.post("/console/members/invite/", {"email": EMAIL, "role": "auditor"})
    assert answer.status_code == 200
    [link] = set(re.findall(r"http://localhost:8000/account/invited/[-\w]+/", answer.content.decode()))
    assert Client().get(link.removeprefix("http://localhost:8000")).status_code == 200
    settings.EMAIL_HOST = "mail.example"
    sent = browser.post("/console/members/invite/", {"email": "b@people.example", "role": "member"}, follow=True)
    text = sent.content.decode()
    assert "A letter is on its way to b@people.example" in text
    assert "iv_cs_" not in text
    assert "b@people.example" in text
    twice = browser.post("/console/members/invite/", {"email": EMAIL, "role": "member"})
    assert (twice.status_code, b"invited already" in twice.content) == (409, True)


def test_letters_are_counted(owner, monkeypatch):
    monkeypatch.setattr("accounts.pages.members.INVITED_AN_HOUR", 2)
    browser = page_of(owner)
    told = [
        browser.post("/console/members/invite/", {"email": f"p{number}@people.example", "role": "member"}).status_code
        for number in range(3)
    ]
    assert told == [200, 200, 429]


def test_the_account_of_somebody_invited_signs_in_afterwards(invited):
    Client().post(invited[1], GOOD)
    tokens = Client().post(
        "/v1/auth/login", {"email": EMAIL, "password": GOOD["password"]}, content_type="application/json"
    )
    assert tokens.status_code == 200
