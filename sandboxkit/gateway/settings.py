"""How a gateway is to serve."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .keys import KeyRing

__all__ = ["Fidelity", "Settings"]

Fidelity = Literal["contract", "vendor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to serve.

    Attributes:
        keys: whose API keys are accepted.
        profile: by which sandboxes are made; ``None`` is the configured default.
        fidelity: ``contract`` keeps sandboxkit's promises over the vendor's wire; ``vendor`` is
            also as weak as the vendor's documented behaviour.
        state: the file that remembers sandboxes; ``None`` forgets them when the server ends.
        domain: what sandboxes' host names end in, with the port.
        max_lifetime: seconds that a client may ask for.
        paused_lifetime: seconds for which a paused sandbox is kept.
        max_upload: bytes of one upload.
    """

    keys: KeyRing
    profile: str | None = None
    fidelity: Fidelity = "contract"
    state: Path | None = field(default=None)
    domain: str = "localhost:8099"
    max_lifetime: float = 24 * 3600.0
    paused_lifetime: float = 30 * 86400.0
    max_upload: int = 8 << 30
