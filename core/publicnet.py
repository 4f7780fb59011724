"""Which addresses are the public internet's, by the registries of IANA, and which others an operator permits."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What is not the public internet; the last is where Azure's machines find their host.
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


class Endpoint(NamedTuple):
    """One port of one host, by its name or its address in lower case."""

    host: str
    port: int


Place = Network | Endpoint
"""What an operator permits beside the public internet: a network at any port, or one port of one host."""


def is_public(address: Address) -> bool:
    """Whether an address is one that a host on the internet can have."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def permitted(address: Address, host: str, port: int, places: Sequence[Place]) -> bool:
    """Whether one of the places covers this address of the host."""
    named = Endpoint(host.lower().rstrip("."), port)
    return any(place == named if isinstance(place, Endpoint) else address in place for place in places)
