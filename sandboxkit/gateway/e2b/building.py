"""How a template is built: its steps are taken in a sandbox, which is then saved.

So every provider that takes snapshots builds templates, whatever it is; and what a template says
of its sandboxes beyond their files (environment, user, directory, what runs in them) is kept by
the gateway, and given to each sandbox that is made from it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CommandTimeoutError
from ...sandbox import AsyncSandbox

__all__ = ["BuildError", "Recipe", "Settings", "Step", "begin", "carry_out"]

LONGEST = 3600.0
"""Seconds that a step may take."""
READY = 120.0
"""Seconds in which what a template starts must be ready."""
TAIL = 2000
HOME, USER = "/home/user", "user"
"""What every sandbox has, unless its template says otherwise."""

_COPY = """
set -eu
archive=$1 target=$3 owner=$4 mode=$5 place=$(mktemp -d)
tar -xf "$archive" -C "$place"
# Where root may not give files away, all may write to them.
chown -R "$owner" "$place" 2>/dev/null || chmod -R a+rwX "$place"
[ -z "$mode" ] || chmod -R "$mode" "$place"/*
cd "$place"
IFS=
case $target in */) mkdir -p "$target" ;; esac
for one in $2; do
    if [ -d "$one" ]; then
        mkdir -p "$target"
        cp -a "$one"/. "$target"/
    elif [ -d "$target" ]; then
        cp -a "$one" "$target"/
    else
        mkdir -p "$(dirname "$target")"
        cp -a "$one" "$target"
    fi
done
rm -rf "$place"
"""

_DIRECTORY = """
[ -d "$1" ] && exit
mkdir -p "$1"
chown "$2" "$1" 2>/dev/null || chmod a+rwx "$1"
"""

# The SDKs' way to wait for a port, in images that lack the program.
_SS = r"""
command -v ss >/dev/null 2>&1 || ss() {
    grep -hE "$(printf ':%04X [0-9A-F]+:0000 0A' "${4#:}")" /proc/net/tcp /proc/net/tcp6
}
"""


class BuildError(Exception):
    """A step failed.

    Attributes:
        step: its number, from 1 on, as text; empty if it was none of them.
    """

    def __init__(self, message: str, step: str = "") -> None:
        super().__init__(message)
        self.step = step


@dataclass(slots=True)
class Settings:
    """What holds in sandboxes that are made from a template.

    Attributes:
        env: set for every command.
        workdir: where commands start.
        user: who they run as.
        start: what is started in each.
        ready: the command that tells when that is ready.
    """

    env: dict[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    start: str = ""
    ready: str = ""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Settings:
        """As they were kept."""
        return cls(**kept)

    def kept(self) -> dict[str, Any]:
        """As they are kept."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a recipe.

    Attributes:
        kind: ``RUN``, ``COPY``, ``ENV``, ``WORKDIR`` or ``USER``.
        arguments: of that.
        files: the archive that a ``COPY`` is of.
    """

    kind: str
    arguments: Sequence[str]
    files: Path | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a template is made of.

    Attributes:
        steps: in this order.
        start: what is started in its sandboxes.
        ready: tells when that is ready.
    """

    steps: Sequence[Step]
    start: str = ""
    ready: str = ""


Log = Callable[[str, str], None]


async def carry_out(
    sandbox: AsyncSandbox, recipe: Recipe, settings: Settings, log: Log
) -> Settings:
    """Take all steps in a sandbox; what then holds in those that are made from it.

    Raises:
        BuildError: a step failed.
        SandboxError: the sandbox did.
    """
    builder = _Builder(sandbox, settings, log)
    for number, step in enumerate(recipe.steps, 1):
        log(str(number), f"{step.kind} {' '.join(step.arguments)}")
        try:
            await builder.take(step)
        except BuildError as error:
            raise BuildError(str(error), str(number)) from None
    settings.start = recipe.start or settings.start
    settings.ready = recipe.ready or settings.ready
    return settings


class _Builder:
    def __init__(self, sandbox: AsyncSandbox, settings: Settings, log: Log) -> None:
        self._sandbox = sandbox
        self._settings = settings
        self._log = log

    async def take(self, step: Step) -> None:
        match step.kind, step.arguments:
            case "RUN", [command, *who]:
                await self._run(command, who[0] if who and who[0] else self._settings.user)
            case "ENV", pairs if len(pairs) % 2 == 0:
                self._settings.env |= dict(zip(pairs[::2], pairs[1::2], strict=True))
            case "WORKDIR", [path]:
                await self._workdir(path)
            case "USER", [name]:
                self._settings.user = name
            case "COPY", [source, target, *more] if step.files is not None:
                await self._copy(step.files, source, target, *(*more, "", "")[:2])
            case _:
                raise BuildError(f"the step {step.kind} is not understood")

    async def _run(self, command: str, user: str | None) -> None:
        try:
            done = await self._sandbox.run(
                ["/bin/bash", "-l", "-c", command],
                cwd=self._settings.workdir,
                env=self._settings.env,
                user=user,
                timeout=LONGEST,
                on_stdout=lambda text: self._log("", text),
                on_stderr=lambda text: self._log("", text),
            )
        except CommandTimeoutError:
            raise BuildError(f"{command}: it took longer than {LONGEST:g} seconds") from None
        if not done.ok:
            raise BuildError(
                f"failed to run command '{command}': exit status {done.exit_code}:"
                f" {done.stderr[-TAIL:].strip()}"
            )

    async def _workdir(self, path: str) -> None:
        place = posixpath.join(self._settings.workdir or HOME, path)
        owner = self._settings.user or USER
        await self._for(owner, ["sh", "-c", _DIRECTORY, "directory", place, owner])
        self._settings.workdir = place

    async def _copy(self, archive: Path, source: str, target: str, owner: str, mode: str) -> None:
        place = f"/tmp/{archive.name}"
        with archive.open("rb") as content:
            await self._sandbox.files.write(place, content)
        home = self._settings.workdir or HOME
        slash = "/" if target.endswith(("/", "/.")) or target == "." else ""
        where = posixpath.normpath(posixpath.join(home, target)) + slash
        who = owner or self._settings.user or USER
        await self._for(who, ["sh", "-c", _COPY, "copy", place, source, where, who, mode])
        await self._sandbox.files.remove(place)

    async def _for(self, owner: str, argv: list[str]) -> None:
        """Do something as an owner, or as root where the owner may not; a root may be weak too."""
        for user in dict.fromkeys((owner.partition(":")[0], "root")):
            done = await self._sandbox.run(argv, user=user, timeout=LONGEST)
            if done.ok:
                return
        raise BuildError(done.stderr[-TAIL:].strip())


async def begin(sandbox: AsyncSandbox, settings: Settings) -> None:
    """Start what a template starts, and wait until it is ready.

    Raises:
        BuildError: it is not in time.
    """
    if settings.start:
        await sandbox.start(["/bin/bash", "-l", "-c", settings.start])
    if not settings.ready:
        return
    # There is no event to wait for: a command tells, by being asked.
    asking = f"{_SS}until ( {settings.ready}\n) >/dev/null 2>&1; do sleep 0.1; done"
    try:
        await sandbox.run(["/bin/bash", "-l", "-c", asking], timeout=READY)
    except CommandTimeoutError:
        raise BuildError(f"{settings.ready}: it is not ready after {READY:g} seconds") from None
