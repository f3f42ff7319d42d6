"""Vendors' plugins without the vendors: their official SDKs, led to our own servers.

A profile that is named here is a vendor's plugin. Before it is looked at, a server that speaks the
vendor's protocol is started as a process of its own, at the vendor's own fidelity, in front of
another provider, and the environment variables that it says lead the plugin there.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandboxkit_local import paths
from tests.leaks import Census

BEHIND = "SANDBOXKIT_TEST_BEHIND"
"""Names the profile of the provider that serves, if it is not ``local``."""

PATIENCE = 30.0
"""Seconds for a server to end."""


@dataclass(frozen=True)
class Wire:
    """How a profile is served.

    Attributes:
        wire: the protocol, as ``sandboxkit serve --wire`` names it.
        provider: the plugin.
        settings: of the profile, besides those that the server names in variables.
        options: of the command that serves.
    """

    wire: str
    provider: str
    settings: Mapping[str, object] = field(default_factory=dict)
    options: tuple[str, ...] = ()


LACKING = [
    "images",
    "limit_cpu",
    "limit_disk",
    "limit_memory",
    "network_full",
    "port_urls",
]
"""What the local provider has not, or nobody here resolves the names of."""

WIRES = {
    # As below, and nobody here resolves the names of previews.
    "blaxel": Wire("blaxel", "blaxel", {"root": False, "port_urls": False}),
    # Root has no capabilities in our own sandboxes, so a guest that runs as root there cannot act
    # for another user, as it can on E2B; and local ones never reach the whole network.
    "e2b": Wire("e2b", "e2b", {"guest_user": "", "without": ["network_full"]}),
    "daytona": Wire("daytona", "daytona", {"guest_user": "", "without": LACKING}),
}
"""By profile."""


BEHIND_LACKS = {"docker": ["pause_on_timeout"]}
"""What a provider has not that serves instead of ``local``."""


def settings_of(wire: Wire) -> dict[str, object]:
    """The settings of a wire's profile, with what is lacking in the provider behind it."""
    without = wire.settings.get("without", [])
    assert isinstance(without, list)
    lacking = BEHIND_LACKS.get(os.environ.get(BEHIND, "local"), [])
    return {**wire.settings, "without": [*without, *lacking]} if lacking else {**wire.settings}


class Served:
    """A server, and the daemon behind it, which nobody else uses.

    Args:
        wire: what it speaks.
    """

    def __init__(self, wire: Wire) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="sandboxkit-wire-"))
        self.before = Census.take(self.state)
        self.log = (self.state / "server.log").open("w+")
        self.environment = {
            paths.STATE_VARIABLE: str(self.state),
            "SANDBOXKIT_OWNER": f"wire-{os.getpid()}-{secrets.token_hex(4)}",
            "XDG_CONFIG_HOME": str(self.state / "no-configuration"),
        }
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sandboxkit.cli", "serve", "--json"),
                *("--wire", wire.wire, "--fidelity", "vendor", "--port", "0"),
                *("--profile", os.environ.get(BEHIND, "local"), *wire.options),
            ],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.variables = self._announced()

    def _announced(self) -> dict[str, str]:
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if line == "}\n":  # the end of an object that is written over several lines
                return dict(json.loads(said)["env"])
        self.process.wait()
        raise RuntimeError(f"the server did not begin: {said}{self.complaint()}")

    def complaint(self) -> str:
        """What it wrote to its standard error."""
        self.log.flush()
        return (self.state / "server.log").read_text()

    def stop(self, stop_daemon: Callable[[Path], None]) -> list[str]:
        """End it and what is behind it; what was wrong with it, or is left of it."""
        assert self.process.stdout is not None
        wrong = []
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            wrong.append(f"it did not end within {PATIENCE:g} s")
        self.process.stdout.close()
        said = self.complaint()
        self.log.close()
        if "Traceback" in said:
            wrong.append(f"it was surprised: {said[-4000:]}")
        stop_daemon(self.state)
        left = Census.take(self.state).since(self.before)
        left.pop("files", None)
        if left:
            wrong.append(f"it left this behind: {left}")
        shutil.rmtree(self.state, ignore_errors=True)
        return wrong


_served: dict[str, Served] = {}
_configuration: list[Path] = []


def serve(profiles: Iterable[str]) -> None:
    """Start a server for each of these profiles that needs one, and lead its plugin there."""
    tables = []
    for profile in profiles:
        if profile in WIRES and profile not in _served:
            wire = WIRES[profile]
            served = _served[profile] = Served(wire)
            os.environ.update(served.variables)
            lines = [f"{name} = {json.dumps(value)}" for name, value in settings_of(wire).items()]
            tables += [f"[profiles.{profile}]", f'provider = "{wire.provider}"', *lines]
    if tables:
        place = Path(tempfile.mkdtemp(prefix="sandboxkit-wires-"))
        _configuration.append(place)
        (place / "sandboxkit").mkdir()
        (place / "sandboxkit" / "config.toml").write_text("\n".join(tables))
        os.environ["XDG_CONFIG_HOME"] = str(place)


def configuration(otherwise: Path) -> str:
    """Where the profiles are configured; `otherwise` if there are none."""
    return str(_configuration[0] if _configuration else otherwise)


def stop(stop_daemon: Callable[[Path], None]) -> list[str]:
    """End them all; what was wrong."""
    wrong = []
    while _served:
        profile, served = _served.popitem()
        wrong += [f"the server for {profile}: {line}" for line in served.stop(stop_daemon)]
    while _configuration:
        shutil.rmtree(_configuration.pop())
    return wrong
