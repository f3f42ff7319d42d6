"""Rules of what may be reached: as users write them, and what they allow."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - looked up by name only when used, when files may be out of reach
import ipaddress
import re
from typing import Any, Iterable, List, Optional, Set, Tuple

from . import addresses
from .addresses import Address, Network

__all__ = ["MOST", "Rules", "host_name", "normal"]

MOST = 256
"""Rules of one sandbox."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)\Z")
_LONGEST = 253


def normal(rules: Iterable[Any]) -> Tuple[str, ...]:
    """Rules in their normal form, each once.

    Raises:
        ValueError: one is no rule, or there are none or too many; the message says which and why.
    """
    found = tuple(dict.fromkeys(_normal(rule) for rule in rules))
    if not found:
        raise ValueError('the list is empty; say "none" for no network')
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} hosts and networks, not {len(found)}")
    return found


def _normal(rule: Any) -> str:
    if not isinstance(rule, str):
        raise ValueError(f"{rule!r:.60} is no text; name a host or a network")
    if rule in ("none", "full"):
        raise ValueError(f'"{rule}" stands alone, not in a list')
    if "://" in rule:
        host = rule.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
        raise ValueError(f"{rule!r:.80} is a URL; name its host alone: {host!r:.80}")
    address = addresses.parse(rule)
    if address is not None and "%" not in rule:
        return str(address)
    if "/" in rule:
        return _normal_network(rule)
    if ":" in rule or "[" in rule:
        raise ValueError(
            f"{rule!r:.80} is no host: a rule names no port, and is for all ports of a host"
        )
    return _normal_name(rule)


def _normal_network(rule: str) -> str:
    try:
        network = ipaddress.ip_network(rule, strict=False)
    except ValueError:
        raise ValueError(
            f"{rule!r:.80} is no network; write it as '10.0.0.0/8', or name a host without a path"
        ) from None
    if ipaddress.ip_address(rule.partition("/")[0]) != network.network_address:
        raise ValueError(f"{rule!r} has bits beyond its length; write '{network}'")
    return str(network)


def _normal_name(rule: str) -> str:
    if rule == "*":
        raise ValueError(
            '"*" is every host; say "full" instead of a list, or name domains: "*.example.org"'
        )
    wild, name = ("*.", rule[2:]) if rule.startswith("*.") else ("", rule)
    if "*" in name:
        raise ValueError(f"{rule!r:.80}: a star stands only first, as in '*.example.org'")
    found = host_name(name)
    if found is None:
        raise ValueError(f"{rule!r:.80} is neither a host's name nor an address nor a network")
    return wild + found


def host_name(text: str) -> Optional[str]:
    """A host's name in its normal form, if it can be one.

    What a resolver would take for an address in one of its old notations is none.
    """
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    name = text.lower()
    name = name[:-1] if name.endswith(".") else name
    labels = name.split(".")
    if len(name) > _LONGEST or _NUMBER.match(labels[-1]):
        return None
    return name if all(_LABEL.match(label) for label in labels) else None


class Rules:
    """What a sandbox may reach.

    Args:
        rules: as `normal` gives them.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        self._names: Set[str] = set()
        self._suffixes: List[str] = []
        self._networks: List[Network] = []
        for rule in normal(rules):
            if rule.startswith("*."):
                self._suffixes.append(rule[1:])
            elif "/" in rule or addresses.parse(rule) is not None:
                self._networks.append(ipaddress.ip_network(rule))
            else:
                self._names.add(rule)

    def names(self, name: str) -> bool:
        """Whether a rule is about this name, so that it may be looked up.

        Args:
            name: as `host_name` gives it.
        """
        return name in self._names or self._is_below(name)

    def allows(self, address: Address, name: Optional[str] = None) -> bool:
        """Whether an address may be connected to.

        A network that is named allows its addresses; but what is special in it, such as a
        loopback or link-local address, only if the network is no wider than that.

        Args:
            address: which.
            name: that it was found by, if by one.
        """
        zone = addresses.zone_of(address)
        for network in self._networks:
            if address in network and (zone is None or _within(network, zone)):
                return True
        if name is None or zone is not None:
            return False
        if name in self._names:
            return True
        # Who may make names in a domain must not choose addresses in the host's own networks.
        return self._is_below(name) and addresses.is_public(address)

    def _is_below(self, name: str) -> bool:
        return any(name.endswith(suffix) for suffix in self._suffixes)


def _within(network: Network, zone: Network) -> bool:
    return (
        network.version == zone.version
        and network.prefixlen >= zone.prefixlen
        and network.network_address in zone
    )
