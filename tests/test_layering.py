"""Who may import whom, and that the core names no provider."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit.plugins import DEFAULT_PROVIDERS

ROOT = Path(__file__).parents[1]
CORE = ROOT / "sandboxkit"

# Each row may import the rows above it and what stands in its own row.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("egress", "errors", "forking", "notebook", "threads", "units"),
    ("results",),
    ("capabilities", "models", "mounts", "spec", "template"),
    ("provider",),
    ("backlog", "config", "execution", "guest", "layers", "output", "plan", "plugins", "stdin"),
    ("gate", "requests", "resolve", "runtime", "terminals", "transfer", "watch", "writing"),
    ("cells", "contexts", "creation", "files", "listing", "ports", "process", "snapshot"),
    ("sandbox",),
    ("oneshot", "portal", "sync", "sync_parts"),
    ("conformance", "gateway", "testing"),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# All that a provider may use of the core, ours as much as a stranger's.
FOR_PROVIDERS = {
    "capabilities",
    "egress",
    "errors",
    "guest",
    "models",
    "plugins",
    "provider",
    "results",
    "units",
}


def sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]


def module_of(path: Path) -> list[str]:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """The modules of ours that a file imports, at its top or in functions, with their lines."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    tree = ast.parse(path.read_text("utf-8"))
    for_types = set(typing_only(tree))
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{whole}.{alias.name}"


def typing_only(tree: ast.Module) -> Iterator[ast.AST]:
    """What stands under ``if TYPE_CHECKING:`` and so never runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                yield from ast.walk(statement)


def core_part(name: str) -> str | None:
    """The part of the core that a dotted name is in; ``""`` is the package's face."""
    parts = name.split(".")
    if parts[0] != "sandboxkit":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in RANK else ""


def test_every_module_has_its_layer() -> None:
    found = {module_of(path)[1] for path in sources(CORE) if len(module_of(path)) > 1}
    assert found <= RANK.keys(), f"not in LAYERS: {sorted(found - RANK.keys())}"


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_lower_never_imports_higher(path: Path) -> None:
    module = module_of(path)
    if len(module) == 1:
        return  # the package's face shows everything
    own = module[1]
    for line, name in imported(path):
        part = core_part(name)
        if part is None:
            continue
        if part == "":  # the face itself: only for what stands above all it shows
            allowed = RANK[own] >= RANK["conformance"] or name == "sandboxkit.__version__"
            assert allowed, f"{path.name}:{line} imports the package's face: {name}"
        else:
            assert RANK[part] <= RANK[own], f"{path.name}:{line}: {own} imports {part}"


PLUGINS = [path for path in sources(ROOT / "providers") if "tests" not in path.parts]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_provider_uses_the_spi_only(path: Path) -> None:
    for line, name in imported(path):
        part = core_part(name)
        assert part is None or part in FOR_PROVIDERS, f"{path.name}:{line} imports {name}"


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_imports_no_provider(path: Path) -> None:
    for line, name in imported(path):
        assert not name.startswith("sandboxkit_"), f"{path.name}:{line} imports {name}"


NAMES = set(DEFAULT_PROVIDERS) - {"local", "memory"}


def strings_and_names(path: Path) -> Iterator[tuple[int, str]]:
    """All strings and names in a file; no comments, no docstrings."""
    text = path.read_text("utf-8")
    documentation = {
        node.body[0].lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node) is not None
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.NAME) and token.start[0] not in documentation:
            yield token.start[0], token.string


@pytest.mark.parametrize("path", sources(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_names_no_provider(path: Path) -> None:
    if "gateway" in path.parts:
        return  # wires are named for the vendors whose protocol they speak
    if path == CORE / "plugins.py":
        return  # DEFAULT_PROVIDERS
    for line, text in strings_and_names(path):
        for name in NAMES:
            assert not re.search(rf"\b{name}\b", text), f"{path.name}:{line} names {name}"
        # These are words too; alone in quotes they are providers' names.
        assert text not in ("'local'", '"local"'), f"{path.name}:{line} names a provider: {text}"


def test_default_providers_is_the_only_table() -> None:
    text = (CORE / "plugins.py").read_text("utf-8")
    table = text[text.index("DEFAULT_PROVIDERS = {") :].partition("}")[0]
    rest = text.replace(table, "")
    for name in NAMES:
        assert f'"{name}"' not in rest
