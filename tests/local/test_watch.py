"""Watches on the sandbox's overlay: files that come from below are watched like others."""

from __future__ import annotations

import pytest

from sandboxkit import Sandbox, Watch


def told(watch: Watch, last: tuple[str, str]) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    while not seen or seen[-1] != last:
        event = watch.next(timeout=30)
        assert event is not None
        seen.append((event.kind, event.path))
    return seen


@pytest.mark.root
def test_the_first_change_of_a_file_from_below() -> None:
    with Sandbox.create("local", lifetime="5m") as sandbox:
        with sandbox.files.watch("/etc", recursive=True, user="root") as watch:
            for change, kind in {
                "echo '# more' >> /etc/hosts": "modified",
                "echo '# more' >> /etc/hosts ": "modified",
                "chmod 600 /etc/group": "attributes",
                "rm /etc/nsswitch.conf": "removed",
            }.items():
                path = change.split()[-1]
                sandbox.run(change, user="root", check=True)
                assert set(told(watch, (kind, path))) <= {(kind, path), ("attributes", path)}
            sandbox.run("mv /etc/hosts /etc/moved; touch /etc/end", user="root", check=True)
            assert told(watch, ("created", "/etc/end")) == [
                ("renamed", "/etc/hosts"),
                ("created", "/etc/end"),
            ]


def test_a_directory_from_below() -> None:
    with Sandbox.create("local", lifetime="5m") as sandbox:
        with sandbox.files.watch("/home", recursive=True) as watch:
            sandbox.run("touch /home/user/first; mkdir -p /home/user/d/e; touch /home/user/d/e/f")
            seen = told(watch, ("created", "/home/user/d/e/f"))
            assert ("created", "/home/user/first") in seen
            sandbox.run("chmod 700 /home/user; touch /home/user/second", check=True)
            assert ("attributes", "/home/user") in told(watch, ("created", "/home/user/second"))


def test_the_whole_root_is_watched_without_what_is_mounted_there() -> None:
    with Sandbox.create("local", lifetime="5m") as sandbox:
        with sandbox.files.watch("/", recursive=True) as watch:
            sandbox.run("mkdir /tmp/d && touch /tmp/d/f", check=True)
            assert ("created", "/tmp/d") in told(watch, ("created", "/tmp/d/f"))
