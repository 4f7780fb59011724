"""Requests to addresses that people, models and web pages set: to hosts on the public internet, and bounded.

A name is looked up once for each connection, every address that it has must be public, and the connection is made to
one of those: what was vetted is what is connected to. Addresses that need no look-up are vetted where the socket is
made. Proxies of the environment, cookies and passwords in addresses have no place
here; a body is read as far as was asked for, compressed ones counted as what they unpack to.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address

import aiohttp
import dns.exception
import dns.nameserver
import dns.resolver
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from django.conf import settings
from yarl import URL

from core import outbound
from core.errors import Invalid, Unavailable
from core.publicnet import Endpoint, Place, is_public, permitted
from core.unpacked import ACCEPTED, Unpacker

LONGEST_URL = 500  # of an address that somebody sets
LONGEST_LINK = 2_000  # of one that is asked for
DNS_PORT = 53
PART = 65_536
AGENT = "countersign"
PORTS = {"http": 80, "https": 443}
WEB = frozenset(PORTS.values())
LOOKUP_SECONDS = 5.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What can go wrong with a request, from its address to its end.
ORDINARY = (ValueError, aiohttp.ClientError, HttpProcessingError, OSError)


class UrlRefused(Invalid):
    """The address leads, or may lead, to somewhere that is not public."""

    code = "url_refused"
    title = "The address is refused"


class Unreachable(Unavailable):
    """No answer came."""

    code = "unreachable"
    title = "The address does not answer"


class NotConnected(Unreachable):
    """No connection came about, so that nothing was sent."""


class WrongType(Invalid):
    """What is there is of another kind than was asked for."""

    code = "media_type_refused"
    title = "What is there is of another kind"


class _NotPublic(OSError):
    """How a refusal passes through aiohttp, which takes it for a connection that failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, its headers' names in lower case; of the body as much as was asked for, if not `whole`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    whole: bool = True

    @property
    def media_type(self) -> str:
        """What the body is said to be, without its parameters; empty where nothing is said."""
        return _media_type(self.headers.get("content-type", ""))


def parse(url: str, *, longest: int = LONGEST_LINK) -> URL:
    """The address as it will be used; raises UrlRefused for one that is not well formed or holds a password."""
    if len(url) > longest or any(c <= " " or c in '\\"<>\x7f' for c in url):
        raise UrlRefused(f"It must have at most {longest:,} characters and no blanks.")
    try:
        parts = URL(url)
        named = parts.scheme in PORTS and parts.raw_host and parts.port
        httpx.URL(url)  # of names that are not ASCII this refuses more, and so does the client of MCP servers
    except (ValueError, httpx.InvalidURL):
        raise UrlRefused("It is not well formed.") from None
    if not named:
        raise UrlRefused("It must begin with https:// or http:// and name a host.")
    if parts.user is not None or parts.password is not None:
        raise UrlRefused("It must not hold a name or a password.")
    return parts


def lookup(host: str, port: int) -> list[str]:
    """The addresses of a name, by the name servers of the settings or of this machine; raises OSError. It may wait."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:  # it is no number, however that may be written
        if settings.DNS_SERVERS:
            return _asked(host, settings.DNS_SERVERS)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _asked(host: str, servers: Sequence[Endpoint]) -> list[str]:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [dns.nameserver.Do53Nameserver(one.host, one.port) for one in servers]
    try:
        return list(resolver.resolve_name(host, lifetime=LOOKUP_SECONDS, search=False).addresses())
    except dns.exception.DNSException as error:
        raise OSError(errno.EADDRNOTAVAIL, "no address") from error


def check(url: str, *, private: Sequence[Place] = ()) -> bool:
    """Raises UrlRefused where a request could not be sent to the address now; `private` is permitted beside the public.

    Says whether that permission is needed for all that the name leads to. It is looked up once, and nothing is said
    about the next request, whose name may lead elsewhere by then.
    """
    parts = parse(url, longest=LONGEST_URL)
    host, port = str(parts.raw_host), int(parts.port or 0)
    try:
        addresses = _lookups().submit(lookup, host, port).result(LOOKUP_SECONDS)
        return _vet(addresses, host, port, private)
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
    private: Sequence[Place] = (),
    types: Collection[str] | None = None,
    look: Callable[[bytes], None] | None = None,
) -> Answer:
    """The answer to a request; raises UrlRefused, WrongType, or Unreachable where none came within the seconds.

    At most `most_bytes` of the unpacked body are read, none by default, and of a success only where it is of one of the
    media types. A GET follows as many redirects as `follow` says, each to an address that is vetted anew, and none from
    https to http; anything else follows none. `look` is shown each part of a body as it comes, and may raise to end it.
    """
    asked = _Asked(method, headers, content, most_bytes, types, look)
    try:
        async with asyncio.timeout(seconds):
            for _ in range(follow if method == "GET" else 0):
                answer = await _ask(parse(url), asked, private)
                target = _target(answer)
                if target is None:
                    return answer
                if target.origin() != URL(url).origin():
                    asked = replace(asked, headers={})  # what was meant for one host is not for the next
                url = str(target)
            return await _ask(parse(url), asked, private)
    except TimeoutError:
        raise Unreachable(f"No answer within {seconds:g} seconds.") from None
    except ORDINARY as error:
        raise _told(error) from None


def client(private: Sequence[Place] = ()) -> httpx.AsyncClient:
    """The running loop's pooled client for addresses that people set and that are asked again and again.

    Each of its connections is vetted as it is made, by the rules of `check`; `refusal` knows those that were refused.
    """
    return outbound.client(_opens(tuple(private)))


def refusal(error: BaseException) -> str:
    """Why a connection was refused that may not be made; empty where it is another trouble."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return cause.strerror or "" if isinstance(cause, _NotPublic) else ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked, wherever that leads."""

    method: str
    headers: Mapping[str, str]
    content: bytes | None
    most_bytes: int
    types: Collection[str] | None
    look: Callable[[bytes], None] | None = None


