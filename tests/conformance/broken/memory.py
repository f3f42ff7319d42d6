"""Wrong in lifecycle, files or snapshots: made from the model."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sandboxkit.errors import (
    PathNotDirectoryError,
    SandboxError,
    SandboxNotFoundError,
    SnapshotNotFoundError,
    TemplateNotFoundError,
)
from sandboxkit.models import FileInfo, SandboxInfo, SnapshotInfo
from sandboxkit.provider import (
    CreateRequest,
    KillRequest,
    LifetimeRequest,
    ListFilesRequest,
    ListRequest,
    MkdirRequest,
    PathRequest,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    SandboxRequest,
    SnapshotIdRequest,
    SnapshotRequest,
    WriteFileRequest,
)
from sandboxkit.testing import MemoryProvider
from sandboxkit.testing.memory import MemorySettings
from sandboxkit.testing.memory_files import Node, Tree

from . import broken

FILES = ("files",)
LIFECYCLE = ("errors", "faults", "lifecycle")
SNAPSHOTS = ("snapshots",)


class Memory(MemoryProvider):
    """Right, in a world of its own."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(MemorySettings(world=self.name))

    def tree(self, request: SandboxRequest) -> Tree:
        return self._sandbox(request).tree

    def change(self, info: SandboxInfo, **fields: object) -> SandboxInfo:
        changed = replace(info, **fields)
        self.world.sandboxes[info.id].info = changed
        return changed


async def whole(data: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in data])


async def one(content: bytes) -> AsyncIterator[bytes]:
    yield content


# -- files --------------------------------------------------------------------------------------


class Rewriting(Memory):
    """Does something to what is written."""

    def rewritten(self, content: bytes) -> bytes:
        raise NotImplementedError

    async def write_file(self, request: WriteFileRequest) -> None:
        content = self.rewritten(await whole(request.data))
        await super().write_file(replace(request, data=one(content)))


@broken("test_what_was_written_is_read", "test_stat_and_list", topics=FILES)
class TranslatesLineEnds(Rewriting):
    """Opens files in text mode."""

    def rewritten(self, content: bytes) -> bytes:
        return content.replace(b"\r\n", b"\n") if len(content) < 100 else content


@broken("test_what_was_written_is_read", "test_stat_and_list", topics=FILES)
class StripsContent(Rewriting):
    """Passes content through a shell's ``$(...)``."""

    def rewritten(self, content: bytes) -> bytes:
        return content.rstrip(b"\n") if len(content) < 10 and content.endswith(b"\n\n") else content


@broken("test_what_was_written_is_read", "test_stat_and_list", topics=FILES)
class TruncatesLargeFiles(Rewriting):
    """Has a limit that it does not declare."""

    def rewritten(self, content: bytes) -> bytes:
        return content[: 1 << 20]


@broken(
    "test_what_was_written_is_read",
    "test_files_are_there_from_the_start",
    "test_restored_as_it_was",
    "test_stat_and_list",
    "test_text_and_sources",
    "test_upload_and_download",
    topics=FILES,
)
class TextFilesOnly(Rewriting):
    """Decodes what is not text, with replacement."""

    def rewritten(self, content: bytes) -> bytes:
        return content.decode("utf-8", "replace").encode()


@broken("test_ranges", topics=FILES)
class IgnoresLength(Memory):
    """Reads to the end, whatever was asked for."""

    async def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        async for piece in super().read_file(replace(request, length=None)):
            yield piece


@broken("test_ranges", topics=FILES)
class IgnoresOffset(Memory):
    """Reads from the beginning, whatever was asked for."""

    async def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        async for piece in super().read_file(replace(request, offset=0)):
            yield piece


@broken("test_modes", topics=FILES)
class ForgetsTheModeOnReplace(Memory):
    """Replaces a file by a new one with default permissions."""

    async def write_file(self, request: WriteFileRequest) -> None:
        mode = 0o644 if request.mode is None else request.mode
        await super().write_file(replace(request, mode=mode))


@broken("test_modes", "test_restored_as_it_was", "test_upload_and_download", topics=FILES)
class IgnoresTheMode(Memory):
    """Never makes anything executable."""

    async def write_file(self, request: WriteFileRequest) -> None:
        await super().write_file(replace(request, mode=None))


@broken("test_stat_and_list", topics=FILES)
class ListsTooDeep(Memory):
    """Lists recursively, always."""

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        return await super().list_files(replace(request, depth=max(2, request.depth)))


@broken("test_stat_and_list", topics=FILES)
class ListsInAnyOrder(Memory):
    """Lists as the directory happens to be laid out."""

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        return [*reversed(await super().list_files(request))]


