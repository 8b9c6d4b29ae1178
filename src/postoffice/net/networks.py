"""Networks of addresses, and whether somebody is in them."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_in(host: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address, as a connection tells it, is in one of the networks. An IPv4 address in IPv6 is itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)
