"""Which paths a transfer leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..errors import InvalidRequestError
from ..provider import TreeEntry

__all__ = ["Excludes"]


class Excludes:
    """Patterns as in a ``.gitignore``, the last that matches deciding.

    As there, nothing below a directory that is left out can be taken in again.

    Args:
        patterns: in order.
        op: for errors.

    Raises:
        InvalidRequestError: one of them is no pattern.
    """

    def __init__(self, patterns: Sequence[str], op: str) -> None:
        self._match: Callable[[str], bool] | None = None
        if patterns:
            self._match = _matcher(patterns, op)

    def leaves_out(self, name: str, is_dir: bool) -> bool:
        """Whether a pattern matches; what is above it has been asked for already."""
        if self._match is None or not name:
            return False
        return self._match(name + "/" if is_dir else name)

    def kept(self, entries: Iterable[TreeEntry], within: list[str]) -> list[TreeEntry]:
        """The entries of a walk that are not left out.

        Args:
            entries: the next of the walk.
            within: the directory that is being left out, if any; to be passed to the next call.
        """
        if self._match is None:
            return [*entries]
        found = []
        for entry in entries:
            if within:
                if entry.name == within[0] and entry.leaving:
                    within.clear()
                if within or entry.leaving:
                    continue
            is_dir = entry.type == "directory"
            if self.leaves_out(entry.name, is_dir):
                if is_dir:
                    within.append(entry.name)
                continue
            found.append(entry)
        return found


def _matcher(patterns: Sequence[str], op: str) -> Callable[[str], bool]:
    import pathspec  # here, for most transfers have no patterns

    try:
        spec = pathspec.GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise InvalidRequestError(f"{op}: exclude: {error}", op=op) from error
    return spec.match_file
