"""A person at a terminal emulator: tmux, on a socket of its own, with a shell of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROMPT = "host> "
PATIENCE = 20.0
COMMAND = str(Path(sys.executable).with_name("sandboxkit"))


class Person:
    """Presses keys and looks at the screen."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        for program in ("tmux", "vim", "top", "less"):
            assert shutil.which(program), f"{program} is not installed; .ci/run installs it"
        self._directory = tempfile.mkdtemp(prefix="person-")
        # Long enough to see also what programs have left on the screen and what scrolled away.
        shell = f"PS1='{PROMPT}' exec bash --norc"
        size = ("-x", str(columns), "-y", str(rows))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, shell)
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("resize-window", *size)
        self.see(PROMPT)

    def _tmux(self, *words: str) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "TMUX"},
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        return subprocess.run(
            ["tmux", "-S", f"{self._directory}/socket", *words],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        ).stdout

    def type(self, text: str) -> None:
        """Type text as it is."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: ``Enter``, ``C-c``."""
        self._tmux("send-keys", *keys)

    def enter(self, text: str) -> None:
        """Type a line."""
        self.type(text)
        self.press("Enter")

    def resize(self, columns: int, rows: int) -> None:
        """Pull at the window's corner."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> list[str]:
        """What is on it, a line for each row."""
        return self._tmux("capture-pane", "-p").removesuffix("\n").split("\n")

    def pane(self, what: str) -> str:
        """One of tmux's variables about the terminal."""
        return self._tmux("display-message", "-p", f"#{{{what}}}").strip()

    def until(self, seen: Callable[[list[str]], object]) -> list[str]:
        """Look until it is so; returns the screen."""
        deadline = time.monotonic() + PATIENCE
        while True:
            screen = self.screen()
            if seen(screen):
                return screen
            if time.monotonic() > deadline:
                raise AssertionError("not seen, but:\n" + "\n".join(screen))
            time.sleep(0.05)

    def see(self, text: str) -> list[str]:
        """Look until a line begins with `text`."""
        return self.until(lambda lines: any(line.startswith(text.rstrip()) for line in lines))

    def prompt(self) -> None:
        """Look until this machine's shell waits on the last line that is not empty."""
        self.until(lambda lines: [line for line in lines if line][-1:] == [PROMPT.rstrip()])

    def leave(self) -> None:
        """Close the window and all."""
        subprocess.run(
            ["tmux", "-S", f"{self._directory}/socket", "kill-server"],
            capture_output=True,
            timeout=PATIENCE,
        )
        shutil.rmtree(self._directory)
