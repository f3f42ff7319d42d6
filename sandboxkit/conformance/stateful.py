"""Random sequences of operations on several sandboxes, held against a model written apart.

The model is a dictionary of dictionaries. It shares no code with the providers, with the memory
provider least of all: else both could be wrong in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from sandboxkit import (
    FileError,
    Sandbox,
    SandboxNotFoundError,
    Snapshot,
    SnapshotNotFoundError,
)

from .target import Target

__all__ = ["PROFILES", "SandboxMachine", "profile_for"]

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
PROFILES = {
    "model": settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=_SLOW
    ),
    "near": settings(
        max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=_SLOW
    ),
    # Where each step costs a round trip and money, a failure is told as it was found.
    "far": settings(
        max_examples=3,
        stateful_step_count=30,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=_SLOW,
    ),
}
"""How far the search goes, by how far away the sandboxes are."""

MAX_LIVE = 5


def profile_for(isolation: str) -> str:
    """The profile that suits a provider: ``model``, ``near`` or ``far``."""
    if isolation == "none":
        return "model"
    return "far" if isolation in ("remote", "microvm") else "near"


_names = st.sampled_from(["a", "b", "c d", "ü", "x" * 40])
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join)
_contents = st.one_of(
    st.binary(max_size=64), st.just(bytes(range(256)) * 300), st.just(b"\r\n \xff\n")
)


@dataclass(eq=False)
class Model:
    """What a sandbox should hold.

    Attributes:
        sandbox: the real one.
        files: relative path to content; ``None`` is a directory.
    """

    sandbox: Sandbox
    files: dict[str, bytes | None] = field(default_factory=dict)


@dataclass(eq=False)
class Saved:
    """What a snapshot should hold."""

    snapshot: Snapshot
    files: dict[str, bytes | None]


def parents(path: str) -> list[str]:
    """The directories above a path, the highest first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


