"""How errors travel from guest, zygote and daemon to the client: a code, a message, a few fields.

Messages never contain what the caller passed as a value (environment, metadata, options).
"""

from __future__ import annotations

from typing import Any

from sandboxkit import errors

__all__ = ["from_wire", "to_wire"]

_CLASSES: dict[str, type[errors.SandboxError]] = {
    cls.code: cls
    for cls in (
        errors.CreateTimeoutError,
        errors.InvalidRequestError,
        errors.ProtocolError,
        errors.ProviderUnavailableError,
        errors.RateLimitError,
        errors.SandboxError,
        errors.SandboxNotFoundError,
        errors.SandboxPausedError,
        errors.SnapshotNotFoundError,
        errors.TemplateNotFoundError,
        errors.TransportError,
        errors.UnsupportedError,
    )
}
_FIELDS = ("op", "sandbox_id", "outcome", "retryable", "retry_after", "hint")
_EXTRA: dict[type[errors.SandboxError], str] = {
    errors.SandboxNotFoundError: "cause",
    errors.UnsupportedError: "capability",
}


def to_wire(error: errors.SandboxError) -> dict[str, Any]:
    """The error as a JSON object; a class that does not travel becomes its nearest that does."""
    cls = _CLASSES[_nearest(error)]
    fields = {name: getattr(error, name) for name in _FIELDS}
    if cls in _EXTRA:
        fields[_EXTRA[cls]] = getattr(error, _EXTRA[cls])
    kept = {name: value for name, value in fields.items() if value is not None}
    return {"code": cls.code, "message": error.message, **kept}


def _nearest(error: errors.SandboxError) -> str:
    return next(
        base.code
        for base in type(error).__mro__
        if issubclass(base, errors.SandboxError) and base.code in _CLASSES
    )


def from_wire(fields: dict[str, Any]) -> errors.SandboxError:
    """The error that a JSON object stands for; an unknown code becomes a `SandboxError`."""
    cls = _CLASSES.get(str(fields.get("code")), errors.SandboxError)
    known = [name for name in _FIELDS if name in fields]
    if cls in _EXTRA:
        known = [name for name in (*known, _EXTRA[cls]) if name in fields and name != "retryable"]
    return cls(str(fields.get("message", "")), **{name: fields[name] for name in known})
