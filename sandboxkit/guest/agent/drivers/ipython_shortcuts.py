"""Where IPython would look long for what is not there: magics in plain Python, forms of a number.

Each of these says when the outcome is known without looking. What users have added or changed is
never passed over: then IPython looks.
"""

from __future__ import annotations

import re
from typing import Any, Optional

from IPython.core.autocall import IPyAutocall
from IPython.core.macro import Macro
from IPython.lib import pretty

__all__ = ["TEXT", "Stock", "is_text_only", "needs_no_loop", "one_line"]

TEXT = "text/plain"

_PLAIN_TYPES = frozenset(
    (bool, bytes, complex, dict, float, frozenset, int, list, range, set, str, tuple)
)

# Types whose text is their `repr`, without a newline, and the printer by which IPython knows that.
_ONE_LINERS = frozenset((bytes, int, str))
_OWN = getattr(pretty, "_repr_pprint", pretty)

# Characters of magics, help and shell commands wherever they stand, since to tell them from an
# operator takes a parser; white space or a prompt at the beginning; lines of automatic quoting.
_SPECIAL = re.compile(r"[%?]|!(?!=)|\A(?:\s|>>>|In )|^[ \t]*[,;/]", re.MULTILINE)
_WORD = re.compile(r"[\w.]*")


class Stock:
    """How a shell changes cells before they run, as it was when it was built.

    Args:
        shell: an `InteractiveShell`, just built.
    """

    def __init__(self, shell: Any) -> None:
        self._transformers = _transformers(shell)

    def leaves_alone(self, shell: Any, cell: str) -> bool:
        """Whether the cell is run as it is, but for a newline at its end."""
        if not cell or _SPECIAL.search(cell) or self._transformers != _transformers(shell):
            return False
        if "\n" in cell.rstrip("\n"):
            return True
        # A line alone may be a magic without its sign, or call what calls itself.
        match = _WORD.match(cell)
        word = match.group() if match else ""
        if shell.autocall or word in shell.magics_manager.magics["line"]:
            return False
        return not isinstance(shell.user_ns.get(word), (Macro, IPyAutocall))


def _transformers(shell: Any) -> Any:
    manager, prefilter = shell.input_transformer_manager, shell.prefilter_manager
    return [
        list(manager.cleanup_transforms),
        list(manager.line_transforms),
        list(manager.token_transformers),
        list(shell.input_transformers_post),
        list(prefilter.transformers),
        list(prefilter.checkers),
    ]


def needs_no_loop(cell: str) -> bool:
    """Whether nothing is awaited at the top of a cell, as the words for it are not in it at all."""
    return "await" not in cell and "async" not in cell


def is_text_only(formatter: Any, kind: type) -> bool:
    """Whether nobody has registered a rich form for values of a built-in type.

    Args:
        formatter: a `DisplayFormatter`.
        kind: of the value.
    """
    if kind not in _PLAIN_TYPES:
        return False
    for name, one in _trait(formatter, "formatters").items():
        if name != TEXT and _is_registered(one, kind):
            return False
    others = (formatter.mimebundle_formatter, formatter.ipython_display_formatter)
    return not any(_is_registered(one, kind) for one in others)


def one_line(formatter: Any, value: Any) -> Optional[str]:
    """The text of a number or a string, where it is the value's own; ``None`` is not known.

    Args:
        formatter: a `PlainTextFormatter`.
        value: whatever is to be shown.
    """
    kind = type(value)
    if kind not in _ONE_LINERS or _trait(formatter, "type_printers").get(kind) is not _OWN:
        return None
    if _trait(formatter, "singleton_printers").get(id(value)) or not _trait(formatter, "pprint"):
        return None
    try:
        return repr(value)
    except ValueError:
        return None  # an integer of too many digits, of which IPython makes an error


def _is_registered(formatter: Any, kind: type) -> bool:
    known = _trait(formatter, "type_printers")
    return (
        kind in known
        or object in known
        or bool(_trait(formatter, "singleton_printers"))
        or bool(_trait(formatter, "deferred_printers"))
    )


def _trait(configurable: Any, name: str) -> Any:
    """The value of a trait, past what traitlets does at each look."""
    try:
        return configurable._trait_values[name]
    except (AttributeError, KeyError):
        return getattr(configurable, name)
