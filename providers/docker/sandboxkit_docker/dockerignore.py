"""What a ``.dockerignore`` leaves out of a build.

Its patterns are those of Docker's documentation ("Dockerfile reference", ".dockerignore file"):
relative to the directory, where those of a ``.gitignore`` may match at any depth; the last one that
matches decides; ``!`` takes back in what is below a directory that was left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pathspec

from sandboxkit.errors import InvalidRequestError

__all__ = ["reader"]

_ALWAYS = ("Dockerfile", ".dockerignore")
"""The engine reads them, whatever the patterns say."""


def reader(directory: str) -> Callable[[str], bool]:
    """Says of a path relative to a directory whether it goes along.

    Raises:
        InvalidRequestError: a pattern of its ``.dockerignore`` is wrong.
    """
    where = os.path.join(directory, ".dockerignore")
    try:
        with open(where, encoding="utf-8-sig") as file:
            lines = [*_patterns(file)]
    except FileNotFoundError:
        return lambda _path: True
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{where} cannot be read: {error}") from error
    try:
        spec = pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InvalidRequestError(f"{where}: {error}") from error
    return lambda path: path in _ALWAYS or not spec.match_file(path)


def _patterns(lines: Iterator[str]) -> Iterator[str]:
    """The same patterns as a ``.gitignore`` would have them: anchored."""
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        back = text.startswith("!")
        path = os.path.normpath("/" + text.removeprefix("!").strip())
        yield ("!" if back else "") + "/" + path.lstrip("/")
