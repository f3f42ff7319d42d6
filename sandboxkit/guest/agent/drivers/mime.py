"""Turning a value that a cell shows into MIME types, and those into events."""

from __future__ import annotations

import base64
import json
from typing import Any, Dict, Iterator, List

__all__ = ["encoded", "mime_bundle", "result_events"]

PART = 65_536
"""Characters of content in one event. JSON makes at most twelve bytes of one."""

METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_pdf_": "application/pdf",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
}
_BINARY = (bytes, bytearray, str)
_TYPES = {
    "image/png": _BINARY,
    "image/jpeg": _BINARY,
    "application/pdf": _BINARY,
    "application/json": (dict, list),
}


def mime_bundle(value: Any) -> Dict[str, Any]:
    """Every form a value offers, ``text/plain`` always.

    A rich form that fails or cannot be sent is left out. A value that displays itself
    (``_ipython_display_``) has none.

    Raises:
        BaseException: whatever the value's ``__repr__`` raises.
    """
    if not isinstance(value, type):
        if _shows_itself(value):
            return {}
        bundle = encoded(_offered(value))
    else:
        bundle = {}
    if "text/plain" not in bundle:
        bundle["text/plain"] = repr(value)
    return bundle


def _shows_itself(value: Any) -> bool:
    method = getattr(type(value), "_ipython_display_", None)
    if method is None:
        return False
    try:
        method(value)
    except Exception:  # noqa: BLE001 - the user's method may raise anything; other forms are left
        return False
    return True


def _offered(value: Any) -> Dict[str, Any]:
    several = _call(value, "_repr_mimebundle_")
    if isinstance(several, tuple):  # the second half is metadata
        several = several[0] if several else None
    offered = {str(mime): item for mime, item in several.items()} if _is_dict(several) else {}
    for name, mime in METHODS.items():
        if mime not in offered:
            content = _call(value, name)
            if isinstance(content, tuple):
                content = content[0] if content else None
            if isinstance(content, _TYPES.get(mime, str)):
                offered[mime] = content
    return offered


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _call(value: Any, name: str) -> Any:
    # Looked up on the class: objects that claim to have every attribute have none of these.
    method = getattr(type(value), name, None)
    if method is None:
        return None
    try:
        return method(value)
    except Exception:  # noqa: BLE001 - the user's method may raise anything; text is left
        return None


def encoded(bundle: Dict[Any, Any]) -> Dict[str, Any]:
    """A bundle as it can be sent: bytes become base64, and what JSON cannot hold is left out."""
    sendable = {str(mime): _encodable(content) for mime, content in bundle.items()}
    return {mime: content for mime, content in sendable.items() if content is not None}


def _encodable(content: Any) -> Any:
    if isinstance(content, (bytes, bytearray)):
        return base64.b64encode(content).decode("ascii")
    if isinstance(content, str):
        return content
    try:
        json.dumps(content, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return content


def result_events(bundle: Dict[str, Any], main: bool, number: int) -> Iterator[Dict[str, Any]]:
    """The events that carry a bundle, large contents in parts that are named by `number`."""
    small: Dict[str, Any] = {}
    large: Dict[str, str] = {}
    json_parts: List[str] = []
    room = PART
    for mime, content in bundle.items():
        text = content if isinstance(content, str) else json.dumps(content)
        if len(text) + len(mime) <= room:
            room -= len(text) + len(mime)
            small[mime] = content
            continue
        large[mime] = text
        if text is not content:
            json_parts.append(mime)
    for mime, text in large.items():
        for start in range(0, len(text), PART):
            part = text[start : start + PART]
            yield {"event": "result_part", "id": number, "mime": mime, "part": part}
    result: Dict[str, Any] = {"event": "result", "data": small, "main": main}
    if large:
        result["parts"] = number
    if json_parts:
        result["json_parts"] = json_parts
    yield result
