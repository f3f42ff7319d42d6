"""Certificates for an engine behind TCP: which one is ours, and whose are trusted."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

__all__ = ["client_context", "is_wanted"]


def is_wanted() -> bool:
    """Whether engines behind TCP are to prove who they are; what Docker's command line goes by."""
    return bool(os.environ.get("DOCKER_TLS_VERIFY"))


def client_context() -> ssl.SSLContext:
    """Trusts the authority in ``ca.pem`` alone, and shows ``cert.pem``, whose key is ``key.pem``.

    They are in ``DOCKER_CERT_PATH``, else where Docker's command line keeps its configuration.

    Raises:
        ValueError: one of them is missing or no such thing.
    """
    given = os.environ.get("DOCKER_CERT_PATH") or os.environ.get("DOCKER_CONFIG") or "~/.docker"
    place = Path(given).expanduser()
    try:
        context = ssl.create_default_context(cafile=str(place / "ca.pem"))
        context.load_cert_chain(str(place / "cert.pem"), str(place / "key.pem"))
    except (OSError, ssl.SSLError) as error:
        reason = "there must be ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH"
        raise ValueError(f"{reason}, {place}: {error}") from error
    return context
