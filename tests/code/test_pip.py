"""`%pip install` for real, from wheels in the sandbox, which has no network."""

from __future__ import annotations

import io
import zipfile

from sandboxkit import Sandbox
from tests.code import environments

PIP = "%pip install --quiet --disable-pip-version-check --no-index --find-links /tmp/wheels"


def wheel(name: str, version: str, *requires: str) -> bytes:
    """A package whose one module says its version."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {one}\n" for one in requires]
    files = {
        f"{name}/__init__.py": f"version = {version!r}\n",
        f"{info}/METADATA": "".join(metadata),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = builtins:print\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return content.getvalue()


def test_what_is_installed_is_there_at_once() -> None:
    options = environments.template(environments.data(), "IPython")
    wheels = {
        "skgreeter-1.0": wheel("skgreeter", "1.0", "sknames>=2", "numpy"),
        "skgreeter-1.1": wheel("skgreeter", "1.1", "sknames>=2", "numpy"),
        "sknames-2.0": wheel("sknames", "2.0"),
    }
    files = {f"/tmp/wheels/{name}-py3-none-any.whl": data for name, data in wheels.items()}
    with Sandbox.create("local", provider_options=options, files=files) as sandbox:
        other = sandbox.contexts.create()
        before = sandbox.run_code("import sknames", context=other)
        assert before.error.name == "ModuleNotFoundError"
        # In one cell; what the template has is not wanted again, what it needs comes too.
        done = sandbox.run_code(f"{PIP} skgreeter==1.0\nimport skgreeter; skgreeter.version")
        assert (done.text, done.error) == ("'1.0'", None), done
        assert "ERROR" not in done.logs.stderr
        # Also in a context that was there already, and in one that is new.
        code = "import sknames; sknames.version"
        for context in (other, sandbox.contexts.create()):
            assert sandbox.run_code(code, context=context).text == "'2.0'"
        # Pip knows what it has installed: there is nothing to do, something newer, and an end.
        code = f"{PIP} --upgrade skgreeter\n%pip list --format=freeze\n"
        assert "skgreeter==1.1\n" in sandbox.run_code(code, check=True).logs.stdout
        sandbox.contexts.restart("python")
        assert sandbox.run_code("import skgreeter; skgreeter.version").text == "'1.1'"
        removed = sandbox.run_code("%pip uninstall --yes skgreeter", check=True).logs.stdout
        assert "Successfully uninstalled skgreeter-1.1" in removed
        code = "import importlib.util as u; u.find_spec('skgreeter'), bool(u.find_spec('sknames'))"
        assert sandbox.run_code(code, context=sandbox.contexts.create()).text == "(None, True)"
        # It is the user's alone, and nothing of it stays in the environment.
        code = "import os, sknames; sknames.__file__, os.environ.get('PIP_PREFIX')"
        there = "/home/user/.local/lib/"
        assert sandbox.run_code(code).text.startswith(f"('{there}")
        assert sandbox.run_code(code).text.endswith("None)")


def test_what_cannot_be_installed_is_said() -> None:
    options = environments.template(environments.data(), "IPython")
    with Sandbox.create("local", provider_options=options) as sandbox:
        execution = sandbox.run_code("%pip install --no-index no-such-thing\n'on'")
        assert "No matching distribution found for no-such-thing" in execution.logs.stderr
        assert execution.text == "'on'"
