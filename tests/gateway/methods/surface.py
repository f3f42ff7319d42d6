"""What the official SDKs offer: Python's is looked at, JavaScript's is read in its types.

A method is named by where a user finds it: ``Sandbox.files.read``, ``CommandHandle.wait``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import e2b
import e2b_code_interpreter
from e2b.template.main import TemplateBuilder, TemplateFinal

PARTS = ("files", "commands", "pty", "git")
"""Attributes of a sandbox that have methods of their own."""
KINDS = {
    "CommandHandle": "CommandHandle",
    "WatchHandle": "WatchHandle",
    "SandboxPaginator": "SandboxPaginator",
    "SnapshotPaginator": "SnapshotPaginator",
    "SecretPaginator": "SecretPaginator",
    "Template": "Template",
    "Volume": "Volume",
    "Secret": "Secret",
}


def python(*, asynchronous: bool) -> set[str]:
    """The methods of the blocking SDK, or of the asyncio one."""
    prefix = "Async" if asynchronous else ""
    sandbox = getattr(e2b_code_interpreter, prefix + "Sandbox")
    found = {f"Sandbox.{name}" for name in _callables(sandbox)}
    for part in PARTS:
        kind = inspect.get_annotations(getattr(sandbox, part).fget, eval_str=True)["return"]
        found |= {f"Sandbox.{part}.{name}" for name in _callables(kind)}
    for name in KINDS:
        found |= {f"{name}.{method}" for method in _callables(getattr(e2b, prefix + name))}
    for kind in (TemplateBuilder, TemplateFinal):
        found |= {f"Template.{name}" for name in _callables(kind)}
    if asynchronous:
        handle = e2b.AsyncCommandInputHandle
        found |= {f"CommandInputHandle.{name}" for name in _callables(handle)}
    return found


def _callables(kind: type[Any]) -> Iterator[str]:
    for name in dir(kind):
        static = inspect.getattr_static(kind, name)
        if not name.startswith("_") and not isinstance(static, property | str | int):
            yield name


DECLARED = re.compile(r"^declare class (\w+)[^{]*\{$", re.MULTILINE)
MEMBER = re.compile(r"(?P<static>static )?(?:readonly )?(?P<name>[a-zA-Z]\w*)(?:<[^(]*>)?\(")
CLASSES = {
    "Filesystem": "Sandbox.files",
    "Commands": "Sandbox.commands",
    "Pty": "Sandbox.pty",
    "Git": "Sandbox.git",
    "SandboxApi": "Sandbox",
    "TemplateBase": "Template",
    **{name: name for name in ("Sandbox", "CommandHandle", "WatchHandle", "Volume", "Secret")},
    "SandboxPaginator": "SandboxPaginator",
    "SnapshotPaginator": "SnapshotPaginator",
    "SecretPaginator": "SecretPaginator",
}


def javascript(modules: Path) -> set[str]:
    """The methods that the types of the JavaScript SDK declare, in the directory of its modules."""
    found = set()
    for package in ("e2b", "@e2b/code-interpreter"):
        text = (modules / package / "dist" / "index.d.ts").read_text()
        for declared in DECLARED.finditer(text):
            owner = CLASSES.get(declared[1])
            if owner is not None:
                body = text[declared.end() : text.index("\n}", declared.end())]
                found |= {f"{owner}.{name}" for name in _members(body)}
        found |= {f"Template.{name}" for name in _members(_interface(text, "TemplateBuilder"))}
    return found


def _interface(text: str, name: str) -> str:
    start = text.find(f"\ninterface {name} {{")
    return "" if start < 0 else text[start : text.index("\n}", start)]


def _members(body: str) -> Iterator[str]:
    depth = 0
    for line in re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL).splitlines():
        text = line.strip()
        if depth == 0 and not text.startswith(
            ("private", "protected", "constructor", "get ", "set ")
        ):
            member = MEMBER.match(text)
            if member is not None:
                yield f"{'static.' if member['static'] else ''}{member['name']}"
        depth += len(re.findall(r"[({]", text)) - len(re.findall(r"[)}]", text))
