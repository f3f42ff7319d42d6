"""Which rules there are, and what each allows."""

from __future__ import annotations

import re

import pytest

from sandboxkit.egress.rules import MOST, Rules, host_name, normal


def test_normal_forms() -> None:
    given = ["Example.ORG", "example.org.", "*.Example.org", "10.0.0.0/8", "::ffff:10.1.2.3"]
    given += ["2001:DB8::/32", "2001:db8::0:1", "bücher.example", "my_host", "a-b.c3", "1.2.3.4/32"]
    assert normal(given) == (
        "example.org",
        "*.example.org",
        "10.0.0.0/8",
        "10.1.2.3",
        "2001:db8::/32",
        "2001:db8::1",
        "xn--bcher-kva.example",
        "my_host",
        "a-b.c3",
        "1.2.3.4/32",
    )


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("", "neither"),
        ("http://example.org/", "'example.org'"),
        ("https://me@example.org:8443/x?y", "'example.org'"),
        ("example.org:443", "no port"),
        ("[::1]", "no port"),
        ("[::1]:80", "no port"),
        ("fe80::1%eth0", "no port"),
        ("example.org/path", "no network"),
        ("10.0.0.0/33", "no network"),
        ("10.0.0.0/", "no network"),
        ("10.1.0.0/8", "'10.0.0.0/8'"),
        ("2001:db8::1/32", "'2001:db8::/32'"),
        ("*", '"full"'),
        ("*.*", "star"),
        ("ex*mple.org", "star"),
        ("*.", "neither"),
        ("..", "neither"),
        ("-a.org", "neither"),
        ("a b", "neither"),
        ("a\n", "neither"),
        ("127.1", "neither"),
        ("2130706433", "neither"),
        ("0x7f.1", "neither"),
        ("0x7f000001", "neither"),
        ("1.2.3.256", "neither"),
        ("0177.0.0.1", "neither"),
        ("x" * 64 + ".org", "neither"),
        (".".join(["x" * 60] * 5), "neither"),
        ("none", "alone"),
        ("full", "alone"),
        (7, "text"),
        (None, "text"),
        (b"example.org", "text"),
    ],
    ids=repr,
)
def test_what_is_no_rule(rule: object, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        normal(["example.org", rule])


def test_none_and_too_many() -> None:
    with pytest.raises(ValueError, match='"none"'):
        normal([])
    normal(f"host{number}" for number in range(MOST))
    with pytest.raises(ValueError, match=str(MOST)):
        normal(f"host{number}" for number in range(MOST + 1))


ALLOWED = [
    # rules, address, name it was found by, allowed
    (["example.org"], "93.184.216.34", "example.org", True),
    (["example.org"], "93.184.216.34", "www.example.org", False),
    (["example.org"], "93.184.216.34", "notexample.org", False),
    (["example.org"], "93.184.216.34", None, False),
    (["*.example.org"], "93.184.216.34", "a.b.example.org", True),
    (["*.example.org"], "93.184.216.34", "example.org", False),
    (["*.example.org"], "93.184.216.34", "badexample.org", False),
    (["10.0.0.0/8"], "10.255.0.1", None, True),
    (["10.0.0.0/8"], "11.0.0.1", None, False),
    (["10.0.0.0/8"], "::ffff:10.0.0.1", None, True),
    (["10.1.2.3"], "10.1.2.3", None, True),
    (["10.1.2.3"], "10.1.2.4", None, False),
    (["2001:db8::/32"], "2001:db8::5", None, True),
    # A name may lead into a private network if it is named whole, and not if anybody may make it.
    (["db.corp.example"], "10.0.0.5", "db.corp.example", True),
    (["*.corp.example"], "10.0.0.5", "db.corp.example", False),
    (["*.corp.example"], "100.64.0.1", "db.corp.example", False),
    (["*.corp.example"], "fd12::1", "db.corp.example", False),
    (["*.corp.example", "10.0.0.0/8"], "10.0.0.5", "db.corp.example", True),
    # No name leads to what is special, and no network that is wider.
    *((["a.example"], address, "a.example", False) for address in (
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "::", "::1", "::127.0.0.1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "fe80::1", "ff02::1", "fd00:ec2::254",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:1::1",
    )),
    *((["0.0.0.0/0", "::/0", "0.0.0.0/1", "96.0.0.0/3"], address, None, False) for address in (
        "127.0.0.1", "0.0.0.0", "169.254.169.254", "100.100.100.200", "::1", "::ffff:127.0.0.1",
        "fe80::1", "64:ff9b::7f00:1",
    )),
    (["0.0.0.0/0"], "8.8.8.8", None, True),
    (["0.0.0.0/0"], "10.0.0.1", None, True),
    (["0.0.0.0/0"], "2001:4860:4860::8888", None, False),
    (["127.0.0.0/8"], "127.0.0.1", None, True),
    (["127.0.0.0/8"], "127.0.0.1", "localhost", True),
    (["127.0.0.1"], "127.0.0.1", None, True),
    (["127.0.0.1"], "127.0.0.2", None, False),
    (["::1"], "::1", None, True),
    (["169.254.169.254"], "169.254.169.254", None, True),
    (["169.254.0.0/16"], "169.254.169.254", None, True),
    (["168.0.0.0/6"], "169.254.169.254", None, False),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "address", "name", "allowed"), ALLOWED, ids=repr)
def test_what_is_allowed(rules: list[str], address: str, name: str | None, allowed: bool) -> None:
    from sandboxkit.egress.addresses import parse

    parsed = parse(address)
    assert parsed is not None
    assert Rules(rules).allows(parsed, name) is allowed


def test_what_may_be_looked_up() -> None:
    rules = Rules(["example.org", "*.example.net", "10.0.0.0/8"])
    assert rules.names("example.org")
    assert rules.names("a.example.net")
    for name in ("example.com", "example.net", "a.example.org", "10.0.0.1"):
        assert not rules.names(name), name


def test_names() -> None:
    assert host_name("EXAMPLE.org.") == "example.org"
    for bad in ("", ".", "a..b", "a/b", "a@b", "a:1", "127.1", "1", "0x1", "a" * 64, "ü" * 80):
        assert host_name(bad) is None, bad