@broken("test_stat_and_list", topics=FILES)
class FilesAreRoots(Memory):
    """Says that everything is root's."""

    async def stat(self, request: PathRequest) -> FileInfo:
        return replace(await super().stat(request), owner="root")


@broken("test_mkdir", topics=FILES)
class MkdirNeverMinds(Memory):
    """``mkdir -p``, always."""

    async def mkdir(self, request: MkdirRequest) -> None:
        await super().mkdir(replace(request, parents=True))


@broken("test_remove_and_rename", topics=FILES)
class RenameCopies(Memory):
    """Leaves the old name behind."""

    async def rename(self, request: RenameRequest) -> None:
        tree = self.tree(request)
        before = tree.copy()
        await super().rename(request)
        if before.stat(request.path).type == "file":
            content = before.read(request.path)
            tree.write(request.path, content, before.stat(request.path).mode, "user")


@broken("test_remove_and_rename", topics=FILES)
class RemovesRecursively(Memory):
    """``rm -rf``, always."""

    async def remove(self, request: RemoveRequest) -> None:
        await super().remove(replace(request, recursive=True))


@broken("test_a_source_that_fails_leaves_the_old_file", topics=FILES)
class WritesInPlace(Memory):
    """Opens the target for writing before it has the content."""

    async def write_file(self, request: WriteFileRequest) -> None:
        async def seen() -> AsyncIterator[bytes]:
            written = b""
            async for piece in request.data:
                written += piece
                self.tree(request).write(request.path, written, request.mode, "user")
                yield piece

        await super().write_file(replace(request, data=seen()))


@broken("test_a_source_that_fails_leaves_the_old_file", topics=FILES)
class LeavesTemporaryFiles(Memory):
    """Does not clean up after a write that failed."""

    async def write_file(self, request: WriteFileRequest) -> None:
        tree = self.tree(request)
        temporary = posixpath.join(posixpath.dirname(request.path), ".tmp-0")
        tree.write(temporary, b"", 0o600, "user")
        await super().write_file(request)
        tree.remove(temporary, recursive=False)


@broken("test_errors_of_directories_are_the_built_ins", topics=FILES)
class MissingDirectoriesAreEmpty(Memory):
    """Lists what is not there as nothing."""

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        try:
            return await super().list_files(request)
        except FileNotFoundError:
            return []


@broken("test_errors_are_the_built_ins", topics=FILES)
class MissingFilesAreEmpty(Memory):
    """Reads what is not there as nothing."""

    async def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        try:
            async for piece in super().read_file(request):
                yield piece
        except FileNotFoundError:
            return


@broken("test_errors_of_directories_are_the_built_ins", topics=FILES)
class OneErrorForAll(Memory):
    """Raises one kind of error for everything that is wrong with a directory."""

    async def list_files(self, request: ListFilesRequest) -> Sequence[FileInfo]:
        try:
            return await super().list_files(request)
        except PathNotDirectoryError as error:
            raise SandboxError(str(error)) from error


@broken(
    "test_errors_are_the_built_ins",
    "test_what_of_many_could_not_be_written_is_named",
    topics=FILES,
)
class SwallowsWriteErrors(Memory):
    """Says nothing when a directory is in the way."""

    async def write_file(self, request: WriteFileRequest) -> None:
        try:
            await super().write_file(request)
        except IsADirectoryError:
            return


@broken("test_parents_are_made_and_names_may_be_odd", topics=FILES)
class QuotesBadly(Memory):
    """Builds a command line from a path."""

    async def write_file(self, request: WriteFileRequest) -> None:
        await super().write_file(replace(request, path=request.path.replace("`", "")))


@broken("test_two_do_not_see_each_other", topics=LIFECYCLE)
class SharesTheTemporaryDirectory(Memory):
    """Mounts one ``/tmp`` into all sandboxes."""

    async def write_file(self, request: WriteFileRequest) -> None:
        content = await whole(request.data)
        trees = [self.tree(request)]
        if request.path == "/tmp/mine":
            trees = [sandbox.tree for sandbox in self.world.sandboxes.values()]
        for tree in trees:
            tree.write(request.path, content, request.mode, request.user or "user")


# -- lifecycle ----------------------------------------------------------------------------------


@broken(
    "test_kill_is_idempotent_and_verified",
    "test_independent_of_source_and_siblings",
    "test_lifetime_can_be_changed_and_connect_does_not",
    topics=LIFECYCLE,
)
class SecondKillRaises(Memory):
    """Treats a sandbox that is gone as an error."""

    async def kill(self, request: KillRequest) -> bool:
        self._sandbox(request)
        return await super().kill(request)


