"""Finding providers: a pluggy hook behind one entry-point group, ours and strangers' alike.

Three costs are kept apart. Listing names (`provider_names`) imports nothing. Reading what a
provider can do (`provider_info`) imports its plugin module and not its SDK. Using it
(`load_provider`) imports the SDK.

The entry point's name is the provider's name::

    [project.entry-points.sandboxkit]
    acme = "sandboxkit_acme"
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import TYPE_CHECKING, NamedTuple

import pluggy

from .errors import ConfigError, ProviderNotFoundError, ProviderUnavailableError, SandboxError

if TYPE_CHECKING:
    from .capabilities import Capabilities
    from .provider import Provider

__all__ = [
    "DEFAULT_PROVIDERS",
    "GROUP",
    "Check",
    "ProviderInfo",
    "all_providers",
    "auto_provider",
    "distribution",
    "hookimpl",
    "hookspec",
    "install_command",
    "load_provider",
    "provider_info",
    "provider_names",
]

GROUP = "sandboxkit"
"""The entry-point group, and pluggy's project name."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

_log = logging.getLogger(__name__)


class _Default(NamedTuple):
    extra: str
    auto: bool = False


DEFAULT_PROVIDERS = {
    "local": _Default("", auto=True),
    "docker": _Default("docker", auto=True),
    "e2b": _Default("e2b"),
    "daytona": _Default("daytona"),
    "blaxel": _Default("blaxel"),
    "memory": _Default(""),
}
"""The providers we know how to install: the extra each needs, and whether ``auto`` tries it.

The one place in which the core names providers; only messages and ``auto`` depend on it.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a provider needs here, and whether it is there.

    Attributes:
        name: what was looked at, such as ``"user namespaces"``.
        ok: whether it is as it must be.
        detail: what was found.
        fix: the command that mends it, where there is one.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """What can be known of a provider without importing its SDK.

    Attributes:
        name: lower case, the same as the entry point's.
        summary: one line for people.
        capabilities: what it does natively.
        load: imports and returns the provider class.
        doctor: looks at what it needs here; ``None`` if it needs nothing. It may take seconds.
        trial: tries out, in living sandboxes, what cannot be seen by looking. Asked only by people
            who call for a doctor, where all that `doctor` looks at is well.
    """

    name: str
    summary: str
    capabilities: Capabilities
    load: Callable[[], type[Provider]]
    doctor: Callable[[], Sequence[Check]] | None = None
    trial: Callable[[], Sequence[Check]] | None = None


class ProviderSpecs:
    """The hooks a plugin may implement."""

    @hookspec
    def sandboxkit_providers(self) -> Iterable[ProviderInfo]:
        """The providers of this plugin, described. Must not import an SDK or do I/O.

        Example:
            .. code-block:: python

                from sandboxkit.capabilities import Capabilities
                from sandboxkit.plugins import ProviderInfo, hookimpl

                def load():
                    from sandboxkit_acme.provider import AcmeProvider
                    return AcmeProvider

                @hookimpl
                def sandboxkit_providers():
                    yield ProviderInfo(
                        name="acme",
                        summary="Machines from Acme",
                        capabilities=Capabilities(isolation="remote"),
                        load=load,
                    )
        """
        raise NotImplementedError


_lock = threading.RLock()
_infos: dict[str, ProviderInfo] = {}
_auto: list[str] = []
_found: tuple[tuple[tuple[str, int], ...], EntryPoints] | None = None


def provider_names() -> list[str]:
    """The names of all installed providers, sorted. Imports no plugin."""
    return sorted(_installed().names)


def provider_info(name: str) -> ProviderInfo:
    """Describe a provider. Imports its plugin and no other.

    Raises:
        ProviderNotFoundError: no provider of this name is installed.
        ProviderUnavailableError: its plugin cannot be imported or breaks the rules.
        ConfigError: two distributions claim the name.
    """
    with _lock:
        if name not in _infos:
            _infos[name] = _describe(name, _entry_point(name))
        return _infos[name]


def distribution(name: str) -> tuple[str, str]:
    """The name and version of the distribution that a provider comes from; empty if none.

    Raises:
        ProviderNotFoundError: no provider of this name is installed.
    """
    found = _entry_point(name).dist
    return ("", "") if found is None else (found.name, found.version)


def load_provider(name: str) -> type[Provider]:
    """Import a provider's class, and with it its SDK.

    Raises:
        ProviderNotFoundError: no provider of this name is installed.
        ProviderUnavailableError: it cannot be imported.
    """
    info = provider_info(name)
    try:
        provider = info.load()
    except SandboxError:
        raise
    except Exception as error:  # a stranger's module may raise anything
        raise _unavailable(name, f"cannot be loaded: {_reason(error)}", error) from error
    called = getattr(provider, "name", None)
    if called != name:
        raise _unavailable(name, f"loads a class that calls itself {called!r}")
    return provider


def all_providers() -> dict[str, ProviderInfo | SandboxError]:
    """Every installed provider by name, described, or the error that says why it cannot be."""
    found: dict[str, ProviderInfo | SandboxError] = {}
    for name in provider_names():
        try:
            found[name] = provider_info(name)
        except SandboxError as error:
            found[name] = error
    return found


def auto_provider() -> str:
    """The provider that ``auto`` stands for: the first default one that works here.

    The answer is kept for the life of the process, and said in the log.

    Raises:
        ProviderUnavailableError: none does; the message gives each one's reason.
    """
    with _lock:
        if not _auto:
            _auto.append(_first_that_works())
        return _auto[0]


def install_command(name: str) -> str:
    """What to type to get a provider that we know of; empty for others."""
    known = DEFAULT_PROVIDERS.get(name)
    if known is None:
        return ""
    extra = f"[{known.extra}]" if known.extra else ""
    return f"pip install 'sandboxkit-py{extra}'  (in a checkout: pip install -e '.{extra}')"


def _first_that_works() -> str:
    reasons = []
    for name in (name for name, known in DEFAULT_PROVIDERS.items() if known.auto):
        reason = _why_not(name)
        if not reason:
            _log.info("profile 'auto' uses provider %r", name)
            return name
        reasons.append(f"{name}: {reason}")
    raise ProviderUnavailableError(
        "no provider works here. " + "; ".join(reasons), op="create", hint="sandboxkit doctor"
    )


def _why_not(name: str) -> str:
    try:
        info = provider_info(name)
    except (ProviderNotFoundError, ProviderUnavailableError) as error:
        return error.message
    checks = info.doctor() if info.doctor else ()
    return ", ".join(f"{check.name}: {check.detail}" for check in checks if not check.ok)


def _installed() -> EntryPoints:
    # Reading the metadata of all distributions takes milliseconds and `create` asks each time.
    global _found
    version = tuple((path, _changed(path)) for path in sys.path)
    if _found is None or _found[0] != version:
        _found = version, entry_points(group=GROUP)
    return _found[1]


def _changed(path: str) -> int:
    try:
        return os.stat(path or os.curdir).st_mtime_ns
    except OSError:
        return 0


def _entry_point(name: str) -> EntryPoint:
    points = tuple(_installed().select(name=name))
    if not points:
        raise _not_found(name)
    owners = sorted({_owner(point) for point in points})
    if len(owners) > 1:
        raise ConfigError(
            f"provider {name!r} is claimed by two distributions: {' and '.join(owners)}",
            provider=name,
            hint=f"pip uninstall {owners[-1]}",
        )
    return points[0]


def _describe(name: str, point: EntryPoint) -> ProviderInfo:
    # A manager for each plugin: one that breaks the rules cannot stand in another's way.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(ProviderSpecs)
    try:
        manager.load_setuptools_entrypoints(GROUP, name=name)
        manager.check_pending()
        found = [info for infos in manager.hook.sandboxkit_providers() for info in infos]
    except Exception as error:  # a stranger's module may raise anything
        raise _unavailable(name, f"has a broken plugin: {_reason(error)}", error) from error
    for info in found:
        if isinstance(info, ProviderInfo) and info.name == name:
            return info
    raise _unavailable(name, f"has a plugin, {point.value}, that describes no such provider")


def _not_found(name: str) -> ProviderNotFoundError:
    installed = provider_names()
    near = difflib.get_close_matches(name, [*installed, *DEFAULT_PROVIDERS], n=1)
    meant = f"; did you mean {near[0]!r}?" if near and near[0] != name else ""
    wanted = near[0] if near and near[0] not in installed else ""
    return ProviderNotFoundError(
        f"provider {name!r} is not installed; installed: {', '.join(installed) or 'none'}{meant}",
        provider=name,
        hint=install_command(wanted) or "sandboxkit providers",
    )


def _unavailable(name: str, what: str, error: Exception | None = None) -> ProviderUnavailableError:
    owner = _owner(_entry_point(name))
    hint = install_command(name) or f"pip install --upgrade {owner}"
    if error is not None and not isinstance(error, ImportError):
        hint = f"look at {_place(error)}"  # nothing is missing that could be installed
    return ProviderUnavailableError(
        f"provider {name!r} (from {owner}) {what}", provider=name, hint=hint
    )


def _place(error: Exception) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
