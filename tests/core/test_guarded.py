"""Requests to addresses that people set reach public hosts only, whatever a name leads to, and take only so much."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core import guarded, outbound
from core.guarded import Answer, Unreachable, UrlRefused
from core.publicnet import Endpoint, is_public
from tests.servers.names import NameServer
from tests.servers.receiver import Receiver, Reply, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)
PUBLIC = "93.184.215.14"

NOT_PUBLIC = [
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "100.100.100.200",
    "127.0.0.1", "127.255.255.255", "169.254.0.1", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.0",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.0", "198.19.255.255",
    "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::a9fe:a9fe", "::7f00:1", "::ffff:169.254.169.254", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::", "2001:10::1",
    "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1",
    "fe80::1", "febf::1", "fec0::1", "ff02::1", "4000::1", "e000::1", "2620:4f:8000::1",
]  # fmt: skip
IS_PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.254", "100.128.0.1", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.167.255.255",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
    "2606:4700:4700::1111", "2001:4860:4860::8888", "2001:200::1", "2003::1", "2a00:1450:4001::1",
]  # fmt: skip


async def post(url: str, **how: Any) -> Answer:
    return await guarded.request("POST", url, headers={"X-Test": "1"}, content=b"{}", **how)


async def get(url: str, **how: Any) -> Answer:
    return await guarded.request("GET", url, headers={"X-Test": "1"}, private=LOOPBACK, **how)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_outside_of_the_internet_is_not_public(text):
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", IS_PUBLIC)
def test_its_neighbours_are(text):
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
async def test_such_an_address_is_refused_before_and_while_a_connection_is_made(text):
    url = f"http://[{text}]/" if ":" in text else f"http://{text}/"
    with pytest.raises(UrlRefused, match="^It leads to an address that is not public.$"):
        guarded.check(url)
    with pytest.raises(UrlRefused, match="^It leads to an address that is not public.$"):
        await post(url)


NUMBERS = ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "0x7f000001", "localhost", "127。0。0。1", "127.0.0.1."]


@pytest.mark.parametrize("host", NUMBERS)
async def test_another_spelling_of_this_machine_is_refused(host):
    with pytest.raises(UrlRefused):
        guarded.check(f"http://{host}/")
    with pytest.raises(UrlRefused):
        await post(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "", "/", "example.org", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org:70/", "http://",
        "http:///x", "javascript:alert(1)", "http://user@example.org/", "http://u:p@example.org/", "http://a b/",
        "http://example.org\\@127.0.0.1/", "http://example.org/\r\nX: y", "http://example.org:0/",
        "http://example.org:99999/", "http://[::1", "http://example.org:80:80/", "https://" + "a" * 64 + ".org/",
        "https://example.org/" + "x" * 500, "http://%00/", "http://①/",
    ],
)  # fmt: skip
async def test_what_is_no_address_of_the_web_is_refused(url, names: NameServer):
    with pytest.raises(UrlRefused):
        guarded.check(url)
    with pytest.raises((UrlRefused, Unreachable)):
        await post(url)


def test_a_public_address_is_taken(names: NameServer):
    names.leads("example.org", [PUBLIC, "2606:4700:4700::1111"])
    for url in ("https://example.org/hook?x=1", "http://example.org:80/", "https://93.184.215.14/"):
        names.leads(PUBLIC, [PUBLIC])
        guarded.check(url)


@pytest.mark.parametrize("port", [22, 25, 5432, 6379, 8000, 8080])
async def test_ports_other_than_those_of_the_web_are_refused(port, names: NameServer):
    names.leads("example.org", [PUBLIC])
    with pytest.raises(UrlRefused, match="ports 80 and 443"):
        guarded.check(f"http://example.org:{port}/")
    with pytest.raises(UrlRefused, match="ports 80 and 443"):
        await post(f"http://example.org:{port}/")


@pytest.mark.parametrize("others", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"]])
async def test_a_name_is_refused_where_one_of_its_addresses_is_not_public(others, names: NameServer):
    names.leads("metadata.google.internal", others)
    with pytest.raises(UrlRefused, match="not public"):
        guarded.check("http://metadata.google.internal/")
    with pytest.raises(UrlRefused, match="not public"):
        await post("http://metadata.google.internal/")


async def test_a_name_that_leads_elsewhere_once_it_was_checked_is_refused(names: NameServer, receiver: Receiver):
    names.leads("rebinding.example", [PUBLIC], ["127.0.0.1"])
    guarded.check("http://rebinding.example/")
    with pytest.raises(UrlRefused, match="not public"):
        await post(f"http://rebinding.example:{receiver.port}/")
    assert not receiver.received


@pytest.mark.parametrize(
    ("addresses", "port", "needed"),
    [(["127.0.0.1"], 80, True), (["127.0.0.1"], 8000, True), ([PUBLIC], 80, False), ([PUBLIC, "127.0.0.1"], 80, False)],
)
def test_whether_a_permission_is_needed_is_told_by_the_one_look_up(addresses, port, needed, names: NameServer):
    names.leads("models.example", addresses, ["10.0.0.1"])
    assert guarded.check(f"http://models.example:{port}/", private=LOOPBACK) is needed
    assert names.asked == ["models.example"]


async def test_the_addresses_that_were_vetted_are_those_connected_to(names: NameServer, receiver: Receiver):
    names.leads("receiver.example", ["127.0.0.1"], [PUBLIC])
    answer = await post(receiver.url("receiver.example"), private=LOOPBACK)
    assert (answer.status, names.asked) == (204, ["receiver.example"]), "it was looked up once"
    assert receiver.received[0].headers["host"] == f"receiver.example:{receiver.port}"


async def test_each_connection_of_a_pool_is_vetted(names: NameServer, receiver: Receiver):
    named = (ip_network("10.0.0.0/8"), Endpoint("models.example", receiver.port))
    names.leads("models.example", ["127.0.0.1"])
    names.leads("rebinding.example", ["10.0.0.1"], ["127.0.0.1"])
    guarded.check(receiver.url("rebinding.example"), private=named)
    ours = guarded.client(named)
    try:
        assert (await ours.get(receiver.url("models.example"))).status_code == 204
        for host in ("rebinding.example", "169.254.169.254", "[::1]", "127。0。0。1"):
            with pytest.raises(httpx.TransportError) as refused:
                await ours.get(receiver.url(host))
            assert guarded.refusal(refused.value.__cause__) == "It leads to an address that is not public."
        assert len(receiver.received) == 1
        assert guarded.client(named) is ours
        assert guarded.client(LOOPBACK) is not ours, "what is permitted to others opens nothing here"
    finally:
        await outbound.close()
    assert not [loop for loop, _ in outbound._open if loop is asyncio.get_running_loop()]


async def test_a_permitted_network_is_reached_at_any_port_and_no_other(names: NameServer, receiver: Receiver):
    names.leads("127.0.0.1", ["127.0.0.1"])
    assert (await post(receiver.url(), private=LOOPBACK)).status == 204
    guarded.check(receiver.url(), private=LOOPBACK)
    names.leads("mixed.example", ["127.0.0.1", "10.0.0.1"])
    with pytest.raises(UrlRefused, match="not public"):
        await post(receiver.url("mixed.example"), private=LOOPBACK)
    with pytest.raises(UrlRefused, match="not public"):
        await post(receiver.url(), private=(ip_network("10.0.0.0/8"),))


async def test_proxies_and_passwords_of_the_environment_are_not_used(receiver: Receiver, monkeypatch, tmp_path: Path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await post(receiver.url(), private=LOOPBACK)
    assert "authorization" not in receiver.received[0].headers


async def test_cookies_are_neither_kept_nor_sent(receiver: Receiver):
    receiver.replies = [Reply(headers={"Set-Cookie": "a=b"})]
    await post(receiver.url(), private=LOOPBACK)
    await post(receiver.url(), private=LOOPBACK)
    assert "cookie" not in receiver.received[1].headers


async def test_a_request_to_authenticate_is_just_an_answer(receiver: Receiver):
    receiver.replies = [Reply(401, {"WWW-Authenticate": "Basic realm=x"})]
    assert (await post(receiver.url(), private=LOOPBACK)).status == 401
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_unless_that_was_asked_for(status, receiver: Receiver):
    receiver.replies = [Reply(status, {"Location": "/other"})]
    assert (await post(receiver.url(), private=LOOPBACK, follow=3)).status == status
    assert (await get(receiver.url())).status == status
    assert len(receiver.received) == 2


async def test_redirects_are_followed_as_far_as_was_asked_for(receiver: Receiver):
    receiver.replies = [Reply(302, {"Location": "/again"})]
    assert (await get(receiver.url(), follow=2)).status == 302
    assert [one.path for one in receiver.received] == ["/hook", "/again", "/again"]
    receiver.replies = [Reply(302, {"Location": "/again"}), Reply(200, body=b"here")]
    assert (await get(receiver.url(), follow=2, most_bytes=100)).body == b"here"


@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/", "//169.254.169.254/", "ftp://127.0.0.1/", "http://localhost:1/"]
)
async def test_each_redirect_is_vetted_for_itself(target, receiver: Receiver, names: NameServer):
    receiver.replies = [Reply(302, {"Location": target})]
    names.leads("localhost", ["10.0.0.1"])
    with pytest.raises(UrlRefused):
        await get(receiver.url(), follow=5)


async def test_what_was_meant_for_one_host_is_not_sent_to_another(receiver: Receiver):
    with receiving(Reply(200)) as other:
        receiver.replies = [Reply(302, {"Location": other.url()})]
        await get(receiver.url(), follow=1)
        assert "x-test" in receiver.received[0].headers
        assert "x-test" not in other.received[0].headers


async def test_one_port_of_one_host_is_permitted_and_no_other(names: NameServer, receiver: Receiver):
    names.leads("search.lan", ["127.0.0.1"])
    names.leads("other.lan", ["127.0.0.1"])
    permitted = (Endpoint("search.lan", receiver.port),)
    assert (await post(receiver.url("search.lan"), private=permitted)).status == 204
    assert (await post(receiver.url("SEARCH.lan."), private=permitted)).status == 204
    assert (await post(receiver.url(), private=(Endpoint("127.0.0.1", receiver.port),))).status == 204
    for url in (receiver.url("other.lan"), receiver.url(), f"http://search.lan:{receiver.port + 1}/"):
        with pytest.raises(UrlRefused, match="not public"):
            await post(url, private=permitted)
    assert len(receiver.received) == 3


async def test_a_redirect_out_of_encryption_is_refused(certified, names: NameServer, receiver: Receiver):
    names.leads("receiver.example", ["127.0.0.1"])
    elsewhere = Reply(302, {"Location": receiver.url()})
    with (
        receiving(elsewhere, tls=certified("receiver.example")) as server,
        pytest.raises(UrlRefused, match="from https to http"),
    ):
        await get(server.url("receiver.example"), follow=3)
    assert not receiver.received


async def test_a_name_server_that_is_silent_is_given_up(names: NameServer):
    names.silent = True
    with pytest.raises(Unreachable, match=r"within 0\.3 seconds"):
        await post("http://example.org/", seconds=0.3)


async def test_an_answer_of_many_addresses_is_vetted_to_its_end(names: NameServer):
    names.leads("many.example", [*(f"93.184.215.{n}" for n in range(200)), "127.0.0.1"])  # over TCP: it is too long
    with pytest.raises(UrlRefused, match="not public"):
        await post("http://many.example/")


async def test_a_silent_server_is_given_up(receiver: Receiver):
    receiver.replies = [Reply(hold=threading.Event())]
    with pytest.raises(Unreachable, match=r"within 0\.2 seconds"):
        await post(receiver.url(), private=LOOPBACK, seconds=0.2)


async def test_a_server_that_closes_or_is_not_there_is_told_without_its_address(receiver: Receiver, names: NameServer):
    receiver.replies = [Reply(cut=True)]
    with pytest.raises(Unreachable, match="closed") as closed:
        await post(receiver.url(), private=LOOPBACK)
    with pytest.raises(Unreachable, match="refuses") as refused:
        await post("http://127.0.0.1:1/", private=LOOPBACK)
    with pytest.raises(Unreachable, match="cannot be resolved") as unknown:
        await post("http://nobody.example/")
    assert "127.0.0.1" not in "".join(str(one.value) for one in (closed, refused, unknown))


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ssl.SSLContext]:
    """Makes the TLS of a server that has a certificate of this name, which our side trusts."""

    def make(name: str) -> ssl.SSLContext:
        key, pem = ec.generate_private_key(ec.SECP256R1()), tmp_path / "server.pem"
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        now = datetime.now(UTC)
        certificate = (
            builder.not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        ours = ssl.create_default_context(cafile=str(pem))
        monkeypatch.setattr(outbound, "tls", lambda: ours)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    return make


async def test_tls_asks_for_the_name_and_not_for_the_address(certified, names: NameServer):
    names.leads("receiver.example", ["127.0.0.1"])
    with receiving(tls=certified("receiver.example")) as server:
        assert (await post(server.url("receiver.example"), private=LOOPBACK)).status == 204
        assert server.names == ["receiver.example"]
        assert server.received[0].headers["host"] == f"receiver.example:{server.port}"


async def test_a_certificate_of_another_name_is_not_trusted(certified, names: NameServer):
    names.leads("receiver.example", ["127.0.0.1"])
    with receiving(tls=certified("other.example")) as server:
        with pytest.raises(Unreachable, match="certificate"):
            await post(server.url("receiver.example"), private=LOOPBACK)
        assert not server.received