@broken("test_kill_is_idempotent_and_verified", topics=LIFECYCLE)
class KillAlwaysSaysYes(Memory):
    """Does not look whether there was anything to kill."""

    async def kill(self, request: KillRequest) -> bool:
        await super().kill(request)
        return True


@broken(
    "test_kill_is_idempotent_and_verified",
    "test_with_kills_what_it_created_and_spares_what_it_found",
    "test_lifetime_can_be_changed_and_connect_does_not",
    topics=LIFECYCLE,
)
class ConnectsToTheDead(Memory):
    """Answers from a cache of what it once made."""

    remembered: ClassVar[dict[str, SandboxInfo]] = {}

    async def create(self, request: CreateRequest) -> SandboxInfo:
        info = await super().create(request)
        self.remembered[info.id] = info
        return info

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        try:
            return await super().connect(request)
        except SandboxNotFoundError:
            known = self.remembered.get(request.sandbox_id)
            if known is None or (known.expires_at and known.expires_at <= datetime.now(UTC)):
                raise
            return known


@broken("test_many_are_listed", topics=LIFECYCLE)
class FirstPageOnly(Memory):
    """Stops listing after the first page."""

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        left = 10
        async for info in super().list(request):
            if not left:
                return
            left -= 1
            yield info


@broken("test_list_filters", topics=LIFECYCLE)
class IgnoresMetadataFilters(Memory):
    """Lists all that have the labels, whatever their metadata."""

    def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        return super().list(replace(request, metadata={}))


@broken("test_list_filters", topics=LIFECYCLE)
class IgnoresTheState(Memory):
    """Lists the running ones as paused, if those are asked for."""

    def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        return super().list(replace(request, state=None))


@broken("test_the_lifetime_ends_it", topics=LIFECYCLE)
class IgnoresTheLifetime(Memory):
    """Leaves it to the client to end a sandbox."""

    async def create(self, request: CreateRequest) -> SandboxInfo:
        info = await super().create(request)
        if request.lifetime == 2:
            info = self.change(info, expires_at=info.expires_at + timedelta(seconds=30))
        return info


@broken("test_lifetime_can_be_changed_and_connect_does_not", topics=LIFECYCLE)
class IgnoresAChangedLifetime(Memory):
    """Says yes to a new lifetime and keeps the old one."""

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        before = self._sandbox(request).info
        after = await super().set_lifetime(request)
        self.change(before)
        return after


@broken("test_lifetime_can_be_changed_and_connect_does_not", topics=LIFECYCLE)
class ConnectRenews(Memory):
    """Starts the lifetime anew whenever somebody looks."""

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        info = await super().connect(request)
        if info.expires_at is None:
            return info
        labelled = datetime.fromisoformat(info.labels["expires_at"])
        return self.change(info, expires_at=datetime.now(UTC) + (labelled - info.created_at))


@broken("test_lifetime_may_be_unlimited", topics=LIFECYCLE)
class UnlimitedIsADay(Memory):
    """Has a longest lifetime that it does not tell of."""

    async def create(self, request: CreateRequest) -> SandboxInfo:
        lifetime = 86_400.0 if request.lifetime is None else request.lifetime
        return await super().create(replace(request, lifetime=lifetime))


@broken("test_info_says_what_was_asked", topics=LIFECYCLE)
class MetadataIsAscii(Memory):
    """Sends metadata as headers."""

    async def create(self, request: CreateRequest) -> SandboxInfo:
        ascii_only = {
            key: value.encode("ascii", "replace").decode()
            for key, value in request.metadata.items()
        }
        return await super().create(replace(request, metadata=ascii_only))


@broken("test_info_says_what_was_asked", topics=LIFECYCLE)
class ClaimsAStrongerIsolation(Memory):
    """Calls itself a virtual machine."""

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        return replace(await super().connect(request), isolation="microvm")


@broken("test_unknown_template", topics=LIFECYCLE)
class AnyTemplateWillDo(Memory):
    """Starts from its default if it does not know what was asked for."""

    async def create(self, request: CreateRequest) -> SandboxInfo:
        try:
            return await super().create(request)
        except TemplateNotFoundError:
            return await super().create(replace(request, template=None))


@broken("test_fault_a_lost_answer_makes_one_sandbox", topics=LIFECYCLE)
class ForgetsTheNonce(Memory):
    """Makes a second sandbox when the first answer was lost."""

    async def create(self, request: CreateRequest) -> SandboxInfo:
        fresh = replace(request, nonce=f"{request.nonce}-{len(self.world.sandboxes)}")
        return await super().create(fresh)


@broken("test_fault_an_answer_that_never_comes_leaves_nothing", topics=LIFECYCLE)
class CannotBeFoundByNonce(Memory):
    """Indexes only some of the labels, so that what was half made is never found again."""

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        if "nonce" in request.labels:
            return
        async for info in super().list(request):
            yield info


