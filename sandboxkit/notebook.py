"""How results look in a notebook.

What a sandbox has sent is hostile, and a notebook runs whatever HTML it is given with the rights of
its page, which may run code on this machine. So text is escaped, pictures are pictures, and HTML
and everything else that may hold a script is shown in a frame that is cut off from the page.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

__all__ = ["bundle"]

_FRAME = (
    '<iframe sandbox="allow-scripts" srcdoc="{}" '
    'style="width:100%;height:320px;border:0;resize:vertical;overflow:auto"></iframe>'
)
_TEXT = '<pre style="{}">{}</pre>'
_RED = "background:#fdd;color:#000"


def bundle(
    results: Sequence[Mapping[str, Any]],
    *,
    stdout: str = "",
    stderr: str = "",
    traceback: str | None = None,
) -> dict[str, Any]:
    """What ``_repr_mimebundle_`` returns for these results and texts, in this order."""
    plain = [stdout, stderr, *(str(one.get("text/plain", "")) for one in results), traceback or ""]
    shown = [
        *(_pre(text, style) for text, style in ((stdout, ""), (stderr, _RED)) if text),
        *map(_shown, results),
        *([_pre(traceback, _RED)] if traceback else []),
    ]
    text = "\n".join(part.rstrip("\n") for part in plain if part)
    return {"text/plain": text, "text/html": "".join(shown) or _pre(text)}


def _pre(text: str, style: str = "") -> str:
    return _TEXT.format(style, html.escape(text))


def _shown(result: Mapping[str, Any]) -> str:
    """The richest form of one result, as HTML that can do no harm."""
    for mime in ("image/png", "image/jpeg"):
        if mime in result:
            return _picture(mime, str(result[mime]))
    if "image/svg+xml" in result:
        # As a picture it runs no script.
        return _picture("image/svg+xml;utf8", quote(str(result["image/svg+xml"])), "")
    if "text/html" in result:
        return _FRAME.format(html.escape(str(result["text/html"])))
    for mime in ("text/markdown", "text/latex", "text/plain"):
        if mime in result:
            return _pre(str(result[mime]))
    return _pre(json.dumps(dict(result), default=str)[:10_000])


def _picture(kind: str, content: str, encoding: str = ";base64") -> str:
    return f'<img src="data:{kind}{encoding},{html.escape(content)}">'
