"""What an operation must pass before it reaches the provider."""

from __future__ import annotations

from .errors import InvalidRequestError, SandboxNotFoundError, UnsupportedError
from .provider import Provider

__all__ = ["closed", "killed", "require"]


def killed(op: str, address: str) -> SandboxNotFoundError:
    """The error of an object that has killed its sandbox."""
    return SandboxNotFoundError(f"{op}: {address} was killed", cause="killed")


def closed(op: str, address: str) -> InvalidRequestError:
    """The error of an object that was closed."""
    return InvalidRequestError(
        f"{op}: this object was closed; Sandbox.connect({address!r}) opens another"
    )


def require(provider: Provider, op: str, capability: str) -> None:
    """See that the provider can do this; an empty capability is what all can.

    Raises:
        UnsupportedError: it cannot.
    """
    if capability and not getattr(provider.capabilities, capability):
        raise UnsupportedError(
            f"provider {provider.name!r} does not support {op} (it lacks {capability!r})",
            capability=capability,
            hint="sandboxkit providers",
        )