def _vet(addresses: Sequence[str], host: str, port: int, private: Sequence[Place]) -> bool:
    """Whether all of the host's addresses are reached by permission alone; raises _NotPublic where one may not be."""
    by_permission = True
    for address in map(ip_address, addresses):
        if is_public(address) and port in WEB:
            by_permission = False
        elif permitted(address, host, port, private):
            continue
        elif is_public(address):
            raise _NotPublic(errno.EACCES, "Only the ports 80 and 443 are reached.")
        else:
            raise _NotPublic(errno.EACCES, "It leads to an address that is not public.")
    if not addresses:
        raise OSError(errno.EADDRNOTAVAIL, "no address")
    return by_permission


class _Vetted(str):
    """An address that a name leads to and that may be connected to, as aiohttp hands it on."""

    __slots__ = ()


class _Way(AbstractResolver):
    """How requests get to their hosts: it gives out vetted addresses only, and makes sockets to none but those."""

    def __init__(self, private: Sequence[Place]) -> None:
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of the name; raises OSError where one of them may not be connected to."""
        addresses = await asyncio.get_running_loop().run_in_executor(_lookups(), lookup, host, port)
        _vet(addresses, host, port, self._private)
        return [
            {
                "hostname": host,
                "host": _Vetted(address),
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""

    def socket(self, target: aiohttp.connector.AddrInfoType) -> socket.socket:
        """The socket of a connection; raises OSError where it may not be made."""
        family, kind, protocol, _, (address, port, *_) = target
        if not isinstance(address, _Vetted):  # one that needed no look-up
            _vet([str(address)], str(address), int(port), self._private)
        return socket.socket(family, kind, protocol)


@cache
def _opens(private: tuple[Place, ...]) -> outbound.Opens:
    """What opens the connections of a pool that these places are permitted to."""

    def opens() -> aiohttp.ClientSession:
        way = _Way(private)
        return outbound.session(resolver=way, socket_factory=way.socket, use_dns_cache=False)

    return opens


async def _ask(url: URL, asked: _Asked, private: Sequence[Place]) -> Answer:
    """One request on a connection of its own."""
    way = _Way(private)
    connector = aiohttp.TCPConnector(
        resolver=way,
        socket_factory=way.socket,
        use_dns_cache=False,
        force_close=True,
        ssl=outbound.tls(),
    )
    coding = ACCEPTED if asked.most_bytes else "identity"
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(),  # the caller's clock runs over all of it
        ) as session,
        session.request(
            asked.method,
            url,
            headers={"User-Agent": AGENT, **asked.headers, "Accept-Encoding": coding},
            data=asked.content,
            allow_redirects=False,
        ) as response,
    ):
        body, whole = await _body(response, asked)
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, told, body, str(url), whole)


async def _body(response: aiohttp.ClientResponse, asked: _Asked) -> tuple[bytes, bool]:
    """The unpacked body's beginning, and whether that is all; raises WrongType, and Unreachable for one that is broken.

    Of what comes packed no more is read than may be unpacked, so that one which unpacks to nothing has an end as well.
    """
    if not asked.most_bytes or response.status in REDIRECTS:
        return b"", True
    media_type = _media_type(response.headers.get("Content-Type", ""))
    if asked.types is not None and 200 <= response.status < 300 and media_type not in asked.types:
        shown = "".join(c for c in media_type[:60] if c.isprintable())
        raise WrongType(f"It is of the type {shown}." if shown else "It does not say what it is.")
    parts, size, came, more = [], 0, 0, asked.most_bytes + 1
    try:
        unpacker = Unpacker(response.headers.get("Content-Encoding", ""))
        while size < more and came < more and not unpacker.ended and (part := await response.content.read(PART)):
            came += len(part)
            parts.append(unpacker.unpack(part, more - size))
            size += len(parts[-1])
            if asked.look is not None:
                asked.look(parts[-1])
    except ValueError as error:
        raise Unreachable(f"The answer cannot be read. {error}") from None
    whole = size < more and came < more
    return b"".join(parts)[: asked.most_bytes], whole


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _target(answer: Answer) -> URL | None:
    """Where a redirect leads, None where the answer is none; raises UrlRefused where it leads out of encryption."""
    location = answer.headers.get("location")
    if answer.status not in REDIRECTS or location is None:
        return None
    target = URL(answer.url).join(URL(location))
    if target.scheme == "http" and answer.url.startswith("https:"):
        raise UrlRefused("It redirects from https to http.")
    return target


def _told(error: BaseException) -> UrlRefused | Unreachable:
    """A failed request in our words, which name no address of a network inside."""
    if refused := refusal(error):
        return UrlRefused(refused)
    if isinstance(error, aiohttp.ClientSSLError):
        return NotConnected("Its certificate is not trusted.")  # of which one kind is a ValueError too
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return UrlRefused("It is not well formed.")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NotConnected("Its name cannot be resolved.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return NotConnected("It refuses the connection.")
    return Unreachable("The connection was closed before an answer came.")


@cache
def _lookups() -> ThreadPoolExecutor:
    """Threads of their own, because a name server that is silent must hold up nothing else."""
    return ThreadPoolExecutor(20, thread_name_prefix="lookup")
