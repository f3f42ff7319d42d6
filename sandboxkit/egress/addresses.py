"""What addresses stand for: those that a name must never lead to, and addresses within others."""

from __future__ import annotations

import ipaddress
from typing import Optional, Union

__all__ = ["Address", "Network", "is_public", "parse", "zone_of"]

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Of this machine, of this link, of nobody, of many; and where clouds tell a machine its secrets.
_ZONES = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure
        "::/96",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::/32",  # Amazon
        "fd20:ce::/32",  # Google
        # Ways to IPv4 addresses that differ from one network to the next.
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    )
]
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def parse(text: str) -> Optional[Address]:
    """The address that a text is, if it is one; an IPv4 address written as IPv6 is itself."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def zone_of(address: Address) -> Optional[Network]:
    """The special network that an address is in, which has to be named itself to be reached."""
    real = _behind(address)
    return next((zone for zone in _ZONES if address in zone or real in zone), None)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could reach it too."""
    return _behind(address).is_global and address.is_global


def _behind(address: Address) -> Address:
    """The IPv4 address that a translator makes of an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address) and address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
