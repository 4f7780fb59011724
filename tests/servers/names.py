"""A name server on loopback, over UDP and TCP, which answers as a test wants it to and keeps what it was asked."""

import contextlib
import socketserver
import struct
import threading
from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

TTL = 0
LARGEST_DATAGRAM = 512


class NameServer:
    """What each name leads to, or in turn, where that changes; a name that nobody set does not exist."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent = False
        self._answers: dict[str, list[list[str]]] = {}
        self._lock = threading.Lock()
        self._now: dict[str, tuple[list[str], set[str]]] = {}  # and for which of the two it was asked
        self._udp, self._tcp = _bound()
        for server in (self._udp, self._tcp):
            server.names = self  # type: ignore[attr-defined]
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            for server in (self._udp, self._tcp)
        ]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._udp.server_address[1])

    def leads(self, name: str, *answers: list[str]) -> None:
        """The name has these addresses, at each look-up the next of them, the last again and again."""
        self._answers[name] = list(answers)

    def addresses(self, name: str, kind: str) -> list[str] | None:
        """The addresses of a name; a look-up asks for those of IPv4 and of IPv6, and both are of the same answer."""
        with self._lock:
            now, kinds = self._now.get(name, ([], {kind}))
            if kind in kinds:
                self.asked.append(name)
                answers = self._answers.get(name)
                if answers is None:
                    return None
                now, kinds = answers.pop(0) if len(answers) > 1 else answers[0], set()
            self._now[name] = now, kinds | {kind}
            return [one for one in now if (":" in one) == (kind == "AAAA")]

    def answer(self, wire: bytes, *, room: int | None = None) -> bytes | None:
        """The answer to a query; one that has no room in a datagram says so, and is asked for over TCP."""
        if self.silent:
            return None
        query = dns.message.from_wire(wire)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        found = self.addresses(question.name.to_text(omit_final_dot=True).lower(), kind)
        response = dns.message.make_response(query, recursion_available=True)
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            response.answer.append(dns.rrset.from_text(question.name, TTL, "IN", kind, *found))
        with contextlib.suppress(dns.exception.TooBig):
            return response.to_wire(max_size=room or 65_535)
        short = dns.message.make_response(query, recursion_available=True)
        short.flags |= dns.flags.TC
        return short.to_wire()

    def __enter__(self) -> "NameServer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


def _bound() -> tuple[socketserver.UDPServer, socketserver.TCPServer]:
    """Servers of both kinds at one port, which has to be free for both."""
    while True:
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Datagram)
        try:
            return udp, socketserver.ThreadingTCPServer(udp.server_address, _Stream)
        except OSError:
            udp.server_close()


class _Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, socket = self.request
        if answer := self.server.names.answer(wire, room=LARGEST_DATAGRAM):  # type: ignore[attr-defined]
            socket.sendto(answer, self.client_address)


class _Stream(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            answer = self.server.names.answer(self.rfile.read(struct.unpack("!H", head)[0]))  # type: ignore[attr-defined]
            if answer is None:
                return
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


@contextlib.contextmanager
def serving() -> Iterator[NameServer]:
    """A name server for as long as the block lasts."""
    with NameServer() as server:
        yield server
