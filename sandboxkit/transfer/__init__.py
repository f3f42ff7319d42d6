"""Files and directories into a sandbox and out of one."""

from __future__ import annotations

from .operations import download, upload
from .records import (
    ProgressCallback,
    SkippedPath,
    TransferOptions,
    TransferProgress,
    TransferSummary,
    Verify,
)

__all__ = [
    "ProgressCallback",
    "SkippedPath",
    "TransferOptions",
    "TransferProgress",
    "TransferSummary",
    "Verify",
    "download",
    "upload",
]
