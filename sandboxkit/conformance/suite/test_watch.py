"""Watching directories: nothing is missed, or the watch says so."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sandboxkit import (
    FileEvent,
    InvalidRequestError,
    PathPermissionError,
    Sandbox,
    SandboxNotFoundError,
    Watch,
)
from sandboxkit.conformance.target import Target
from sandboxkit.conformance.watching import PROGRAM, Picture

HOME = "/home/user/"
PATIENCE = 30.0

Short = tuple[str, ...]


def short(event: FileEvent) -> Short:
    """Kind, type and the paths below the home."""
    told = (event.kind, event.type, event.path.removeprefix(HOME))
    return told if event.target is None else (*told, event.target.removeprefix(HOME))


def events_until(watch: Watch, last: Callable[[Short], bool]) -> list[Short]:
    seen: list[Short] = []
    while not seen or not last(seen[-1]):
        event = watch.next(timeout=PATIENCE)
        assert event is not None, seen
        seen.append(short(event))
    return seen


_ends = itertools.count()


def happened(sandbox: Sandbox, watch: Watch, command: str) -> list[Short]:
    """What a command makes a watch tell."""
    end = f"watched/end-{next(_ends)}"
    sandbox.run(f"{command}; mkdir {end} && rmdir {end}", check=True)
    seen = events_until(watch, lambda told: told == ("removed", "directory", end))
    return [told for told in seen if not told[2].startswith("watched/end-")]


@pytest.fixture
def watched(sandbox: Sandbox) -> Iterator[Watch]:
    sandbox.files.mkdir("watched")
    with sandbox.files.watch("watched", recursive=True) as watch:
        yield watch


@pytest.mark.needs("watch")
def test_each_kind_is_told(sandbox: Sandbox, watched: Watch) -> None:
    cases: dict[str, list[Short]] = {
        "echo 1 > watched/f": [
            ("created", "file", "watched/f"),
            ("modified", "file", "watched/f"),
        ],
        "echo 2 >> watched/f": [("modified", "file", "watched/f")],
        "chmod 600 watched/f": [("attributes", "file", "watched/f")],
        "mv watched/f watched/g": [("renamed", "file", "watched/f", "watched/g")],
        "mv watched/g out": [("removed", "file", "watched/g")],
        "mv out watched/h": [("created", "file", "watched/h")],
        "rm watched/h": [("removed", "file", "watched/h")],
        "ln -s nowhere watched/l": [("created", "symlink", "watched/l")],
        "rm watched/l": [("removed", "symlink", "watched/l")],
        "mkfifo watched/p": [("created", "other", "watched/p")],
    }
    for command, expected in cases.items():
        assert happened(sandbox, watched, command) == expected, command


@pytest.mark.needs("watch")
def test_what_is_below_is_told_when_asked_for(sandbox: Sandbox, watched: Watch) -> None:
    seen = happened(sandbox, watched, "mkdir -p watched/a/b; echo 1 > watched/a/b/c")
    assert seen[:2] == [
        ("created", "directory", "watched/a"),
        ("created", "directory", "watched/a/b"),
    ]
    assert ("created", "file", "watched/a/b/c") in seen
    with sandbox.files.watch("watched") as flat:
        assert happened(sandbox, flat, "touch watched/a/x watched/y") == [
            ("created", "file", "watched/y"),
            ("attributes", "file", "watched/y"),
        ]
        assert happened(sandbox, flat, "mv watched/a watched/d") == [
            ("renamed", "directory", "watched/a", "watched/d")
        ]


@pytest.mark.needs("watch")
def test_directories_that_move_keep_their_content(sandbox: Sandbox, watched: Watch) -> None:
    happened(sandbox, watched, "mkdir -p watched/a/deep watched/b")
    assert happened(sandbox, watched, "mv watched/a watched/b/moved") == [
        ("renamed", "directory", "watched/a", "watched/b/moved")
    ]
    assert ("created", "file", "watched/b/moved/deep/f") in happened(
        sandbox, watched, "echo 1 > watched/b/moved/deep/f"
    )
    assert happened(sandbox, watched, "mv watched/b/moved out") == [
        ("removed", "directory", "watched/b/moved")
    ]
    assert happened(sandbox, watched, "touch out/deep/g") == []
    seen = happened(sandbox, watched, "mv out watched/back")
    assert seen[0] == ("created", "directory", "watched/back")
    assert {told[2] for told in seen} == {
        "watched/back",
        "watched/back/deep",
        "watched/back/deep/f",
        "watched/back/deep/g",
    }


@pytest.mark.needs("watch")
def test_symlinks_are_not_followed(sandbox: Sandbox, watched: Watch) -> None:
    assert happened(sandbox, watched, "mkdir other; ln -s ../other watched/link") == [
        ("created", "symlink", "watched/link")
    ]
    assert happened(sandbox, watched, "touch other/f watched/link/g") == []


@pytest.mark.needs("watch")
def test_names_may_be_odd(sandbox: Sandbox, watched: Watch) -> None:
    command = "touch 'watched/new\nline' $'watched/\\xff\\xfe' 'watched/ü 😀'"
    names = {told[2] for told in happened(sandbox, watched, command)}
    assert names == {"watched/new\nline", "watched/\udcff\udcfe", "watched/ü 😀"}


@pytest.mark.needs("watch")
def test_files_written_by_the_api_are_told(sandbox: Sandbox, watched: Watch) -> None:
    sandbox.files.write("watched/sub/file", "content")
    seen = events_until(watched, lambda told: told[-1] == "watched/sub/file")
    assert seen[0] == ("created", "directory", "watched/sub")


@pytest.mark.needs("watch")
def test_it_ends_with_its_directory(sandbox: Sandbox, watched: Watch) -> None:
    sandbox.run("touch watched/f && rm -r watched", check=True)
    assert [short(event) for event in watched][-2:] == [
        ("removed", "file", "watched/f"),
        ("removed", "directory", "watched"),
    ]
    assert watched.next() is None


@pytest.mark.needs("watch")
def test_what_cannot_be_watched_is_refused(sandbox: Sandbox) -> None:
    sandbox.files.write("file", "")
    for path, kind in {
        "missing": FileNotFoundError,
        "file": NotADirectoryError,
        "file/below": NotADirectoryError,
    }.items():
        with pytest.raises(kind) as caught, sandbox.files.watch(path):
            pass
        assert caught.value.path == HOME + path
    sandbox.run("mkdir -m 000 closed", check=True)
    with pytest.raises(PathPermissionError) as refused, sandbox.files.watch("closed"):
        pass
    assert (refused.value.op, refused.value.sandbox_id) == ("watch", sandbox.id)
    with pytest.raises(InvalidRequestError):
        sandbox.files.watch("a\0b")
    with pytest.raises(InvalidRequestError), sandbox.files.watch(user="nobody-of-this-name"):
        pass


@pytest.mark.needs("watch", "users")
def test_what_the_user_may_not_read_is_not_told(sandbox: Sandbox, watched: Watch) -> None:
    sandbox.run("chmod 777 watched", check=True)
    sandbox.run("mkdir -m 700 /home/user/watched/secret", user="root", check=True)
    sandbox.run("touch /home/user/watched/secret/x", user="root", check=True)
    seen = happened(sandbox, watched, "true")
    assert {told[2] for told in seen} == {"watched", "watched/secret"}
    with sandbox.files.watch("watched", recursive=True, user="root") as all_seeing:
        sandbox.run("touch /home/user/watched/secret/y", user="root", check=True)
        assert ("created", "file", "watched/secret/y") in happened(sandbox, all_seeing, "true")
    sandbox.run("chmod 755 /home/user/watched/secret", user="root", check=True)
    events_until(watched, lambda told: told == ("created", "file", "watched/secret/y"))


@pytest.mark.needs("watch")
def test_waiting_for_an_event_can_be_given_up(sandbox: Sandbox, watched: Watch) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        watched.next(timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 5
    sandbox.run("mkdir watched/d", check=True)
    assert short(watched.next(timeout=PATIENCE)) == ("created", "directory", "watched/d")


@pytest.mark.needs("watch")
def test_closing_it_from_another_thread_ends_the_iteration(sandbox: Sandbox) -> None:
    watch = sandbox.files.watch()
    seen: list[FileEvent] = []
    reader = threading.Thread(target=lambda: seen.extend(watch))
    with watch:
        reader.start()
        sandbox.files.write("f", "")
        watch.close()
        reader.join(PATIENCE)
    assert not reader.is_alive()
    with pytest.raises(InvalidRequestError, match="closed"), watch:
        pass


@pytest.mark.needs("watch")
def test_iterating_is_enough(sandbox: Sandbox) -> None:
    done = threading.Event()

    def work() -> None:
        turn = 0
        while not done.wait(0.05):
            turn += 1
            sandbox.files.mkdir(f"turn-{turn}")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for event in sandbox.files.watch():
            assert event.kind == "created"
            break
    finally:
        done.set()
        worker.join()


@pytest.mark.needs("watch")
def test_the_sandboxs_end_is_its_end(target: Target) -> None:
    with target.create() as sandbox, sandbox.files.watch() as watch:
        failure: list[SandboxNotFoundError] = []

        def read() -> None:
            try:
                for _ in watch:
                    pass
            except SandboxNotFoundError as error:
                failure.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        reader.join(0.2)
        assert reader.is_alive()
        with Sandbox.connect(sandbox.address) as other:
            other.kill()
        reader.join(PATIENCE)
        assert not reader.is_alive()
        assert [error.sandbox_id for error in failure] == [sandbox.id]


@pytest.mark.needs("watch")
def test_two_watches_do_not_disturb_each_other(sandbox: Sandbox, watched: Watch) -> None:
    with sandbox.files.watch("watched", recursive=True) as second:
        assert happened(sandbox, watched, "mkdir watched/d") == [
            ("created", "directory", "watched/d")
        ]
    assert happened(sandbox, watched, "rmdir watched/d") == [("removed", "directory", "watched/d")]
    assert second.next() is None


# -- nothing is missed --------------------------------------------------------------------------


class Observer:
    """Folds what a watch tells into a picture, which knows nothing of how watches work."""

    def __init__(self, watch: Watch, root: str) -> None:
        self.watch = watch
        self.picture = Picture(root)

    def catch_up(self, tree: dict[str, str], touched: set[str]) -> None:
        """Take events until the picture is right; fails if it never is."""
        picture = self.picture
        while picture.entries != tree or not touched <= picture.told:
            try:
                event = self.watch.next(timeout=5)
            except TimeoutError:
                differs = dict(set(tree.items()) ^ set(picture.entries.items()))
                untold = touched - picture.told
                raise AssertionError(f"wrong: {differs}; never told: {untold}") from None
            assert event is not None
            picture.fold(
                {name: getattr(event, name) for name in ("kind", "path", "type", "target")}
            )


def burst(sandbox: Sandbox, seed: str, count: int) -> tuple[dict[str, str], set[str]]:
    """Random operations; the tree after them, as `find` sees it, and which files were written."""
    program = ["python3", "-c", PROGRAM, HOME + "watched", HOME + "outside", seed, str(count)]
    report = json.loads(sandbox.run(program, check=True, max_output="64MiB").stdout)
    found = sandbox.run(
        ["find", HOME + "watched", "-mindepth", "1", "-printf", "%y %p\\0"], check=True
    ).stdout
    types = {"f": "file", "d": "directory", "l": "symlink"}
    tree = {record[2:]: types.get(record[0], "other") for record in found.split("\0") if record}
    assert tree == report["tree"]
    return tree, set(report["touched"])


@pytest.mark.needs("watch")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_none_of_ten_thousand_operations_is_missed(
    sandbox: Sandbox, watched: Watch, seed: int
) -> None:
    sandbox.files.mkdir("outside")
    observer = Observer(watched, HOME + "watched")
    for turn in range(10):
        observer.picture.told.clear()
        tree, touched = burst(sandbox, f"{seed}-{turn}", 1000)
        observer.catch_up(tree, touched)
    assert observer.picture.events > 10_000


@pytest.mark.needs("watch")
@pytest.mark.slow
def test_an_overflow_is_told_and_recovered_from(sandbox: Sandbox, watched: Watch) -> None:
    sandbox.files.mkdir("outside")
    observer = Observer(watched, HOME + "watched")
    observer.catch_up(*burst(sandbox, "before", 500))
    flood = "import os\nfor n in range(60000): os.mkdir(f'flood{n}'); os.rmdir(f'flood{n}')"
    sandbox.run(["python3", "-c", flood], cwd="watched", check=True)
    for turn in range(3):
        observer.picture.told.clear()
        observer.catch_up(*burst(sandbox, f"after-{turn}", 500))
    assert observer.picture.overflows >= 1
