"""Writing several files, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from .errors import FileError, WriteManyError
from .provider import Provider, WriteFileRequest

__all__ = ["write_all"]

AT_ONCE = 8
"""Files that are on their way at one time."""

NAMED = 5
"""Files that a message names; the error has all of them."""


async def write_all(provider: Provider, requests: Mapping[str, WriteFileRequest]) -> None:
    """Write all that can be written.

    Args:
        provider: by whom.
        requests: by the name that an error calls them.

    Raises:
        FileError: the one file that could not be written.
        WriteManyError: which could not, if several.
        Exception: whatever else went wrong, with a note of what was not written.
    """
    failures: dict[str, FileError] = {}
    written: set[str] = set()
    waiting = iter(requests.items())

    async def work() -> None:
        for name, request in waiting:
            try:
                await provider.write_file(request)
            except FileError as error:
                failures[name] = error
            else:
                written.add(name)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(requests))):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]
        first.add_note(f"not written: {_named([n for n in requests if n not in written])}")
        raise first from None
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        in_order = {name: failures[name] for name in requests if name in failures}
        raise WriteManyError(
            f"{len(failures)} of {len(requests)} files were not written: {_named([*in_order])}",
            failures=in_order,
        )


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
