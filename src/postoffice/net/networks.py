"""Where a connection comes from, as far as it matters who is behind it.

An IPv4 address is one place; of an IPv6 address only the first 64 bits are, because whoever has one of them has all
(RFC 4291 §2.5.4, RFC 6177). A place is one number: the 64 bits, or `0000:ffff` and the IPv4 address, which no IPv6
network has.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NOWHERE = 0
"""The place of what is no IP address, such as the peer of a Unix socket."""

_IPV4 = 0xFFFF << 32


@lru_cache(maxsize=16_384)
def place_of(host: str) -> int:
    """The place of an address in writing."""
    address = _address(host)
    if address is None:
        return NOWHERE
    return _IPV4 | int(address) if address.version == 4 else int(address) >> 64


def place_in_words(place: int) -> str:
    """`192.0.2.7`, `2001:db8:1:2::/64`."""
    if place >> 32 == _IPV4 >> 32:
        return str(ipaddress.IPv4Address(place & 0xFFFFFFFF))
    return f"{ipaddress.IPv6Address(place << 64)}/64"


def is_in(host: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address in writing is in one of the networks; IPv4 may be written as IPv6 (RFC 4291 §2.5.5.2)."""
    address = _address(host)
    if address is None:
        return False
    return any(address.version == network.version and address in network for network in networks)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