# -- snapshots ----------------------------------------------------------------------------------


@broken("test_independent_of_source_and_siblings", topics=SNAPSHOTS)
class AliasedSnapshot(Memory):
    """Saves a reference, not a copy."""

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        info = await super().snapshot(request)
        self.world.snapshots[info.id] = (info, self.tree(request))
        return info


@broken("test_independent_of_source_and_siblings", topics=SNAPSHOTS)
class RestoredShareStorage(Memory):
    """Gives every restored sandbox the snapshot itself to write to."""

    def _origin(self, snapshot: str | None) -> Tree:
        tree = super()._origin(snapshot)
        return tree if snapshot is None else self.world.snapshots[snapshot][1]


@broken("test_by_address_and_by_name", topics=SNAPSHOTS)
class NamesAreNotUnique(Memory):
    """Lets a second snapshot have the name of the first."""

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        info = await super().snapshot(replace(request, name=None))
        named = replace(info, name=request.name)
        self.world.snapshots[info.id] = (named, self.world.snapshots[info.id][1])
        return named


@broken("test_by_address_and_by_name", topics=SNAPSHOTS)
class DeleteAlwaysSaysYes(Memory):
    """Does not look whether there was a snapshot to delete."""

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        await super().delete_snapshot(request)
        return True


@broken("test_expiry", topics=SNAPSHOTS)
class SnapshotsNeverEnd(Memory):
    """Keeps snapshots for ever."""

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        return await super().snapshot(replace(request, lifetime=None))


@broken("test_a_snapshot_of_a_restored_sandbox", topics=SNAPSHOTS)
class DeletionsComeBack(Memory):
    """Saves what was added to the base, and not what was taken from it."""

    bases: ClassVar[dict[str, Tree]] = {}

    async def create(self, request: CreateRequest) -> SandboxInfo:
        info = await super().create(request)
        if request.snapshot is not None:
            self.bases[info.id] = self.world.sandboxes[info.id].tree.copy()
        return info

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        info = await super().snapshot(request)
        base = self.bases.get(request.sandbox_id)
        if base is not None:
            merged = Tree({**base._nodes, **self.tree(request).copy()._nodes})
            self.world.snapshots[info.id] = (info, merged)
        return info


class Losing(Memory):
    """Loses something of what it saves."""

    def kept(self, path: str, node: Node, tree: Tree) -> Node | None:
        raise NotImplementedError

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        info = await super().snapshot(request)
        tree = self.tree(request)
        found = {path: self.kept(path, node, tree) for path, node in tree._nodes.items()}
        nodes = {path: node for path, node in found.items() if node is not None}
        self.world.snapshots[info.id] = (info, Tree(nodes))
        return info


@broken("test_restored_as_it_was", topics=SNAPSHOTS)
class LosesEmptyDirectories(Losing):
    """Saves files, and directories only where there is a file in them."""

    def kept(self, path: str, node: Node, tree: Tree) -> Node | None:
        hollow = node.content is None and not tree._below(path)
        return None if hollow and path.startswith("/home/user/") else node


@broken("test_restored_as_it_was", topics=SNAPSHOTS)
class LosesModes(Losing):
    """Saves content and no permissions."""

    def kept(self, path: str, node: Node, tree: Tree) -> Node | None:
        return node if node.content is None else replace(node, mode=0o644)


@broken("test_restored_as_it_was", topics=SNAPSHOTS)
class LosesEmptyFiles(Losing):
    """Takes an empty file for none."""

    def kept(self, path: str, node: Node, tree: Tree) -> Node | None:
        return None if node.content == b"" else node


@broken("test_unknown_snapshot", topics=SNAPSHOTS)
class UnknownSnapshotsAreEmpty(Memory):
    """Makes a fresh sandbox if a snapshot's id is none of its own."""

    async def create(self, request: CreateRequest) -> SandboxInfo:
        try:
            return await super().create(request)
        except SnapshotNotFoundError:
            if request.snapshot != "none":
                raise
            return await super().create(replace(request, snapshot=None))


@broken(
    "test_files_from_many_threads",
    "test_from_many_threads",
    "test_many_are_written_at_once",
    "test_what_of_many_could_not_be_written_is_named",
    topics=FILES,
)
class MixesUpConcurrentWrites(Memory):
    """Collects content in one buffer for all writes that are under way."""

    buffer: bytes = b""

    async def write_file(self, request: WriteFileRequest) -> None:
        type(self).buffer = await whole(request.data)
        await asyncio.sleep(0.001)
        await super().write_file(replace(request, data=one(type(self).buffer)))
