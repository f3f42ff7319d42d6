"""Opened providers, shared by the sandboxes of one event loop and closed with the last of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from .layers.emulation import EmulatedFiles
from .layers.errors import LocatedErrors
from .layers.forks import EmulatedForks
from .layers.narrowed import Narrowed
from .layers.ownership import OwnershipLayer
from .layers.retry import RetryLayer
from .layers.trees import EmulatedTrees
from .plugins import load_provider
from .provider import Provider
from .resolve import Target

__all__ = ["Lease", "acquire", "layered", "wrapped"]

Wrap = Callable[[Provider], Provider]

_wraps: tuple[Wrap, ...] = ()


def layered(provider: Provider) -> Provider:
    """A provider with everything the core adds to it."""
    served: Provider = RetryLayer(provider)
    if served.capabilities.commands and not served.capabilities.file_ops:
        served = EmulatedFiles(served)
    if served.capabilities.file_ops and not served.capabilities.trees:
        served = EmulatedTrees(served)
    if served.capabilities.snapshots and not served.capabilities.fork:
        served = EmulatedForks(served)
    return LocatedErrors(OwnershipLayer(served))


class _Shared:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.leases = 0


_Key = tuple[str, str, tuple[Wrap, ...]]
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Shared]] = WeakKeyDictionary()


class Lease:
    """A share in an opened provider.

    Attributes:
        provider: with the core's layers around it.
    """

    def __init__(self, shared: _Shared, home: dict[_Key, _Shared], key: _Key) -> None:
        self.provider = shared.provider
        self._shared = shared
        self._home = home
        self._key = key
        self._released = False
        shared.leases += 1

    async def release(self) -> None:
        """Give the share back; the last one closes the provider. Idempotent."""
        if self._released:
            return
        self._released = True
        self._shared.leases -= 1
        if self._shared.leases == 0:
            self._home.pop(self._key, None)
            await self.provider.aclose()

    async def __aenter__(self) -> Provider:
        return self.provider

    async def __aexit__(self, *_: object) -> None:
        await self.release()


def acquire(target: Target) -> Lease:
    """Open a provider for the running loop, or share the one that is open with these settings.

    Raises:
        ProviderNotFoundError: it is not installed.
        ConfigError: a setting is wrong; the message never shows a value that may be secret.
    """
    cls = load_provider(target.provider)
    settings = target.profile.settings_as(cls.settings_type)
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
    key = (target.provider, digest, _wraps)
    home = _open.setdefault(asyncio.get_running_loop(), {})
    if key not in home:
        provider: Provider = cls(settings)
        for wrap in _wraps:
            provider = wrap(provider)
        if settings.without:
            provider = Narrowed(provider, settings.without)
        home[key] = _Shared(layered(provider))
    return Lease(home[key], home, key)


@contextmanager
def wrapped(wrap: Wrap) -> Iterator[None]:
    """Put something around every provider that this process opens inside the block.

    It lies below all of the core's layers, where what the provider itself does can be recorded or
    be made to fail.
    """
    global _wraps
    before, _wraps = _wraps, (*_wraps, wrap)
    try:
        yield
    finally:
        _wraps = before
