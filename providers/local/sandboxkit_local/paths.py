"""Where the daemon's socket and state are, and that they are ours alone."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sandboxkit.errors import ProviderUnavailableError

__all__ = ["STATE_VARIABLE", "Paths", "locate"]

STATE_VARIABLE = "SANDBOXKIT_STATE_DIR"
"""Names the state directory; the socket is then inside it too."""

_SOCKET_LIMIT = 100  # bytes; sun_path holds 108


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one daemon.

    Attributes:
        state: snapshots, the log, the cgroup journal. Outlives the daemon.
        runtime: the socket and the lock.
    """

    state: Path
    runtime: Path

    @property
    def digest(self) -> str:
        """Tells this daemon's processes and control groups from another's.

        There is one for each socket: a user may have two, one where ``XDG_RUNTIME_DIR`` is set and
        one where it is not.
        """
        return _digest(self.state, self.runtime)

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self.runtime / "daemon.sock"

    @property
    def lock(self) -> Path:
        """Held by the one daemon, and by a client while it starts one."""
        return self.runtime / "daemon.lock"

    @property
    def log(self) -> Path:
        """What the daemon has to say."""
        return self.state / "daemon.log"

    @property
    def snapshots(self) -> Path:
        """One tar file and one JSON file per snapshot."""
        return self.state / "snapshots"

    @property
    def journal(self) -> Path:
        """The cgroups made, for a successor to remove."""
        return self.state / f"cgroups-{self.digest}.json"


def locate(state: str | os.PathLike[str] | None = None) -> Paths:
    """The paths for this user, made if missing, mode 0700 and checked to be ours.

    Args:
        state: the state directory; default the variable `STATE_VARIABLE`, else the XDG place.

    Raises:
        ProviderUnavailableError: a directory belongs to somebody else or cannot be made.
    """
    chosen = state or os.environ.get(STATE_VARIABLE)
    shared = False
    if chosen:
        home = Path(os.path.abspath(chosen))
        runtime = home
        if len(os.fsencode(home / "daemon.sock")) > _SOCKET_LIMIT:
            runtime = _default_runtime() / _digest(home)
            shared = True
    else:
        base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        home = Path(base) / "sandboxkit"
        runtime = _default_runtime()
    for directory in (home, runtime.parent, runtime) if shared else (home, runtime):
        _own(directory)
    return Paths(home, runtime)


def _digest(*directories: Path) -> str:
    return hashlib.sha256(b"\0".join(map(os.fsencode, directories))).hexdigest()[:16]


def _default_runtime() -> Path:
    given = os.environ.get("XDG_RUNTIME_DIR")
    for base in (given, f"/run/user/{os.getuid()}"):
        if base and os.path.isdir(base) and os.access(base, os.W_OK):
            return Path(base) / "sandboxkit"
    return Path(f"/tmp/sandboxkit-{os.getuid()}")


def _own(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.lstat(directory)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise ProviderUnavailableError(
                f"{directory} is not a directory of our own",
                hint=f"remove {directory}, or name another place in {STATE_VARIABLE}",
            )
        if found.st_mode & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        raise ProviderUnavailableError(
            f"cannot use {directory}: {error.strerror}",
            hint=f"name a writable directory in {STATE_VARIABLE}",
        ) from error
