"""Templates: what a sandbox of this provider starts from.

There is one, ``python``: this host's ``/usr`` and the Python interpreter that runs us, with its
virtual environment, all read-only. Of these two only the directories that a Python installation
consists of, since a prefix may be a project's root or a home. `options["template"]` of a request
may change it, or name another root altogether (see `rootfs`)::

    {"preload": ["numpy"], "venv": "/srv/venvs/data"}
    {"rootfs": "/srv/alpine.tar"}
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import InvalidRequestError, ProviderUnavailableError, TemplateNotFoundError

from . import bootstrap, rootfs

__all__ = ["NAMES", "Template", "resolve"]

NAMES = ("python", "base", "default")
"""The default template's name and its aliases."""

Template = dict[str, Any]
"""A resolved template, as JSON: ``name``, ``executable`` (its Python), ``binds`` (directories),
``files`` (to be copied), ``links`` (path to target), ``path`` (the variable), ``preload``
(modules), ``agent``; and ``rootfs`` where that is its root."""

_TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_OPTIONAL = ("/etc/alternatives", "/etc/ssl/certs")
_PARTS = ("bin", "lib", "lib64", "include", "share", "etc")
_SETTINGS = "pyvenv.cfg"
_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_LINKS = "/opt/python/bin"
_FIELDS = {"preload", "rootfs", "venv"}


def resolve(name: str | None, options: Mapping[str, Any]) -> Template:
    """The template of a request.

    Args:
        name: the provider's own name of it; ``None`` is the default.
        options: what the request says beyond the name.

    Raises:
        TemplateNotFoundError: the name means nothing here.
        InvalidRequestError: an option is wrong.
        ProviderUnavailableError: the interpreter is installed where it cannot be shown alone.
    """
    if name is not None and name not in NAMES:
        raise TemplateNotFoundError(
            f"the local provider has no template {name!r}", hint=f"use one of {', '.join(NAMES)}"
        )
    given = options.get("template", {})
    if not isinstance(given, Mapping) or given.keys() - _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise InvalidRequestError(f"options['template'] must be a mapping of {known}")
    if "rootfs" in given:
        return rootfs.resolve(given)
    preload = given.get("preload", [])
    if isinstance(preload, str) or not all(isinstance(module, str) for module in preload):
        raise InvalidRequestError("options['template']['preload'] must be a list of modules")
    base, prefix, executable = _python(given.get("venv"))
    described = _described(base, prefix, executable, _versions("/", base, prefix))
    return {**described, "preload": list(preload)}


def _versions(*directories: str) -> tuple[int, ...]:
    """When something was last added to or taken from each of them."""
    return tuple(os.stat(path).st_mtime_ns for path in directories)


@functools.lru_cache(maxsize=64)
def _described(base: str, prefix: str, executable: str, versions: tuple[int, ...]) -> Template:
    """All but what is preloaded; kept, since looking is most of what a client does to create."""
    agent = bootstrap.agent_directory()
    links, tops = _top_level()
    path = [f"{prefix}/bin", f"{base}/bin", *_PATH]
    if not os.path.exists(f"{prefix}/bin/python"):  # system interpreters have no plain name
        links[_LINKS + "/python"] = executable
        path.append(_LINKS)
    wanted = ["/usr", *tops, agent, *filter(os.path.isdir, _OPTIONAL)]
    for directory in dict.fromkeys((base, prefix)):
        parts, inner = _parts(directory)
        wanted += parts
        links |= inner
    binds = _outermost(wanted)
    settings = f"{prefix}/{_SETTINGS}"
    copied = os.path.isfile(settings) and not _within(settings, binds)
    return {
        "name": NAMES[0],
        "executable": executable,
        "binds": binds,
        "files": [settings] if copied else [],
        "links": links,
        "path": ":".join(dict.fromkeys(path)),
        "agent": agent,
    }


def _python(venv: object) -> tuple[str, str, str]:
    """Base prefix, prefix and interpreter."""
    if venv is None:
        base, prefix = os.path.realpath(sys.base_prefix), os.path.abspath(sys.prefix)
        return base, prefix, sys.executable
    prefix = os.path.abspath(str(venv))
    executable = f"{prefix}/bin/python"
    if not os.path.exists(executable):
        raise InvalidRequestError(f"{prefix} is no virtual environment: it has no bin/python")
    return os.path.dirname(os.path.dirname(os.path.realpath(executable))), prefix, executable


def _parts(prefix: str) -> tuple[list[str], dict[str, str]]:
    """The directories of a Python installation, and the links that lead from one to another.

    Raises:
        ProviderUnavailableError: it is the whole system.
    """
    if prefix == "/":
        raise ProviderUnavailableError(
            "the Python interpreter's prefix is /, all of which no sandbox may see",
            hint="run from a virtual environment, or name one in options['template']['venv']",
        )
    if _within(prefix, ["/usr"]):
        return [], {}
    found = [path for part in _PARTS if os.path.isdir(path := f"{prefix}/{part}")]
    real = [os.path.realpath(path) for path in found if not os.path.islink(path)]
    links = {
        path: os.readlink(path)
        for path in found
        if os.path.islink(path) and _within(os.path.realpath(path), real)
    }
    return [path for path in found if path not in links], links


def _top_level() -> tuple[dict[str, str], list[str]]:
    """What is beside ``/usr``: links on most hosts, directories on some."""
    links = {path: os.readlink(path) for path in _TOP if os.path.islink(path)}
    return links, [path for path in _TOP if os.path.isdir(path) and path not in links]


def _within(path: str, outer: list[str]) -> bool:
    """Whether a path is one of the others or inside one."""
    return any(path == other or path.startswith(other + "/") for other in outer)


def _outermost(paths: list[str]) -> list[str]:
    """The paths without those that are inside another of them."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not _within(path, kept):
            kept.append(path)
    return kept
