"""One Python interface to computers you can throw away.

>>> from sandboxkit import Sandbox
>>> with Sandbox.create() as sbx:
...     print(sbx.run("echo hello").stdout)
"""

from __future__ import annotations

from .capabilities import Capabilities
from .errors import (
    AuthenticationError,
    CodeFailedError,
    CodeTimeoutError,
    CommandFailedError,
    CommandTimeoutError,
    ConfigError,
    CreateTimeoutError,
    ExecError,
    ExecLostError,
    FileError,
    InvalidRequestError,
    NotFoundError,
    PathExistsError,
    PathIsDirectoryError,
    PathNotDirectoryError,
    PathNotFoundError,
    PathPermissionError,
    PortRefusedError,
    ProcessNotFoundError,
    ProtocolError,
    ProviderNotFoundError,
    ProviderUnavailableError,
    RateLimitError,
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
    SnapshotNotFoundError,
    TemplateNotFoundError,
    TransportError,
    UnsupportedError,
    WriteManyError,
)
from .models import (
    CodeError,
    CommandOutput,
    CommandResult,
    ContextInfo,
    Cursor,
    Execution,
    FileEvent,
    FileInfo,
    Logs,
    OutputChunk,
    OutputText,
    ProcessInfo,
    Result,
    SandboxInfo,
    SandboxMetrics,
    SnapshotInfo,
    TerminalSize,
)
from .mounts import Mount
from .oneshot import reap, run, run_code
from .plan import Plan, PlanItem
from .ports import AsyncForward
from .process import AsyncProcess
from .provider import PortURL
from .sandbox import AsyncSandbox
from .snapshot import AsyncSnapshot
from .spec import Resources
from .sync import Process, Sandbox
from .sync_parts import Forward, Snapshot, Watch
from .template import Template
from .transfer import SkippedPath, TransferProgress, TransferSummary
from .watch import AsyncWatch

__version__ = "0.1.0"

__all__ = [
    "AsyncForward",
    "AsyncProcess",
    "AsyncSandbox",
    "AsyncSnapshot",
    "AsyncWatch",
    "AuthenticationError",
    "Capabilities",
    "CodeError",
    "CodeFailedError",
    "CodeTimeoutError",
    "CommandFailedError",
    "CommandOutput",
    "CommandResult",
    "CommandTimeoutError",
    "ConfigError",
    "ContextInfo",
    "CreateTimeoutError",
    "Cursor",
    "ExecError",
    "ExecLostError",
    "Execution",
    "FileError",
    "FileEvent",
    "FileInfo",
    "Forward",
    "InvalidRequestError",
    "Logs",
    "Mount",
    "NotFoundError",
    "OutputChunk",
    "OutputText",
    "PathExistsError",
    "PathIsDirectoryError",
    "PathNotDirectoryError",
    "PathNotFoundError",
    "PathPermissionError",
    "Plan",
    "PlanItem",
    "PortRefusedError",
    "PortURL",
    "Process",
    "ProcessInfo",
    "ProcessNotFoundError",
    "ProtocolError",
    "ProviderNotFoundError",
    "ProviderUnavailableError",
    "RateLimitError",
    "Resources",
    "Result",
    "Sandbox",
    "SandboxError",
    "SandboxInfo",
    "SandboxMetrics",
    "SandboxNotFoundError",
    "SandboxPausedError",
    "SkippedPath",
    "Snapshot",
    "SnapshotInfo",
    "SnapshotNotFoundError",
    "Template",
    "TemplateNotFoundError",
    "TerminalSize",
    "TransferProgress",
    "TransferSummary",
    "TransportError",
    "UnsupportedError",
    "Watch",
    "WriteManyError",
    "reap",
    "run",
    "run_code",
]
