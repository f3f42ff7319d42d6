"""Turning a value that a cell shows into MIME types, and those into events."""

from __future__ import annotations

import base64
import json
from typing import Any, Dict, Iterator, List

__all__ = ["mime_bundle", "result_events"]

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


def mime_bundle(value: Any) -> Dict[str, Any]:
    """Every form a value offers, ``text/plain`` always. Binary forms become base64.

    A rich form that fails or cannot be sent is left out.

    Raises:
        BaseException: whatever the value's ``__repr__`` raises.
    """
    bundle = {"text/plain": repr(value)}
    if not isinstance(value, type):
        for mime, content in _offered(value).items():
            encoded = _encodable(content)
            if encoded is not None:
                bundle[str(mime)] = encoded
    return bundle


def _offered(value: Any) -> Dict[Any, Any]:
    offered = {mime: _call(value, name) for name, mime in METHODS.items()}
    several = _call(value, "_repr_mimebundle_")
    if isinstance(several, tuple):  # the second half is metadata
        several = several[0] if several else None
    if isinstance(several, dict):
        offered.update(several)
    return offered


def _call(value: Any, name: str) -> Any:
    # Looked up on the class: objects that claim to have every attribute have none of these.
    method = getattr(type(value), name, None)
    if method is None:
        return None
    try:
        return method(value)
    except Exception:  # noqa: BLE001 - the user's method may raise anything; text is left
        return None


def _encodable(content: Any) -> Any:
    if isinstance(content, tuple):
        content = content[0] if content else None
    if isinstance(content, (bytes, bytearray)):
        return base64.b64encode(content).decode("ascii")
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
