"""What values mean beside how they look: the forms that programs read.

Lists and dicts are JSON, data frames are columns, and figures are charts where the template has
the package ``e2b_charts``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import warnings
from typing import Any, Dict

__all__ = ["CHART", "DATA", "JSON", "is_a", "with_extras"]

JSON = "application/json"
DATA = "application/vnd.sandboxkit.data+json"
CHART = "application/vnd.sandboxkit.chart+json"


def with_extras(value: Any, bundle: Dict[str, Any]) -> Dict[str, Any]:
    """The bundle with what the value means. Never raises."""
    if isinstance(value, (dict, list)):
        _add(bundle, JSON, lambda: _plain_json(value))
    elif is_a(value, "pandas", "DataFrame"):
        _add(bundle, DATA, lambda: _columns(value))
    elif is_a(value, "matplotlib.figure", "Figure"):
        _add(bundle, CHART, lambda: _chart(value))
    return bundle


def _add(bundle: Dict[str, Any], mime: str, make: Any) -> None:
    if mime in bundle:
        return
    try:
        content = make()
    except Exception:  # noqa: BLE001 - calls into libraries and the user's own classes
        return
    if content is not None:
        bundle[mime] = content


def is_a(value: Any, module: str, name: str) -> bool:
    """Whether it is an instance of a class of a module, if that was imported at all."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _plain_json(value: Any) -> Any:
    return json.loads(json.dumps(_with_text_keys(value), allow_nan=False))


def _chart(figure: Any) -> Any:
    if importlib.util.find_spec("e2b_charts") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cell's author has asked for no chart
        chart = importlib.import_module("e2b_charts").chart_figure_to_dict(figure)
    # What it makes of dates and of numbers without a value is no JSON.
    return json.loads(json.dumps(chart, default=str), parse_constant=lambda _: None) or None


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else str(key): _with_text_keys(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_with_text_keys(item) for item in value]
    return value


def _columns(frame: Any) -> Any:
    """Column names to lists of values, times in ISO 8601, missing values ``null``."""
    columns = {str(name): _plain_values(frame[name]) for name in frame.columns}
    return json.loads(json.dumps(columns, allow_nan=False))


def _plain_values(column: Any) -> Any:
    pandas = sys.modules["pandas"]
    return [_plain_value(item, pandas) for item in column.tolist()]


def _plain_value(item: Any, pandas: Any) -> Any:
    if item is None or isinstance(item, (bool, int, str)):
        return item
    if hasattr(item, "isoformat"):  # NaT has it too
        return None if pandas.isna(item) else item.isoformat()
    if isinstance(item, float):
        return item if item - item == 0 else None
    return str(item)
