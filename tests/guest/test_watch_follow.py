"""What a watch tells, when its events are read late: step by step, with the real inotify."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.conformance.suite.watch_program import Chaos, tree
from sandboxkit.conformance.watching import Picture
from sandboxkit.guest.agent import watchfollow, watchtree
from sandboxkit.guest.agent.errors import OpError
from sandboxkit.guest.agent.watchfollow import Follower


class Rig:
    """A follower that reads only when told to, and a picture of what it tells."""

    def __init__(self, root: Path, recursive: bool = True) -> None:
        self.root = root
        self.picture = Picture(str(root))
        self.told: list[tuple[str, ...]] = []
        self.follower = Follower(os.fsencode(root), recursive, self.tell)
        self.settle()
        self.picture.entries = tree(str(root))

    def tell(self, kind: str, path: bytes, type_: str, target: bytes | None) -> None:
        event = {
            "kind": kind,
            "path": os.fsdecode(path),
            "type": type_,
            "target": None if target is None else os.fsdecode(target),
        }
        paths = [os.path.relpath(at, self.root) for at in (event["path"], event["target"]) if at]
        self.told.append((kind, *paths))
        self.picture.fold(event)

    def step(self) -> bool:
        more = self.follower.step()
        self.follower.pause()
        return more

    def settle(self) -> None:
        """Read all there is; nothing that was moved out of sight comes back."""
        while self.step() or self.follower.wants_partner:
            if self.follower.wants_partner:
                self.follower.give_up_partner()

    def check(self) -> None:
        self.settle()
        assert self.picture.entries == tree(str(self.root)), self.told


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    root = tmp_path / "root"
    root.mkdir()
    made = Rig(root)
    try:
        yield made
    finally:
        made.follower.close()


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def chain(root: Path) -> None:
    put(root / "a/deep/f")
    for before, after in ("ab", "bc", "cd"):
        os.rename(root / before, root / after)


def reuse(root: Path) -> None:
    put(root / "a/first")
    os.rename(root / "a", root / "b")
    put(root / "a/second")
    os.rename(root / "a", root / "c")
    put(root / "a/third")


def rotate(root: Path) -> None:
    for name in "abc":
        put(root / name / f"in-{name}")
    for before, after in (("a", "x"), ("b", "a"), ("c", "b"), ("x", "c")):
        os.rename(root / before, root / after)


def replace(root: Path) -> None:
    put(root / "a/f")
    (root / "b").mkdir()
    os.rename(root / "a", root / "b")
    put(root / "a")


def become_a_file(root: Path) -> None:
    put(root / "a/f")
    shutil.rmtree(root / "a")
    put(root / "a")
    os.unlink(root / "a")
    put(root / "a/g")


def nest(root: Path) -> None:
    put(root / "a/f")
    put(root / "b/g")
    os.rename(root / "a", root / "b/a")
    os.rename(root / "b", root / "c")
    (root / "a").mkdir()
    os.rename(root / "c/a", root / "a/a")


def file_moves_on(root: Path) -> None:
    put(root / "a/f")
    os.rename(root / "a/f", root / "g")
    os.symlink("x", root / "a/f")
    os.rename(root / "g", root / "a/g")


def under_a_moving_parent(root: Path) -> None:
    (root / "p").mkdir()
    (root / "p/d").mkdir()
    os.rename(root / "p", root / "q")
    put(root / "p/d/other")
    put(root / "q/d/mine")
    os.symlink("x", root / "q/link")
    os.mkfifo(root / "p/link")


def a_child_takes_the_place(root: Path) -> None:
    put(root / "a/k/f")
    os.rename(root / "a", root / "t")
    os.rename(root / "t", root / "z")
    os.rename(root / "z/k", root / "t")


OVERTAKEN = [
    a_child_takes_the_place,
    chain,
    reuse,
    rotate,
    replace,
    become_a_file,
    nest,
    file_moves_on,
    under_a_moving_parent,
]


@pytest.mark.parametrize("sequence", OVERTAKEN)
def test_events_that_were_overtaken(rig: Rig, sequence: Callable[[Path], None]) -> None:
    sequence(rig.root)
    rig.check()


@pytest.mark.parametrize("sequence", OVERTAKEN)
@pytest.mark.parametrize("other", OVERTAKEN)
def test_events_that_were_overtaken_twice(
    rig: Rig, sequence: Callable[[Path], None], other: Callable[[Path], None]
) -> None:
    sequence(rig.root)
    for entry in rig.root.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    other(rig.root)
    rig.check()


@pytest.mark.parametrize("seed", range(60))
def test_reading_now_and_then(rig: Rig, tmp_path: Path, seed: int) -> None:
    """Operations and single steps of the follower by turns, in any proportion."""
    outside = tmp_path / "outside"
    outside.mkdir()
    chaos = Chaos(str(rig.root), str(outside), f"chaos-{seed}")
    pick = random.Random(f"steps-{seed}")
    for _ in range(5):
        rig.picture.told.clear()
        chaos.written.clear()
        eager = pick.choice((0.0, 0.3, 1.0, 5.0))
        for _ in range(100):
            chaos.run(1)
            for _ in range(round(pick.expovariate(1 / eager)) if eager else 0):
                rig.step()
        rig.check()
        assert set(chaos.touched()) <= rig.picture.told


def when_all_is_read(rig: Rig, act: Callable[[], None]) -> None:
    """Have something happen after the last event was read, before what is doubted is looked at."""
    queue = rig.follower._tree.inotify
    real = queue.read
    waiting = [act]

    def read() -> list[Any]:
        events = real()
        if not events and waiting:
            waiting.pop()()
        return events

    queue.read = read  # type: ignore[method-assign]


def test_a_look_that_is_ahead_of_the_events(rig: Rig) -> None:
    put(rig.root / "d")
    put(rig.root / "x/f")
    rig.settle()
    rig.follower._doubts[rig.follower._tree.root, b"d"] = None

    def act() -> None:
        os.rename(rig.root / "d", rig.root / "e")
        os.rename(rig.root / "x", rig.root / "d")

    when_all_is_read(rig, act)
    rig.check()
    put(rig.root / "d/g")
    rig.check()


def test_a_look_that_comes_too_late_is_repeated(rig: Rig) -> None:
    put(rig.root / "a/sub/f")
    rig.settle()
    watched = rig.follower._tree
    parent = watched.root.children[b"a"]
    child = parent.children[b"sub"]
    assert child.wd is not None
    watched.inotify.remove(child.wd)
    watched.unwatched(child)
    rig.follower._doubts[parent, b"sub"] = None
    when_all_is_read(rig, lambda: os.rename(rig.root / "a", rig.root / "b"))
    rig.check()
    put(rig.root / "b/sub/g")
    rig.check()


def test_a_rename_is_one_event(rig: Rig) -> None:
    put(rig.root / "a/deep/f")
    put(rig.root / "b/x")
    rig.settle()
    rig.told.clear()
    os.rename(rig.root / "a", rig.root / "b/c")
    os.rename(rig.root / "b/x", rig.root / "y")
    rig.check()
    assert rig.told == [("renamed", "a", "b/c"), ("renamed", "b/x", "y")]


def test_a_directory_is_told_once(rig: Rig) -> None:
    put(rig.root / "a/b/c/f")
    rig.check()
    assert rig.told.count(("created", "a/b/c")) == 1
    assert rig.told.count(("created", "a/b/c/f")) == 1


def test_what_comes_while_a_directory_is_looked_through(rig: Rig) -> None:
    for number in range(500):
        put(rig.root / f"a/{number}")
    for _ in range(4):
        rig.step()
    for number in range(0, 500, 2):
        os.unlink(rig.root / f"a/{number}")
    put(rig.root / "a/new")
    rig.check()


def flood(directory: Path) -> None:
    """More events than the kernel keeps, none of which is like the one before."""
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    names = (directory / "one", directory / "two")
    for name in names:
        name.touch()
    for _ in range(queue // 2 + 1):
        for name in names:
            os.utime(name)


def test_after_an_overflow_all_is_told(rig: Rig) -> None:
    put(rig.root / "before/f")
    rig.settle()
    flood(rig.root)
    put(rig.root / "lost/deep/f")
    (rig.root / "before/f").unlink()
    rig.check()
    assert rig.picture.overflows == 1
    put(rig.root / "lost/deep/g")
    put(rig.root / "lost/new/h")
    rig.check()
    assert rig.picture.overflows == 1


def test_the_root_that_goes(rig: Rig, tmp_path: Path) -> None:
    put(rig.root / "f")
    os.rename(rig.root, tmp_path / "elsewhere")
    rig.settle()
    assert rig.told[-1] == ("removed", ".")
    assert rig.follower.ended
    assert not rig.follower.step()


def test_the_root_that_goes_with_its_parent(tmp_path: Path) -> None:
    root = tmp_path / "parent/root"
    root.mkdir(parents=True)
    rig = Rig(root)
    os.rename(tmp_path / "parent", tmp_path / "elsewhere")
    (tmp_path / "elsewhere/root/d").mkdir()
    rig.settle()
    assert rig.told[-1] == ("removed", ".")
    assert rig.follower.ended


def test_only_so_many_directories(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchtree, "MAX_DIRECTORIES", 10)
    for number in range(12):
        (rig.root / str(number)).mkdir()
    with pytest.raises(OpError) as caught:
        rig.settle()
    assert caught.value.code == "too_many"


def test_not_below(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    rig = Rig(tmp_path, recursive=False)
    put(tmp_path / "d/unseen")
    os.rename(tmp_path / "d", tmp_path / "e")
    put(tmp_path / "e/unseen too")
    os.symlink("x", tmp_path / "l")
    os.unlink(tmp_path / "l")
    rig.settle()
    rig.follower.close()
    assert rig.told == [("renamed", "d", "e"), ("created", "l"), ("removed", "l")]


def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for number in range(200):
        put(tmp_path / "root" / str(number))
    for steps in range(4):
        follower = Follower(os.fsencode(tmp_path / "root"), True, lambda *_: None)
        for _ in range(steps):
            follower.step()
        follower.pause()
        follower.close()
        follower.close()
    with pytest.raises(FileNotFoundError):
        Follower(os.fsencode(tmp_path / "missing"), True, lambda *_: None)
    assert os.listdir("/proc/self/fd") == before


def test_kinds_are_those_of_the_models() -> None:
    from typing import get_args

    from sandboxkit.models import FileEventKind

    names = ("CREATED", "MODIFIED", "ATTRIBUTES", "REMOVED", "RENAMED", "OVERFLOW")
    assert {getattr(watchfollow, name) for name in names} == set(get_args(FileEventKind))
