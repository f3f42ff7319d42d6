"""Ways past the rules of a network: each fails, and succeeds without what holds it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.egress.running import OK, answering, proxy, server

HERE = "127.0.0.1"

# What a proxy without a defence does first.
REMOVED = {
    "rules": """
exchange.Rules.allows = lambda *_: True
exchange.Rules.names = lambda *_: True
""",
    "old notations refused": """
from sandboxkit.egress import heads
heads.host_name = str.lower
""",
    "mapped addresses unwrapped": """
import ipaddress
from sandboxkit.egress import addresses
def parse(text):
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
addresses.parse = parse
""",
    "special networks": """
from sandboxkit.egress import addresses
addresses.zone_of = lambda *_: None
addresses.is_public = lambda *_: True
""",
    "asked once": """
allowed = exchange.Exchange._allowed
async def twice(self, target):
    await allowed(self, target)
    return await self._lookup.addresses(target.host, target.port)
exchange.Exchange._allowed = twice
""",
    "whole labels": """
exchange.Rules._is_below = lambda self, name: any(name.endswith(s[1:]) for s in self._suffixes)
from sandboxkit.egress import addresses
addresses.zone_of = lambda *_: None
addresses.is_public = lambda *_: True
""",
}

# Names that lead somewhere else each time they are asked for, but the last time.
RESOLVER = """
known = {
    "rebinding.example": ["203.0.113.1", "127.0.0.1"],
    "inside.example": ["127.0.0.1"],
    "notexample.org": ["127.0.0.1"],
}
def getaddrinfo(name, port, **options):
    name = name.decode()
    if name not in known:
        return real.getaddrinfo(name, port, type=1)
    found = known[name].pop(0) if len(known[name]) > 1 else known[name][0]
    return [(0, 0, 0, "", (found, port))]
real = lookup.socket
lookup.socket = types.SimpleNamespace(getaddrinfo=getaddrinfo, SOCK_STREAM=1)
exchange.CONNECT_TIME = 0.2
"""


@dataclass(frozen=True)
class ProxyAttack:
    """One attempt.

    Attributes:
        name: what it is.
        source: whence it is known.
        host: what is asked for, on a port where this machine listens on its loopback.
        held_by: the defences, each enough; some say more than one thing.
        rules: of the sandbox.
    """

    name: str
    source: str
    host: str
    held_by: tuple[str, ...]
    rules: tuple[str, ...] = ("example.org", "203.0.113.0/24")


_NOTATION = ("rules", "old notations refused")
BY_PROXY = [
    ProxyAttack("open_relay", "CWE-441", HERE, ("rules",)),
    ProxyAttack("unlisted_name", "CWE-441", "localhost", ("rules",)),
    ProxyAttack("decimal_address", "CWE-918; CVE-2021-28918 (netmask)", "2130706433", _NOTATION),
    ProxyAttack("octal_address", "CVE-2021-29921 (ipaddress)", "0177.0.0.1", _NOTATION),
    ProxyAttack("hexadecimal_address", "CWE-918", "0x7f000001", _NOTATION),
    ProxyAttack("short_address", "CWE-918", "127.1", _NOTATION),
    ProxyAttack(
        "mapped_address",
        "CVE-2023-24329's kin; RFC 4291, 2.5.5.2",
        "[::ffff:127.0.0.1]",
        ("mapped addresses unwrapped",),
        ("::/0",),
    ),
    ProxyAttack("loopback_in_everything", "CWE-918", HERE, ("special networks",), ("0.0.0.0/0",)),
    ProxyAttack(
        "name_that_leads_inside",
        "DNS rebinding; CVE-2018-7160",
        "inside.example",
        ("special networks",),
        ("inside.example",),
    ),
    ProxyAttack(
        "name_that_changes",
        "DNS rebinding; CVE-2018-7160",
        "rebinding.example",
        ("asked once",),
        ("rebinding.example",),
    ),
    ProxyAttack("look_alike", "CWE-1289", "notexample.org", ("whole labels",), ("*.example.org",)),
]


def reaches(attack: ProxyAttack, missing: frozenset[str]) -> bool:
    """Whether either way to ask arrives at this machine's loopback."""
    preamble = RESOLVER + "".join(REMOVED[name] for name in sorted(missing))
    with proxy(*attack.rules, preamble=preamble) as running, server(answering(OK)) as there:
        for line in (
            f"GET http://{attack.host}:{there.port}/",
            f"CONNECT {attack.host}:{there.port}",
        ):
            running.ask(f"{line} HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode())
    return bool(there.received)


@pytest.mark.parametrize("attack", BY_PROXY, ids=lambda attack: attack.name)
def test_attack_fails_and_its_control_succeeds(attack: ProxyAttack):
    everything = frozenset(attack.held_by)
    assert not reaches(attack, frozenset())
    for one in sorted(everything) if len(everything) > 1 else ():
        assert not reaches(attack, everything - {one}), f"{one} alone does not hold it"
    assert reaches(attack, everything), f"without {sorted(everything)} it should succeed"
