"""What an import costs: no SDK, no provider, nothing that `create` does not need."""

from __future__ import annotations

import json
import subprocess
import sys

# Modules that only some commands, providers or extras need.
HEAVY = {
    "aiodocker",
    "blaxel",
    "click",
    "daytona",
    "docker",
    "e2b",
    "h11",
    "hypothesis",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic_settings",
    "pytest",
    "rich",
    "sandboxkit_local",
}


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_no_sdk_and_no_provider() -> None:
    loaded = modules_after("import sandboxkit")
    assert loaded & HEAVY == set()
    assert not {name for name in loaded if name.startswith("sandboxkit.testing")}
    assert not {name for name in loaded if name.startswith("sandboxkit.cli")}


def test_listing_names_imports_no_plugin() -> None:
    code = "from sandboxkit import plugins; assert plugins.provider_names()"
    loaded = modules_after(code)
    assert loaded & HEAVY == set()
    assert "sandboxkit.testing.plugin" not in loaded


def test_describing_a_provider_loads_only_its_plugin() -> None:
    loaded = modules_after("from sandboxkit import plugins; plugins.provider_info('memory')")
    assert "sandboxkit.testing.plugin" in loaded
    assert loaded & HEAVY == set()


def test_reading_the_configuration_loads_no_provider() -> None:
    loaded = modules_after("from sandboxkit.config import load_config; load_config().profile()")
    assert loaded & HEAVY == set()


def test_the_command_line_starts_without_providers() -> None:
    loaded = modules_after("import sandboxkit.cli.app")
    assert loaded & (HEAVY - {"click"}) == set()