class SandboxMachine(RuleBasedStateMachine):
    """Lifecycle, files, snapshots and forks."""

    live: Bundle[Model] = Bundle("live")
    saved: Bundle[Saved] = Bundle("saved")
    ended: Bundle[Model] = Bundle("ended")

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self.flags = target.capabilities.flags()
        self.alive: list[Model] = []
        self.kept: list[Saved] = []
        self.base = "model"

    def teardown(self) -> None:
        """Leave nothing."""
        for model in self.alive:
            model.sandbox.kill()
            model.sandbox.close()
        for saved in self.kept:
            saved.snapshot.delete()

    def path(self, name: str) -> str:
        """Where a file of the model is in the sandbox."""
        return f"{self.base}/{name}"

    def adopt(self, sandbox: Sandbox, files: dict[str, bytes | None]) -> Model:
        """A sandbox is there."""
        model = Model(sandbox, dict(files))
        self.alive.append(model)
        return model

    # -- lifecycle ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.alive) < MAX_LIVE)
    @rule(target=live)
    def create(self) -> Any:
        """A fresh one is empty."""
        sandbox = self.target.create()
        if self.flags["file_ops"]:
            sandbox.files.mkdir(self.base)
        return self.adopt(sandbox, {})

    @rule(model=live)
    def reconnect(self, model: Model) -> None:
        """Another client sees the same."""
        if model not in self.alive:
            return
        with Sandbox.connect(model.sandbox.address, profile=self.target.profile) as other:
            self.compare(other, model)

    @rule(target=ended, model=consumes(live))
    def kill(self, model: Model) -> Any:
        """It is gone, and killing it again changes nothing."""
        if model not in self.alive:
            return multiple()
        assert model.sandbox.kill() is True
        assert model.sandbox.kill() is False
        self.alive.remove(model)
        return model

    @rule(model=ended)
    def use_after_kill(self, model: Model) -> None:
        """Nothing of it can be used."""
        for use in (
            lambda: model.sandbox.files.read_bytes(self.path("a")),
            lambda: Sandbox.connect(model.sandbox.address, profile=self.target.profile),
        ):
            try:
                use()
            except SandboxNotFoundError:
                continue
            raise AssertionError("a killed sandbox can be used")

    @precondition(lambda self: self.flags["pause"])
    @rule(model=live)
    def pause_and_resume(self, model: Model) -> None:
        """A pause loses nothing."""
        if model in self.alive:
            model.sandbox.pause()
            model.sandbox.resume()
            self.compare(model.sandbox, model)

    # -- files --------------------------------------------------------------------------------

    @rule(model=live, path=_paths, content=_contents)
    def write(self, model: Model, path: str, content: bytes) -> None:
        """What is written is there, or it cannot be there and says why."""
        if model not in self.alive:
            return
        in_the_way = any(model.files.get(parent) is not None for parent in parents(path))
        is_directory = path in model.files and model.files[path] is None
        try:
            model.sandbox.files.write(self.path(path), content)
        except FileError:
            assert in_the_way or is_directory
            return
        assert not in_the_way
        assert not is_directory
        for parent in parents(path):
            model.files[parent] = None
        model.files[path] = content

    @rule(model=live, path=_paths)
    def read(self, model: Model, path: str) -> None:
        """What is read is what was written."""
        if model not in self.alive:
            return
        expected = model.files.get(path)
        try:
            content = model.sandbox.files.read_bytes(self.path(path))
        except FileError:
            assert expected is None
            return
        assert content == expected

    @precondition(lambda self: self.flags["file_ops"])
    @rule(model=live, path=_paths)
    def mkdir(self, model: Model, path: str) -> None:
        """A directory is there, with those above it."""
        if model not in self.alive:
            return
        blocked = any(model.files.get(one) is not None for one in [*parents(path), path])
        try:
            model.sandbox.files.mkdir(self.path(path))
        except FileError:
            assert blocked
            return
        assert not blocked
        for one in [*parents(path), path]:
            model.files[one] = None

    @precondition(lambda self: self.flags["file_ops"])
    @rule(model=live, path=_paths)
    def remove(self, model: Model, path: str) -> None:
        """What is removed is gone, with all below it."""
        if model not in self.alive:
            return
        try:
            model.sandbox.files.remove(self.path(path), recursive=True)
        except FileError:
            assert path not in model.files
            return
        assert path in model.files
        for name in [*model.files]:
            if name == path or name.startswith(path + "/"):
                del model.files[name]

    @precondition(lambda self: self.flags["file_ops"])
    @rule(model=live, path=_paths, other=_names)
    def rename(self, model: Model, path: str, other: str) -> None:
        """What is renamed is at its new place with all below it, and no longer at the old one."""
        if model not in self.alive or other in model.files:
            return
        try:
            model.sandbox.files.rename(self.path(path), self.path(other))
        except FileError:
            assert path not in model.files or other.startswith(path)
            return
        assert path in model.files
        for name in [*model.files]:
            if name == path or name.startswith(path + "/"):
                model.files[other + name[len(path) :]] = model.files.pop(name)

    @precondition(lambda self: self.flags["commands"])
    @rule(model=live, content=_contents)
    def write_by_command(self, model: Model, content: bytes) -> None:
        """What a command writes is read by the file API."""
        if model not in self.alive or model.files.get("by-command", b"") is None:
            return
        where = self.path("by-command")
        model.sandbox.run(f"cat > '{where}'", stdin=content, check=True)
        model.files["by-command"] = content

    # -- snapshots ----------------------------------------------------------------------------

    @precondition(lambda self: self.flags["snapshots"] and len(self.kept) < MAX_LIVE)
    @rule(target=saved, model=live)
    def snapshot(self, model: Model) -> Any:
        """Saved state is that of the moment."""
        if model not in self.alive:
            return multiple()
        one = Saved(model.sandbox.snapshot(), dict(model.files))
        self.kept.append(one)
        return one

    @precondition(lambda self: len(self.alive) < MAX_LIVE)
    @rule(target=live, one=saved)
    def restore(self, one: Saved) -> Any:
        """What is restored is as it was saved, whatever has happened since."""
        if one not in self.kept:
            return multiple()
        sandbox = self.target.create(snapshot=one.snapshot)
        model = self.adopt(sandbox, one.files)
        self.compare(sandbox, model)
        return model

    @rule(one=consumes(saved))
    def delete_snapshot(self, one: Saved) -> None:
        """What is deleted cannot be restored, and what was restored before lives on."""
        assert one.snapshot.delete() is True
        self.kept.remove(one)
        try:
            self.target.create(snapshot=one.snapshot)
        except SnapshotNotFoundError:
            return
        raise AssertionError("a deleted snapshot can be restored")

    @precondition(lambda self: self.flags["fork"] and len(self.alive) + 2 <= MAX_LIVE)
    @rule(target=live, model=live)
    def fork(self, model: Model) -> Any:
        """Forks begin as their source is, and are their own from then on."""
        if model not in self.alive:
            return multiple()
        made = [self.adopt(sandbox, model.files) for sandbox in model.sandbox.fork(2)]
        for one in made:
            self.compare(one.sandbox, one)
        return multiple(*made)

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def listed_are_the_living(self) -> None:
        """The list is exactly what is alive."""
        listed = Sandbox.list(self.target.profile, session=self.target.session)
        assert {info.id for info in listed} == {model.sandbox.id for model in self.alive}

    def compare(self, sandbox: Sandbox, model: Model) -> None:
        """All files of a sandbox are the model's, and no others."""
        if self.flags["file_ops"]:
            found = sandbox.files.list(self.base, depth=10)
            start = f"{sandbox.info().workdir}/{self.base}/"
            names = {info.path.removeprefix(start): info.is_dir for info in found}
            assert names == {name: content is None for name, content in model.files.items()}
        for name, content in model.files.items():
            if content is not None:
                assert sandbox.files.read_bytes(self.path(name)) == content
