"""What a run is to measure with."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sandboxkit.plugins import provider_info
from sandboxkit.resolve import target

__all__ = ["Settings", "isolation_of"]

IMAGE, DATA_IMAGE = "SANDBOXKIT_BENCH_IMAGE", "SANDBOXKIT_BENCH_DATA_IMAGE"
"""Name the images of the contenders that need one."""


@dataclass(frozen=True)
class Settings:
    """One run's.

    Attributes:
        profiles: the profiles to measure, the first one first in every comparison.
        data: a virtual environment with numpy and pandas, for what needs them; ``None`` if none.
        image: a container image with ``python3`` and ``sh``.
        data_image: one that has numpy and pandas as well.
        token: in the environment and the names of all that this run starts.
        options: `provider_options` of `create`, by provider.
        baselines: whether others are measured too.
        peers: the interpreter that has the other libraries.
    """

    profiles: tuple[str, ...]
    data: Path | None = None
    image: str = ""
    data_image: str = ""
    token: str = field(default_factory=lambda: f"bench-{secrets.token_hex(6)}")
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baselines: bool = True
    peers: str = sys.executable

    def create(self, profile: str, *, useful: bool = False, fresh: bool = False) -> dict[str, Any]:
        """The arguments of `Sandbox.create` for a profile.

        Args:
            profile: whose.
            useful: with numpy and pandas.
            fresh: not one that stood ready; for providers that may have one.
        """
        provider = provider_of(profile)
        found: dict[str, Any] = {"profile": profile, "lifetime": "10m", "session": self.token}
        options = dict(self.options.get(provider, {}))
        info = provider_info(provider)
        if info.capabilities.images:
            found["image"] = self.data_image if useful else self.image
        elif useful:
            options["template"] = {"venv": str(self.data), "preload": self._preload()}
        if fresh:
            options["prepared"] = False
        if options:
            found["provider_options"] = options
        return found

    def _preload(self) -> list[str]:
        """The libraries, and where there is one the shell that runs cells."""
        assert self.data is not None
        shells = [*self.data.glob("lib/python*/site-packages/IPython")]
        return [*(["IPython"] if shells else []), "numpy", "pandas"]


@cache
def provider_of(profile: str) -> str:
    """The provider that a profile is for."""
    return target(profile).provider


@cache
def isolation_of(profile: str) -> str:
    """The isolation class that its provider declares."""
    return provider_info(provider_of(profile)).capabilities.isolation


def images() -> tuple[str, str]:
    """The images that the environment names, else those that our own tests make."""
    tests = "sandboxkit-test"
    return os.environ.get(IMAGE, f"{tests}:base"), os.environ.get(DATA_IMAGE, f"{tests}:data")


def peers_python(given: str | None) -> str:
    """The interpreter of the environment that was named, else this one.

    Raises:
        FileNotFoundError: the one that was named has no Python.
    """
    if given is None:
        return sys.executable
    path = Path(given).absolute()
    python = path / "bin" / "python" if path.is_dir() else path
    if not python.exists():
        raise FileNotFoundError(2, "there is no interpreter", str(python))
    return str(python)


def data_environment(given: str | None) -> Path | None:
    """The environment with numpy and pandas: the one that was named, else our own if it has them.

    Raises:
        FileNotFoundError: the one that was named has no Python.
    """
    if given is not None:
        path = Path(given).absolute()
        if not (path / "bin" / "python").exists():
            raise FileNotFoundError(2, "there is no virtual environment", str(path))
        return path
    return Path(sys.prefix) if find_spec("pandas") and find_spec("numpy") else None
