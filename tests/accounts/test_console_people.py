"""In the console an admin gives roles, removes people, and makes keys whose text is shown once."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Invitation, Membership, Role
from accounts.services import keys
from approvals.models import AuditEvent
from tests.cast import Api, person
from tests.crowd import crowd

pytestmark = pytest.mark.django_db
NEW = {"name": "Server", "kind": "secret", "mode": "live", "origins": "", "expires": ""}


@pytest.fixture
def admin(owner):
    client = Client(headers={"Accept": "text/html"})
    client.force_login(owner.user)
    return client


def shown(answer) -> str:
    """The secret that a page shows."""
    return re.search(r'<code id="secret">([^<]+)</code>', answer.content.decode())[1]


def test_an_admin_gives_a_member_another_role(admin, member):
    path = f"/console/members/{member.membership.pk}/"
    assert admin.post(path, {"role": "manager"}).status_code == 302
    assert Membership.objects.get(pk=member.membership.pk).role == Role.MANAGER
    assert AuditEvent.objects.filter(type="member.changed").exists()
    wrong = admin.post(path, {"role": "owner"})
    assert (wrong.status_code, b"Nothing was changed yet." in wrong.content) == (400, True)


def test_the_last_admin_neither_leaves_nor_becomes_less(admin, owner):
    path = f"/console/members/{owner.membership.pk}/"
    lowered, removed = admin.post(path, {"role": "member"}), admin.post(f"{path}remove/")
    assert (lowered.status_code, removed.status_code) == (409, 409)
    for answer in (lowered, removed):
        assert "last admin cannot leave" in answer.content.decode()
    assert Membership.objects.get(pk=owner.membership.pk).role == Role.ADMIN


def test_who_is_removed_is_out_at_once(admin, member):
    theirs = Client()
    theirs.force_login(member.user)
    path = f"/console/members/{member.membership.pk}/remove/"
    assert "They lose access at once" in admin.get(path).content.decode()
    assert admin.post(path)["Location"] == "/console/members/"
    assert theirs.get("/v1/ai/sessions").status_code in (401, 403)


def test_members_are_found_by_name_and_page(admin, workspace):
    for number in range(30):
        person(workspace, f"p{number:02}")
    first = admin.get("/console/members/").content.decode()
    assert "Page 1 of 2" in first
    assert 'href="?page=2"' in first
    found = admin.get("/console/members/", {"q": "P07"}).content.decode()
    assert "p07@home.example" in found
    assert "p08@home.example" not in found
    assert "Nothing has “nobody” in it." in admin.get("/console/members/", {"q": "nobody"}).content.decode()


def test_a_key_is_made_shown_once_and_works(admin, owner):
    answer = admin.post("/console/keys/new/", {**NEW, "scopes": ["chat"]})
    text = shown(answer)
    assert answer["Cache-Control"] == "no-store"
    assert Api(text).get("/v1/ai/models").status_code == 200
    assert Api(text).get("/v1/ai/webhooks/config").status_code == 403
    assert text not in admin.get("/console/keys/").content.decode()
    key = ApiKey.objects.get()
    assert (key.user, key.created_by, key.scopes) == (owner.user, owner.user, ["chat"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "This field is required."), ({"kind": "publishable"}, "names the origins"),
        ({"kind": "publishable", "origins": "https://a.example/path"}, "scheme and a host"),
        ({"only": "agent:nothing"}, "with the id as the API shows it"), ({"scopes": ["everything"]}, "valid choice"),
        ({"expires": "2"}, "valid choice"), ({"kind": "root"}, "valid choice"),
        ({"kind": "scoped", "mode": "test"}, "no key of kind"), ({"origins": "https://*.example"}, "scheme and a host"),
    ],
)  # fmt: skip
def test_a_key_that_does_not_fit_is_refused_at_its_field(admin, wrong, said):
    answer = admin.post("/console/keys/new/", {**NEW, **wrong})
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_publishable_key_has_its_origins_and_an_end(admin):
    ends = {"kind": "publishable", "origins": "https://shop.example/\nhttps://www.shop.example", "expires": "30"}
    text = shown(admin.post("/console/keys/new/", {**NEW, **ends}))
    assert text.startswith("pk_live_cs_")
    key = ApiKey.objects.get()
    assert key.origins == ["https://shop.example", "https://www.shop.example"]
    assert timedelta(days=29) < key.expires_at - timezone.now() < timedelta(days=31)


def test_a_key_is_rotated_with_a_grace_and_revoked(admin, owner):
    key, old = keys.create(workspace=owner.workspace, user=owner.user, name="Server")
    new = shown(admin.post(f"/console/keys/{key.pk}/rotate/", {"grace": "1"}))
    assert Api(old).get("/v1/ai/models").status_code == Api(new).get("/v1/ai/models").status_code == 200
    again = admin.post(f"/console/keys/{key.pk}/rotate/", {"grace": "1"})
    assert (again.status_code, b"revoked or rotated already" in again.content) == (409, True)
    successor = ApiKey.objects.get(name="Server", rotated_to=None)
    assert admin.post(f"/console/keys/{successor.pk}/revoke/").status_code == 302
    assert Api(new).get("/v1/ai/models").status_code == 401
    assert "revoked" in admin.get("/console/keys/").content.decode()


def test_a_page_that_is_sent_twice_makes_one_key(admin, owner):
    form = {**NEW, "once": re.search(r'name="once" value="([^"]+)"', admin.get("/console/keys/new/").text)[1]}
    assert Api(shown(admin.post("/console/keys/new/", form))).get("/v1/ai/models").status_code == 200
    again = admin.post("/console/keys/new/", form, follow=True)
    assert again.redirect_chain == [("/console/keys/", 302)]
    assert "It was made already" in again.text
    assert ApiKey.objects.count() == 1
    assert shown(admin.post("/console/keys/new/", {**form, "name": "Another"}))
    assert admin.post("/console/keys/new/", {**form, "kind": "publishable"}).status_code == 400
    assert ApiKey.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_page_that_is_sent_several_times_at_once_makes_one_key(admin):
    with crowd(4) as at_once:
        told = at_once([lambda: admin.post("/console/keys/new/", {**NEW, "once": "pressed"}).status_code] * 4)
    assert sorted(told) == [200, 302, 302, 302]
    assert ApiKey.objects.count() == 1


def test_others_than_admins_see_their_own_keys_alone(owner, manager):
    keys.create(workspace=owner.workspace, user=owner.user, name="Of the owner")
    keys.create(workspace=owner.workspace, user=manager.user, name="Of the manager")
    client = Client()
    client.force_login(manager.user)
    text = client.get("/console/keys/").content.decode()
    assert "Of the manager" in text
    assert "Of the owner" not in text


def test_an_admin_revokes_the_key_of_another_and_is_not_shown_its_successor(admin, member):
    key, _ = keys.create(workspace=member.workspace, user=member.user, name="theirs")
    answer = admin.post(f"/console/keys/{key.pk}/rotate/", {"grace": "1"})
    assert answer.status_code == 403
    assert "sk_" not in answer.text


def test_a_form_that_was_shown_in_another_workspace_changes_nothing_in_this_one(admin, owner, other_workspace):
    data = {"email": "new@home.example", "role": "member", "workspace": str(other_workspace.pk)}
    assert admin.post("/console/members/invite/", data).status_code == 409
    assert not Invitation.objects.exists()
    assert str(owner.workspace.pk) in admin.get("/console/members/invite/").text
