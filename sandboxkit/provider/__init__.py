"""The interface that a provider plugin implements (the SPI).

Async only. Each operation takes one frozen request object, so that a new option is a new field
and breaks no plugin. A provider reports facts; the contract (deadlines, cancellation, drain,
bounds, exit codes, outcome, retry) is the core's.

Required are `create`, `connect`, `list`, `kill`, `start`, `read_file` and `write_file`.
Everything else is a declared capability with its methods, see `capabilities.METHODS`.
"""

from __future__ import annotations

from .base import Provider
from .code import (
    CodeEnded,
    CodeEvent,
    CodeOutput,
    CodeRaised,
    CodeResult,
    CodeStream,
    ContextRequest,
    CreateContextRequest,
    RunCodeRequest,
)
from .files import (
    ListFilesRequest,
    MkdirRequest,
    PathRequest,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    WatchRequest,
    WatchStream,
    WriteFileRequest,
)
from .lifecycle import (
    CreateRequest,
    ForkRequest,
    HostMount,
    KillRequest,
    LifetimeRequest,
    ListRequest,
    PauseRequest,
    ProviderSettings,
    ResumeRequest,
    SandboxRequest,
)
from .ports import ConnectPortRequest, PortStream, PortURL, PortURLRequest
from .processes import (
    KILL_GRACE,
    AttachRequest,
    Closed,
    Exited,
    Gap,
    Paused,
    ProcessEvent,
    ProcessStream,
    Resumed,
    StartRequest,
)
from .snapshots import SnapshotIdRequest, SnapshotListRequest, SnapshotRequest
from .trees import (
    DigestManyRequest,
    DigestWanted,
    FileWanted,
    NotStored,
    ReadManyRequest,
    StatManyRequest,
    TreeBegin,
    TreeEnd,
    TreeEntry,
    TreePart,
    WalkTreeRequest,
    WriteManyRequest,
)

__all__ = [
    "KILL_GRACE",
    "AttachRequest",
    "Closed",
    "CodeEnded",
    "CodeEvent",
    "CodeOutput",
    "CodeRaised",
    "CodeResult",
    "CodeStream",
    "ConnectPortRequest",
    "ContextRequest",
    "CreateContextRequest",
    "CreateRequest",
    "DigestManyRequest",
    "DigestWanted",
    "Exited",
    "FileWanted",
    "ForkRequest",
    "Gap",
    "HostMount",
    "KillRequest",
    "LifetimeRequest",
    "ListFilesRequest",
    "ListRequest",
    "MkdirRequest",
    "NotStored",
    "PathRequest",
    "PauseRequest",
    "Paused",
    "PortStream",
    "PortURL",
    "PortURLRequest",
    "ProcessEvent",
    "ProcessStream",
    "Provider",
    "ProviderSettings",
    "ReadFileRequest",
    "ReadManyRequest",
    "RemoveRequest",
    "RenameRequest",
    "ResumeRequest",
    "Resumed",
    "RunCodeRequest",
    "SandboxRequest",
    "SnapshotIdRequest",
    "SnapshotListRequest",
    "SnapshotRequest",
    "StartRequest",
    "StatManyRequest",
    "TreeBegin",
    "TreeEnd",
    "TreeEntry",
    "TreePart",
    "WalkTreeRequest",
    "WatchRequest",
    "WatchStream",
    "WriteFileRequest",
    "WriteManyRequest",
]
