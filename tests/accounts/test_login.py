"""Signing in and staying signed in, and what neither tells."""

from typing import ClassVar

import pytest

from accounts.models import Membership, Role, User, Workspace
from accounts.passwords import Argon2
from tests.cast import PASSWORD, Api

pytestmark = pytest.mark.urls("tests.accounts.urls")


@pytest.fixture
def web() -> Api:
    return Api()


def sign_in(web, email, password=PASSWORD, **more):
    return web.post("/v1/auth/login", {"email": email, "password": password, **more})


def test_a_person_signs_in_and_the_tokens_work(web, member):
    response = sign_in(web, member.user.email)
    told = response.json()
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert set(told) == {"access", "refresh", "expires_in", "workspace_id", "user"}
    assert told["expires_in"] == 900
    assert told["workspace_id"] == str(member.workspace.pk)
    assert told["user"] == {"id": str(member.user.pk), "email": member.user.email, "name": "Member", "role": "member"}
    assert Api(told["access"]).get("/v1/whoami").status_code == 200
    assert Api(told["refresh"]).get("/v1/whoami").status_code == 401
    member.user.refresh_from_db()
    assert member.user.last_login is not None


def test_the_address_is_the_same_in_any_case_and_the_path_with_a_slash(web, member):
    assert sign_in(web, member.user.email.upper()).status_code == 200
    body = {"email": member.user.email, "password": PASSWORD}
    assert web.post("/v1/auth/login/", body).status_code == 200


def test_a_person_chooses_among_their_workspaces_and_no_others(web, member, other_workspace):
    third = Workspace.objects.create(name="Third", slug="third")
    Membership.objects.create(workspace=third, user=member.user, role=Role.AUDITOR)
    assert sign_in(web, member.user.email).json()["workspace_id"] == str(member.workspace.pk)
    for name in ("third", str(third.pk)):
        told = sign_in(web, member.user.email, workspace=name).json()
        assert (told["workspace_id"], told["user"]["role"]) == (str(third.pk), "auditor")
    for name in ("elsewhere", str(other_workspace.pk), "nowhere"):
        assert sign_in(web, member.user.email, workspace=name).status_code == 401


def test_every_reason_for_refusal_gives_the_same_answer(web, member):
    lonely = User.objects.create_user("lonely@home.example", PASSWORD)
    inactive = User.objects.create_user("inactive@home.example", PASSWORD, is_active=False)
    Membership.objects.create(workspace=member.workspace, user=inactive)
    answers = [
        sign_in(web, member.user.email, "wrong password"),
        sign_in(web, "nobody@home.example"),
        sign_in(web, "not an address"),
        sign_in(web, lonely.email),
        sign_in(web, inactive.email),
        sign_in(web, member.user.email, workspace="elsewhere"),
    ]
    told = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in answers]
    assert all(answer.status_code == 401 for answer in answers)
    assert all(each == told[0] for each in told)


class Counted(Argon2):
    """Our hasher, which remembers what was hashed: that is what a sign-in takes its time for."""

    hashed: ClassVar[list[str]] = []

    def encode(self, password, salt):
        self.hashed.append(password)
        return super().encode(password, salt)

    def verify(self, password, encoded):
        self.hashed.append(password)
        return super().verify(password, encoded)


def test_an_unknown_address_takes_as_much_hashing_as_a_wrong_password(web, member, settings):
    settings.PASSWORD_HASHERS = [f"{__name__}.Counted"]
    for email in (member.user.email, "nobody@home.example", "not an address"):
        Counted.hashed.clear()
        sign_in(web, email, "wrong password")
        assert len(Counted.hashed) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": "x"}, "email"),
        ({"email": "a@b.example"}, "password"),
        ({"email": "", "password": "x"}, "email"),
        ({"email": "a" * 255, "password": "x"}, "email"),
        ({"email": "a@b.example", "password": "x" * 1001}, "password"),
        ({"email": ["a@b.example"], "password": "x"}, "email"),
        ({"email": "a@b.example", "password": 5}, "password"),
        ({"email": "a@b.example", "password": "x", "workspace": 5}, "workspace"),
        ({"email": "a@b.example", "password": "x", "otp": "1"}, "otp"),
    ],
)
def test_a_login_that_does_not_fit_is_refused_by_field(web, db, body, field):
    response = web.post("/v1/auth/login", body)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == field


