"""The page on settings, beside the code that reads them."""

import re
import runpy
from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import bootstrap, env
from core.publicnet import Endpoint

READER = re.compile(
    r"env\.(?:text|flag|integer|seconds|listing|endpoints|places|programs|choice|weights|pairs|token|address)"
    r"\(\s*\"([A-Z_]+)\""
)


@pytest.fixture(scope="module")
def documented() -> set[str]:
    page = (bootstrap.BASE_DIR / "docs" / "settings.md").read_text()
    return set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))


def test_the_page_has_every_variable_that_is_read_and_no_other(documented):
    read = {"DATA_DIR", "COUNTERSIGN_URL", "COUNTERSIGN_KEY"}  # the last two by who types `manage.py chat`, anywhere
    for path in bootstrap.BASE_DIR.glob("config/*.py"):
        read.update(READER.findall(path.read_text()))

    assert documented == read


def test_places_are_networks_and_ports_of_hosts(monkeypatch):
    monkeypatch.setenv("PLACES", "10.0.0.0/8, fd00::/8,127.0.0.1,Wiki.lan:8080 ,[::1]:80,127.0.0.1:9000")
    networks = [ip_network(one) for one in ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")]
    assert env.places("PLACES") == (
        *networks, Endpoint("wiki.lan", 8080), Endpoint("::1", 80), Endpoint("127.0.0.1", 9000)
    )  # fmt: skip
    assert env.endpoints("NONE", port=53) == ()
    monkeypatch.setenv("SERVERS", "9.9.9.9,[::1]:5353")
    assert env.endpoints("SERVERS", port=53) == (Endpoint("9.9.9.9", 53), Endpoint("::1", 5353))


@pytest.mark.parametrize("text", ["wiki.lan", "10.0.0.0/33", "a:0", "a:65536", "http://a:80", "a b:80", "10.0.0.1/8"])
def test_a_place_that_is_none_names_its_variable(text, monkeypatch):
    monkeypatch.setenv("PLACES", text)
    with pytest.raises(ImproperlyConfigured, match="PLACES must name"):
        env.places("PLACES")


def test_pairs_are_names_and_what_each_means(monkeypatch):
    monkeypatch.setenv("PAIRS", "leads=manager, staff of Acme = member ,")
    assert env.pairs("PAIRS") == {"leads": "manager", "staff of Acme": "member"}
    assert env.pairs("NONE") == {}
    for text in ("leads", "leads=", "=manager"):
        monkeypatch.setenv("PAIRS", text)
        with pytest.raises(ImproperlyConfigured, match="PAIRS must be pairs"):
            env.pairs("PAIRS")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"OIDC_ONLY": "1"}, "OIDC_ONLY needs OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://a.example"}, "OIDC_ISSUER needs OIDC_CLIENT_ID"),
        ({"OIDC_CREATE_PEOPLE": "1", "OIDC_WORKSPACE": "home"}, "OIDC_CREATE_PEOPLE needs OIDC_DOMAINS"),
        ({"OIDC_ROLES": "a=admin"}, "OIDC_ROLES needs OIDC_WORKSPACE"),
        ({"OIDC_ROLES": "a=boss", "OIDC_WORKSPACE": "home"}, "OIDC_ROLES has boss"),
    ],
)
def test_settings_of_the_identity_provider_that_do_not_go_together_are_refused(settings, told, monkeypatch):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=told):
        runpy.run_path(str(bootstrap.BASE_DIR / "config" / "signin.py"))


def test_programs_are_named_with_a_command_each(monkeypatch):
    said = '{"time": {"command": ["/bin/time", "-x"], "env": ["TZ"]}, "a": {"command": ["/b"]}}'
    monkeypatch.setenv("PROGRAMS", said)
    assert env.programs("PROGRAMS") == {
        "time": {"command": ["/bin/time", "-x"], "env": ["TZ"]}, "a": {"command": ["/b"], "env": []}
    }  # fmt: skip
    assert env.programs("NONE") == {}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"a": []}', '{"a": {}}', '{"a": {"command": []}}', '{"a": {"command": "x"}}',
     '{"a": {"command": [""]}}', '{"a": {"command": ["x"], "env": "TZ"}}'],
)  # fmt: skip
def test_a_program_that_cannot_be_started_names_its_variable(text, monkeypatch):
    monkeypatch.setenv("PROGRAMS", text)
    with pytest.raises(ImproperlyConfigured, match="PROGRAMS must be JSON"):
        env.programs("PROGRAMS")
