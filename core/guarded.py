"""Requests to addresses that people set: only to hosts on the public internet, and only as much as was asked for.

A name is looked up once for each request, every address that it has must be public, and the connection is made to one
of those: what was vetted is what is connected to. Each socket is looked at once more when it is made, which is where
addresses that need no look-up are refused. Proxies of the environment, cookies, passwords in addresses and compressed
answers have no place here.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from core import outbound
from core.errors import Invalid, Unavailable

Network = IPv4Network | IPv6Network

LONGEST_URL = 500
PORTS = {"http": 80, "https": 443}
LOOKUP_SECONDS = 5.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
ORDINARY = (ValueError, aiohttp.ClientError, OSError)  # what can go wrong with a request, from its address to its end

# What is not the public internet, by the registries of IANA; the last is where Azure's machines find their host.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
            "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "168.63.129.16/32",
        ),
    )
)  # fmt: skip
# Of IPv6 only this is given to hosts on the internet. All else is local, or carries an IPv4 address inside.
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20"))
)


class UrlRefused(Invalid):
    """The address leads, or may lead, to somewhere that is not public."""

    code = "url_refused"
    title = "The address is refused"


class Unreachable(Unavailable):
    """No answer came."""

    code = "unreachable"
    title = "The address does not answer"


class _NotPublic(OSError):
    """How a refusal passes through aiohttp, which takes it for a connection that failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, its headers' names in lower case; of the body as much as was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one that a host on the internet can have."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def lookup(host: str, port: int) -> list[str]:
    """The addresses of a name by the system's resolver; raises OSError. It may take its time."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def check(url: str, *, private: Sequence[Network] = ()) -> None:
    """Raises UrlRefused where a request could not be sent to the address now; `private` is permitted beside the public.

    It says nothing about the next request, whose name may lead elsewhere by then.
    """
    parts = _parts(url)
    try:
        addresses = _lookups().submit(lookup, str(parts.raw_host), int(parts.port or 0)).result(LOOKUP_SECONDS)
        _vet(addresses, int(parts.port or 0), private)
    except _NotPublic as error:
        raise UrlRefused(error.strerror or "") from None
    except (OSError, TimeoutError, ValueError):
        raise UrlRefused("Its name cannot be resolved.") from None


async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
    seconds: float = 15.0,
    most_bytes: int = 0,
    follow: int = 0,
    private: Sequence[Network] = (),
) -> Answer:
    """The answer to a request; raises UrlRefused, or Unreachable where none came within the seconds.

    At most `most_bytes` of the body are read, none by default. A GET follows as many redirects as `follow` says, each
    to an address that is vetted anew; anything else follows none.
    """
    try:
        async with asyncio.timeout(seconds):
            for _ in range(follow if method == "GET" else 0):
                answer = await _ask(method, _parts(url), headers, content, most_bytes, private)
                target = _target(answer)
                if target is None:
                    return answer
                if URL(target).origin() != URL(url).origin():
                    headers = {}  # what was meant for one host is not for the next
                url = target
            return await _ask(method, _parts(url), headers, content, most_bytes, private)
    except TimeoutError:
        raise Unreachable(f"No answer within {seconds:g} seconds.") from None
    except ORDINARY as error:
        raise _told(error) from None


def _parts(url: str) -> URL:
    """The address as it will be used; raises UrlRefused for one that is not well formed or holds a password."""
    if len(url) > LONGEST_URL or any(c <= " " or c in '\\"<>\x7f' for c in url):
        raise UrlRefused(f"It must have at most {LONGEST_URL} characters and no blanks.")
    try:
        parts = URL(url)
        named = parts.scheme in PORTS and parts.raw_host and parts.port
    except ValueError:
        raise UrlRefused("It is not well formed.") from None
    if not named:
        raise UrlRefused("It must begin with https:// or http:// and name a host.")
    if parts.user is not None or parts.password is not None:
        raise UrlRefused("It must not hold a name or a password.")
    return parts


def _vet(addresses: Sequence[str], port: int, private: Sequence[Network]) -> None:
    """Raises _NotPublic unless all of the addresses may be connected to at this port."""
    for address in map(ip_address, addresses):
        if any(address in network for network in private):
            continue
        if not is_public(address):
            raise _NotPublic(errno.EACCES, "It leads to an address that is not public.")
        if port not in PORTS.values():
            raise _NotPublic(errno.EACCES, "Only the ports 80 and 443 are reached.")
    if not addresses:
        raise OSError(errno.EADDRNOTAVAIL, "no address")


class _Resolver(AbstractResolver):
    """Looks names up, and gives out vetted addresses only."""

    def __init__(self, private: Sequence[Network]) -> None:
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of the name; raises OSError where one of them may not be connected to."""
        addresses = await asyncio.get_running_loop().run_in_executor(_lookups(), lookup, host, port)
        _vet(addresses, port, self._private)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _sockets(private: Sequence[Network]) -> Callable[[aiohttp.connector.AddrInfoType], socket.socket]:
    """Makes the sockets of connections, to where they may go."""

    def make(target: aiohttp.connector.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = target
        _vet([str(address[0])], int(address[1]), private)
        return socket.socket(family, kind, protocol)

    return make


async def _ask(
    method: str,
    url: URL,
    headers: Mapping[str, str],
    content: bytes | None,
    most_bytes: int,
    private: Sequence[Network],
) -> Answer:
    """One request on a connection of its own."""
    connector = aiohttp.TCPConnector(
        resolver=_Resolver(private),
        socket_factory=_sockets(private),
        use_dns_cache=False,
        force_close=True,
        ssl=outbound.tls(),
    )
    async with (
        aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(),  # the caller's clock runs over all of it
        ) as session,
        session.request(
            method,
            url,
            headers={"User-Agent": "countersign", **headers, "Accept-Encoding": "identity"},
            data=content,
            allow_redirects=False,
        ) as response,
    ):
        body = await _body(response, most_bytes)
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, told, body, str(url))


async def _body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The body's beginning; raises Unreachable for one that is compressed, whose size nobody knows before its end."""
    if not most_bytes:
        return b""
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Unreachable("The answer is compressed, which was not asked for.")
    parts, size = [], 0
    while size < most_bytes and (part := await response.content.read(min(65_536, most_bytes - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _target(answer: Answer) -> str | None:
    """Where a redirect leads; None where the answer is none."""
    location = answer.headers.get("location")
    if answer.status not in REDIRECTS or location is None:
        return None
    return str(URL(answer.url).join(URL(location)))


def _told(error: Exception) -> UrlRefused | Unreachable:
    """A failed request in our words, which name no address of a network inside."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, _NotPublic):
        return UrlRefused(cause.strerror or "")
    if isinstance(error, aiohttp.ClientSSLError):
        return Unreachable("Its certificate is not trusted.")  # of which one kind is a ValueError too
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return UrlRefused("It is not well formed.")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable("Its name cannot be resolved.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unreachable("It refuses the connection.")
    return Unreachable("The connection was closed before an answer came.")


@cache
def _lookups() -> ThreadPoolExecutor:
    """Threads of their own, because a name server that is silent must hold up nothing else."""
    return ThreadPoolExecutor(20, thread_name_prefix="lookup")
