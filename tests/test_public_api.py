"""The public names, the parity of the two faces, and the habits of the code base."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sandboxkit
from sandboxkit import sandbox as async_face
from sandboxkit import sync as sync_face
from sandboxkit.contexts import AsyncContexts
from sandboxkit.files import AsyncFiles
from sandboxkit.ports import AsyncForward
from sandboxkit.process import AsyncProcess
from sandboxkit.snapshot import AsyncSnapshot
from sandboxkit.sync_parts import Contexts, Files, Forward, Snapshot, Watch
from sandboxkit.watch import AsyncWatch

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "sandboxkit", *sorted((ROOT / "providers").glob("*/sandboxkit_*"))]

PAIRS = [
    (async_face.AsyncSandbox, sync_face.Sandbox),
    (AsyncProcess, sync_face.Process),
    (AsyncFiles, Files),
    (AsyncContexts, Contexts),
    (AsyncForward, Forward),
    (AsyncSnapshot, Snapshot),
    (AsyncWatch, Watch),
]
IDS = [blocking.__name__ for _, blocking in PAIRS]


def all_sources() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted(package.rglob("*.py"))
        if "__pycache__" not in path.parts and "suite" not in path.parts  # tests
    ]


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(sandboxkit.__path__, "sandboxkit."):
        unimportable = (".__main__", ".guest.agent", ".conformance")
        if not any(part in found.name for part in unimportable):
            yield importlib.import_module(found.name)


def test_all_is_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(sandboxkit).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert set(sandboxkit.__all__) == public
    assert sandboxkit.__all__ == sorted(sandboxkit.__all__)


def test_every_all_names_what_is_there() -> None:
    for module in modules():
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{module.__name__}.__all__ has {name}"


def test_every_error_is_public() -> None:
    from sandboxkit import errors

    found = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.SandboxError)
    }
    assert found <= set(sandboxkit.__all__)
    for name in found:
        assert name in (errors.__doc__ or ""), f"{name} is not in the drawn tree"


def public(cls: type) -> dict[str, Any]:
    return {
        name: inspect.getattr_static(cls, name) for name in vars(cls) if not name.startswith("_")
    }


def attributes(cls: type) -> set[str]:
    """What the docstring lists under "Attributes"."""
    _, _, listed = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    return set(re.findall(r"^    (\w+): ", listed, re.MULTILINE))


def function(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def written(annotation: Any) -> str:
    """An annotation in the blocking face's words."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    text = re.sub(r"\b(builtins\.)", "", text)
    text = re.sub(r"\bAsync(Sandbox|Process|Snapshot|Files|Contexts|Forward)\b", r"\1", text)
    return re.sub(r"\bAsyncIterator\b", "Iterator", text)


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS, ids=IDS)
def test_both_faces_have_the_same_names(asynchronous: type, blocking: type) -> None:
    assert public(asynchronous).keys() | attributes(asynchronous) == (
        public(blocking).keys() | attributes(blocking)
    )


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS, ids=IDS)
def test_both_faces_have_the_same_signatures(asynchronous: type, blocking: type) -> None:
    for name, member in public(asynchronous).items():
        if not callable(function(member)):
            continue
        ours, theirs = (
            inspect.signature(function(public(cls)[name])) for cls in (asynchronous, blocking)
        )
        assert list(ours.parameters) == list(theirs.parameters), name
        for parameter, other in zip(
            ours.parameters.values(), theirs.parameters.values(), strict=True
        ):
            where = f"{name}({parameter.name})"
            assert parameter.kind == other.kind, where
            assert parameter.default == other.default, where
            assert written(parameter.annotation) == written(other.annotation), where


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS, ids=IDS)
def test_both_faces_have_the_same_documentation(asynchronous: type, blocking: type) -> None:
    assert blocking.__doc__
    for name, member in public(asynchronous).items():
        text = inspect.getdoc(function(member)) or inspect.getdoc(member)
        assert text, f"{asynchronous.__name__}.{name} says nothing"
        other = function(public(blocking)[name])
        assert (inspect.getdoc(other) or "").splitlines()[0], name


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS, ids=IDS)
def test_the_blocking_face_blocks(asynchronous: type, blocking: type) -> None:
    for name, member in public(blocking).items():
        assert not inspect.iscoroutinefunction(function(member)), f"{blocking.__name__}.{name}"


# -- habits of the code base --------------------------------------------------------------------


def test_no_exit_code_is_assumed() -> None:
    pattern = re.compile(r"(?:exit_code|returncode|exited\.code) or\b")
    for path in all_sources():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_module_sizes() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in all_sources()}
    sizes = {path: size for path, size in sizes.items() if size > 3}
    too_big = {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > 800}
    assert not too_big
    assert statistics.median(sizes.values()) <= 200


def test_no_broad_except_but_where_strangers_code_is_loaded() -> None:
    for path in all_sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            if broad and path.name != "plugins.py":
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                noted = "noqa: BLE001" in path.read_text("utf-8").splitlines()[node.lineno - 1]
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                assert raises or noted, f"{where} swallows everything"


def test_nobody_is_sent_to_the_strangers_package() -> None:
    # In the public index, the plain name belongs to somebody else.
    pattern = re.compile(r"(?:pip|uv|pipx)3? (?:pip )?install (?:-\S+ )*['\"]?sandboxkit(?!-py)\b")
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *all_sources(), ROOT / "Makefile"]
    for path in texts:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if "never" in line.lower() or "not `pip" in line.lower():
                continue
            assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
