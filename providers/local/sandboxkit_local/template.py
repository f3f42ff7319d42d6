"""Templates: what a sandbox of this provider starts from.

There is one, ``python``: this host's ``/usr`` and the Python interpreter that runs us, with its
virtual environment, all read-only. `options["template"]` of a request may change it::

    {"preload": ["numpy"], "venv": "/srv/venvs/data"}
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import InvalidRequestError, TemplateNotFoundError

from . import bootstrap

__all__ = ["NAMES", "Template", "resolve"]

NAMES = ("python", "base", "default")
"""The default template's name and its aliases."""

Template = dict[str, Any]
"""A resolved template, as JSON: ``name``, ``executable`` (its Python), ``binds`` (directories),
``links`` (path to target), ``path`` (the variable), ``preload`` (modules), ``agent``."""

_TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_OPTIONAL = ("/etc/alternatives", "/etc/ssl/certs")
_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_LINKS = "/opt/python/bin"
_FIELDS = {"preload", "venv"}


def resolve(name: str | None, options: Mapping[str, Any]) -> Template:
    """The template of a request.

    Args:
        name: the provider's own name of it; ``None`` is the default.
        options: what the request says beyond the name.

    Raises:
        TemplateNotFoundError: the name means nothing here.
        InvalidRequestError: an option is wrong.
    """
    if name is not None and name not in NAMES:
        raise TemplateNotFoundError(
            f"the local provider has no template {name!r}", hint=f"use one of {', '.join(NAMES)}"
        )
    given = options.get("template", {})
    if not isinstance(given, Mapping) or given.keys() - _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise InvalidRequestError(f"options['template'] must be a mapping of {known}")
    preload = given.get("preload", [])
    if isinstance(preload, str) or not all(isinstance(module, str) for module in preload):
        raise InvalidRequestError("options['template']['preload'] must be a list of modules")
    base, prefix, executable = _python(given.get("venv"))
    agent = bootstrap.agent_directory()
    links, tops = _top_level()
    path = [f"{prefix}/bin", f"{base}/bin", *_PATH]
    if not os.path.exists(f"{prefix}/bin/python"):  # system interpreters have no plain name
        links[_LINKS + "/python"] = executable
        path.append(_LINKS)
    wanted = ["/usr", *tops, base, prefix, agent, *filter(os.path.isdir, _OPTIONAL)]
    return {
        "name": NAMES[0],
        "executable": executable,
        "binds": _outermost(wanted),
        "links": links,
        "path": ":".join(dict.fromkeys(path)),
        "preload": list(preload),
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


def _top_level() -> tuple[dict[str, str], list[str]]:
    """What is beside ``/usr``: links on most hosts, directories on some."""
    links = {path: os.readlink(path) for path in _TOP if os.path.islink(path)}
    return links, [path for path in _TOP if os.path.isdir(path) and path not in links]


def _outermost(paths: list[str]) -> list[str]:
    """The paths without those that are inside another of them."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path == outer or path.startswith(outer + "/") for outer in kept):
            kept.append(path)
    return kept