def test_tries_are_counted_for_each_account(web, member, settings):
    settings.LIMITS = {**settings.LIMITS, "login": 3}
    assert [sign_in(web, member.user.email, "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
    refusal = sign_in(web, member.user.email.upper())
    assert refusal.status_code == 429  # the right password does not help any more
    assert 0 < int(refusal["Retry-After"]) <= 60
    assert sign_in(web, "nobody@home.example").status_code == 401


def test_tries_are_counted_for_each_address_whatever_headers_claim(web, db, settings):
    settings.LIMITS = {**settings.LIMITS, "login": 1}
    tries = [
        web.post(
            "/v1/auth/login", {"email": f"a{n}@b.example", "password": "x"}, headers={"X-Forwarded-For": f"1.2.3.{n}"}
        )
        for n in range(4)
    ]
    assert [answer.status_code for answer in tries] == [401, 401, 401, 429]
    elsewhere = {"REMOTE_ADDR": "10.1.2.3"}
    assert web.post("/v1/auth/login", {"email": "z@b.example", "password": "x"}, **elsewhere).status_code == 401


def test_a_refresh_token_gives_one_new_pair(web, member):
    first = sign_in(web, member.user.email).json()
    response = web.post("/v1/auth/refresh", {"refresh": first["refresh"]})
    second = response.json()
    assert response.status_code == 200
    assert second["refresh"] != first["refresh"]
    assert Api(second["access"]).get("/v1/whoami").status_code == 200
    again = web.post("/v1/auth/refresh/", {"refresh": first["refresh"]})
    assert (again.status_code, again.json()["code"]) == (401, "invalid_token")


def test_a_refresh_token_that_comes_twice_ends_all_that_came_of_its_sign_in_and_no_other(web, member):
    def renewed(token):
        return web.post("/v1/auth/refresh", {"refresh": token})

    first, other = (sign_in(web, member.user.email).json()["refresh"] for _ in range(2))
    second = renewed(first).json()["refresh"]
    third = renewed(second).json()["refresh"]
    assert renewed(first).status_code == 401
    assert renewed(third).status_code == 401
    assert renewed(other).status_code == 200


def test_a_refresh_token_ends_with_the_password_and_the_membership(web, member):
    tokens = [sign_in(web, member.user.email).json()["refresh"] for _ in range(2)]
    member.user.set_password("another password")
    member.user.save()
    assert web.post("/v1/auth/refresh", {"refresh": tokens[0]}).status_code == 401
    fresh = sign_in(web, member.user.email, "another password").json()
    Membership.objects.all().delete()
    assert web.post("/v1/auth/refresh", {"refresh": fresh["refresh"]}).status_code == 401


def test_a_refresh_token_ends_where_passwords_do(web, member, settings):
    refresh = sign_in(web, member.user.email).json()["refresh"]
    settings.OIDC_ONLY = True
    assert web.post("/v1/auth/refresh", {"refresh": refresh}).status_code == 401
    boss = User.objects.create_superuser("boss@home.example", PASSWORD)
    Membership.objects.create(workspace=member.workspace, user=boss)
    refresh = sign_in(web, boss.email).json()["refresh"]
    assert web.post("/v1/auth/refresh", {"refresh": refresh}).status_code == 200


def test_what_is_no_refresh_token_is_refused(web, member):
    access = sign_in(web, member.user.email).json()["access"]
    for text in (access, "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."):
        assert web.post("/v1/auth/refresh", {"refresh": text}).status_code == 401
    for body in ({}, {"refresh": ""}, {"refresh": 5}, {"refresh": "x" * 4001}, {"refresh": "x", "more": 1}):
        assert web.post("/v1/auth/refresh", body).status_code == 400
