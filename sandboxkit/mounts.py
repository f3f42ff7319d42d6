"""Host directories shown inside a sandbox: how they are written, and what is refused at once."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidRequestError

__all__ = ["Mount", "anchored", "mounts_from"]

_KERNELS = ("/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ITSELF = ("/", "/etc")
_FIELDS = ("source", "target", "read_only")


@dataclass(frozen=True, slots=True, init=False)
class Mount:
    """A host directory to show inside a sandbox.

    Args:
        source: the directory here; ``~`` is your home, and a relative path starts at the working
            directory.
        target: where it appears; absolute. Made if it is missing.
        read_only: whether the sandbox may only look.

    Attributes:
        source: its absolute path.
        target: as given, without what is redundant in it.
        read_only: as given.

    Raises:
        InvalidRequestError: a path cannot be one, or the target would hide the system.
    """

    source: str
    target: str
    read_only: bool = True

    def __init__(self, source: str | os.PathLike[str], target: str, read_only: bool = True) -> None:
        if not isinstance(read_only, bool):
            raise InvalidRequestError(f"read_only must be true or false, not {read_only!r:.60}")
        object.__setattr__(self, "source", os.path.abspath(_expanded(source)))
        object.__setattr__(self, "target", _target(target))
        object.__setattr__(self, "read_only", read_only)

    @classmethod
    def parse(cls, value: Any) -> Mount:
        """A mount from ``"SRC:DST"``, ``"SRC:DST:ro"``, ``"SRC:DST:rw"``, a mapping, or itself.

        Raises:
            InvalidRequestError: it is none of these, or a path in it cannot be.
        """
        return value if isinstance(value, cls) else cls(**_fields(value))

    def check(self) -> Mount:
        """Return this mount if its source is a directory here.

        Raises:
            InvalidRequestError: it is missing, is something else, or cannot be looked at.
        """
        try:
            mode = os.stat(self.source).st_mode
        except OSError as error:
            reason = error.strerror or str(error)
            raise InvalidRequestError(f"the source {self.source!r}: {reason}") from None
        if not stat.S_ISDIR(mode):
            raise InvalidRequestError(
                f"the source {self.source!r} is not a directory; mount the one it is in, or copy "
                "it with files={...}"
            )
        return self


def mounts_from(values: Any) -> tuple[Mount, ...]:
    """The mounts as users write them, outer targets before those inside them.

    Raises:
        InvalidRequestError: one of them cannot be, or two are in each other's way.
    """
    if isinstance(values, str | Mapping | Mount) or not isinstance(values, Iterable):
        raise InvalidRequestError('write a list of mounts, such as ["SRC:DST", "SRC:DST:rw"]')
    mounts = sorted(
        (Mount.parse(value).check() for value in values), key=lambda one: one.target.count("/")
    )
    by_target: dict[str, Mount] = {}
    for mount in mounts:
        if mount.target in by_target:
            raise InvalidRequestError(f"two mounts have the target {mount.target!r}")
        _check_nested(mount, by_target)
        by_target[mount.target] = mount
    return tuple(mounts)


def anchored(value: Any, folder: str | os.PathLike[str]) -> dict[str, Any]:
    """A mount as a mapping, its relative source starting at a folder.

    Raises:
        InvalidRequestError: it is neither text nor a mapping of the right fields.
    """
    fields = _fields(value)
    return fields | {"source": os.path.join(folder, _expanded(fields["source"]))}


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        unknown = sorted(str(name) for name in value.keys() - set(_FIELDS))
        if unknown or not {"source", "target"} <= value.keys():
            raise InvalidRequestError(f"a mount has {', '.join(_FIELDS)}, not {', '.join(value)}")
        return dict(value)
    if not isinstance(value, str):
        raise InvalidRequestError(f'a mount is written "SRC:DST" or Mount(...), not {value!r:.60}')
    # From the right: a source may have a colon in its name.
    paths, _, access = value.rpartition(":")
    if access not in ("ro", "rw"):
        paths, access = value, "ro"
    source, _, target = paths.rpartition(":")
    if not source or not target:
        raise InvalidRequestError(f"the mount {value!r} is not of the form SRC:DST or SRC:DST:rw")
    return {"source": source, "target": target, "read_only": access == "ro"}


def _expanded(source: Any) -> str:
    if not isinstance(source, str | os.PathLike):
        raise InvalidRequestError(f"the source of a mount is a path, not {source!r:.60}")
    path = os.fspath(source)
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidRequestError(f"the source {path!r:.60} is not a path")
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise InvalidRequestError(f"the source {path!r}: there is no such home directory")
    return expanded


def _target(target: Any) -> str:
    if not isinstance(target, str) or "\0" in target:
        raise InvalidRequestError(f"the target of a mount is a path, not {target!r:.60}")
    if not target.startswith("/"):
        raise InvalidRequestError(f"the target {target!r} must be an absolute path")
    path = "/" + posixpath.normpath(target).lstrip("/")
    if path in _ITSELF or any(path == top or path.startswith(top + "/") for top in _KERNELS):
        raise InvalidRequestError(
            f"the target {target!r} would hide what the sandbox runs on; choose one such as "
            "/mnt/data"
        )
    return path


def _check_nested(mount: Mount, outer: Mapping[str, Mount]) -> None:
    """A target inside another mount must be there already: nothing is made in what is yours."""
    around = [target for target in outer if mount.target.startswith(target + "/")]
    if not around:
        return
    nearest = outer[max(around, key=len)]
    place = nearest.source + mount.target[len(nearest.target) :]
    if not os.path.isdir(place) or os.path.islink(place):
        raise InvalidRequestError(
            f"the target {mount.target!r} is inside the mount of {nearest.source!r}, where there "
            "is no such directory",
            hint=f"mkdir -p {place}",
        )
