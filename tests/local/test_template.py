"""What of the interpreter's directories a sandbox sees."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path

import pytest

from sandboxkit.errors import ProviderUnavailableError
from sandboxkit_local import template
from tests.local.harness import Harness


def test_venv_in_a_projects_root_does_not_show_the_project(local: Harness, tmp_path: Path):
    project = tmp_path / "project"
    venv.create(project, symlinks=True, with_pip=False)
    (project / ".env").write_text("SECRET=1")
    (project / "src").mkdir()
    (project / "src" / "main.py").write_text("secret")
    (site,) = project.glob("lib/python*/site-packages")
    (site / "a_module.py").write_text("value = 42")

    info = local.create(options={"template": {"venv": str(project)}})
    shown = set(local.sh(info.id, ("ls", "-A", str(project))).split())
    assert shown <= {"bin", "lib", "lib64", "include", "share", "etc", "pyvenv.cfg"}
    code = "import sys, a_module; print(a_module.value, sys.prefix, sys.base_prefix)"
    assert local.sh(info.id, ("python", "-c", code)).split() == [
        "42",
        str(project),
        os.path.realpath(sys.base_prefix),
    ]
    if (project / "lib64").is_symlink():
        assert local.sh(info.id, ("readlink", f"{project}/lib64")).strip() == "lib"


def test_prefixes_are_never_bound_whole():
    found = template.resolve(None, {})
    prefixes = {os.path.realpath(sys.base_prefix), os.path.abspath(sys.prefix)}
    assert not {p for p in prefixes if not p.startswith("/usr")} & set(found["binds"])
    assert "/usr" in found["binds"]


def test_link_out_of_the_prefix_is_a_directory(tmp_path: Path):
    prefix, elsewhere = tmp_path / "prefix", tmp_path / "elsewhere"
    (prefix / "bin").mkdir(parents=True)
    elsewhere.mkdir()
    (prefix / "lib").symlink_to(elsewhere)
    (prefix / "lib64").symlink_to("bin")
    (prefix / "bin" / "python").symlink_to(sys.executable)
    (prefix / "pyvenv.cfg").touch()
    found = template.resolve(None, {"template": {"venv": str(prefix)}})
    assert {str(prefix / "bin"), str(prefix / "lib")} <= set(found["binds"])
    assert found["links"][str(prefix / "lib64")] == "bin"
    assert found["files"] == [str(prefix / "pyvenv.cfg")]


def test_the_whole_system_is_no_prefix(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "prefix", "/")
    with pytest.raises(ProviderUnavailableError) as caught:
        template.resolve(None, {})
    assert caught.value.hint
