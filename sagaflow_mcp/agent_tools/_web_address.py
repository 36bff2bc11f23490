"""The addresses of the public Internet, and which of them a name has."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

GLOBAL_UNICAST = ip_network("2000::/3")
"""All of IPv6 that has been given out for the public Internet."""

NAT64 = ip_network("64:ff9b::/96")
"""Where a network that has only IPv6 shows the addresses of IPv4: each is as public as the one that it stands for."""

NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            *("192.0.0.0/24", "2001::/23", "3fff::/20"),  # Of IANA's registries; not every Python knows all of them.
            *("192.88.99.0/24", "2002::/16"),  # 6to4, and with 2001::/32 Teredo: they lead to any address of IPv4.
            "168.63.129.16/32",  # A public one that stands for the machine's host in Azure.
        ),
    )
)
"""What `is_global` may take for public although it is not, or leads elsewhere."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether anybody on the Internet could reach the address, so that nothing of this machine's network is there."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or (IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None)
        if inner is not None:
            return is_public(inner)
        if address not in GLOBAL_UNICAST:
            return False
    if any(address in network for network in NOT_PUBLIC):
        return False
    # A multicast address is global, but no server's.
    return address.is_global and not (address.is_multicast or address.is_reserved)


def addresses(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order to try them in.

    Raises:
        OSError: there are none.
        UnicodeError: it cannot be a name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))
