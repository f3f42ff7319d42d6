"""Runs cells in IPython's `InteractiveShell`, where the template has it.

What it would write to its user's home (history, profile) it does not, and it reads none either: a
context is the same whoever's it is.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Dict, List, NoReturn, Optional

import IPython
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets.config import Config

from . import ipython_shortcuts as shortcuts
from .cell import Awaiter
from .cell_error import TRACEBACK_LIMIT, VALUE_LIMIT, printable, shorten
from .extras import with_extras
from .mime import encoded
from .user_site import for_pip

__all__ = ["EVERYTHING", "ZMQInteractiveShell", "build", "rehearse"]

_NO_COLOURS = "nocolor" if IPython.version_info[0] >= 9 else "NoColor"
_INLINE = "module://matplotlib_inline.backend_inline"


def build() -> ZMQInteractiveShell:
    """The shell of this process; to be given a publisher before its first cell."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = _NO_COLOURS
    config.InteractiveShell.autocall = 0
    shell: ZMQInteractiveShell = ZMQInteractiveShell.instance(
        config=config, ipython_dir="", profile_dir=ProfileDir()
    )
    shell.stock = shortcuts.Stock(shell)
    _have_pip_install_for_the_user(shell)
    return shell


def _have_pip_install_for_the_user(shell: ZMQInteractiveShell) -> None:
    def pip(line: str) -> None:
        """Run the package manager pip of this Python: ``%pip install NAMES``."""
        with for_pip() as command:
            shell.system(f"{command} {line}")
        print("Note: you may need to restart the kernel to use updated packages.")

    shell.register_magic_function(pip, "line", "pip")


EVERYTHING = ("1", "await __import__('asyncio').sleep(0)", "%pwd", "1/0", "(")
"""Cells that make IPython import what it imports when it is first needed."""


def rehearse(shell: ZMQInteractiveShell, *sources: str) -> None:
    """Run cells to nobody."""
    shell.publisher = _Nobody()
    for source in sources:
        shell.run(source, 1)
    shell.reset(new_session=True)
    # As at the beginning; what IPython remembers of the last cells outlives its reset.
    shell.user_ns.update(dict.fromkeys(("_", "__", "___"), ""))
    history = shell.history_manager
    history._i00 = history._i = history._ii = history._iii = ""
    shell.raised = None
    shell.awaiter.close()


class _Nobody:
    """A publisher to nobody."""

    in_child = False

    def show(self, _bundle: Dict[str, Any], main: bool = False) -> None:
        """Throw it away."""


class _Formatter(DisplayFormatter):
    """All forms of a value, those for programs among them."""

    def format(self, obj: Any, include: Any = None, exclude: Any = None) -> Any:
        if include is None and exclude is None and shortcuts.is_text_only(self, type(obj)):
            formatter = self.formatters[shortcuts.TEXT]
            text = shortcuts.one_line(formatter, obj)
            text = formatter(obj) if text is None else text
            bundle, metadata = ({} if text is None else {shortcuts.TEXT: text}), {}
        else:
            bundle, metadata = super().format(obj, include=include, exclude=exclude)
        return (with_extras(obj, bundle) if bundle else bundle), metadata


class _Hook(DisplayHook):
    """Shows the value of a cell's last expression."""

    def quiet(self) -> Any:
        """Whether a semicolon silences it; most cells have none."""
        cells = self.shell.history_manager.input_hist_parsed
        return bool(cells) and ";" in cells[-1] and super().quiet()

    def start_displayhook(self) -> None:
        """Nothing is printed around it."""

    def write_output_prompt(self) -> None:
        """Nor before it."""

    def write_format_data(self, format_dict: Dict[str, Any], md_dict: Any = None) -> None:
        self.shell.publisher.show(encoded(format_dict), main=True)

    def finish_displayhook(self) -> None:
        """Nor after it."""


class _DisplayPublisher(DisplayPublisher):
    """Shows what cells display."""

    def publish(self, data: Dict[str, Any], metadata: Any = None, **_others: Any) -> None:
        self.shell.publisher.show(encoded(data))

    def clear_output(self, wait: bool = False) -> None:
        """What was sent cannot be taken back."""


class ZMQInteractiveShell(InteractiveShell):
    """IPython without a terminal.

    Its name is that of a Jupyter kernel's shell, by which libraries know that they are shown in
    rich forms.

    Attributes:
        publisher: where results go.
        raised: what a cell has raised, as the event that says so.
        awaiter: runs coroutines.
        stock: how cells are changed by what IPython brings.
    """

    awaiter = Awaiter()
    stock: Any = None
    publisher: Any = None
    raised: Optional[Dict[str, Any]] = None
    db: Any = {}  # noqa: RUF012 - IPython's, which it would keep in files
    displayhook_class = _Hook
    display_pub_class = _DisplayPublisher
    # A child's output goes where ours goes, its two streams apart, and not through a terminal.
    system = InteractiveShell.system_raw

    def init_display_formatter(self) -> None:
        """Use ours."""
        self.display_formatter = _Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    def enable_figures(self) -> None:
        """Have figures shown in cells, unless the environment says otherwise."""
        matplotlib = sys.modules["matplotlib"]
        if not os.environ.get("MPLBACKEND"):
            matplotlib.rcParams["backend"] = _INLINE
            if "matplotlib.pyplot" in sys.modules:
                # It notices that there is a shell as it is imported.
                __import__("matplotlib_inline.backend_inline")

    def enable_frames(self) -> None:
        """Show data frames as in a notebook, of which pandas may have seen nothing."""
        pandas = sys.modules["pandas"]
        if pandas.get_option("display.max_columns") == 0:
            pandas.set_option("display.max_columns", 20)

    def transform_cell(self, raw_cell: str) -> Any:
        """The cell as Python, without a search for magics where there can be none."""
        if self.stock.leaves_alone(self, raw_cell):
            return raw_cell if raw_cell.endswith("\n") else raw_cell + "\n"
        return super().transform_cell(raw_cell)

    def should_run_async(
        self, raw_cell: str, *, transformed_cell: Any = None, preprocessing_exc_tuple: Any = None
    ) -> Any:
        """Whether the cell awaits, without compiling it to know that it does not."""
        if transformed_cell is not None and shortcuts.needs_no_loop(transformed_cell):
            return False
        return super().should_run_async(
            raw_cell,
            transformed_cell=transformed_cell,
            preprocessing_exc_tuple=preprocessing_exc_tuple,
        )

    def _tee(self, channel: str) -> Any:
        """What is printed is sent and not kept as well, in whatever memory it takes."""
        return contextlib.nullcontext()

    def run(self, source: str, number: int) -> Optional[BaseException]:
        """Run a cell; what it raised is returned, and described by `raised`."""
        self.loop_runner = self.awaiter.run
        self.execution_count = number
        outcome = self.run_cell(source, store_history=True)
        error: Optional[BaseException] = outcome.error_before_exec or outcome.error_in_exec
        if isinstance(error, UsageError) and self.raised is None:
            # IPython has printed it, and has no traceback of it.
            self._showtraceback(type(error), error, [f"UsageError: {error}"])
        return error

    def _showtraceback(self, etype: Any, evalue: Any, stb: List[str]) -> None:
        if self.publisher.in_child:
            super()._showtraceback(etype, evalue, stb)
            return
        self.raised = {
            "event": "raised",
            "name": str(etype.__name__),
            "value": shorten(printable(evalue), VALUE_LIMIT),
            "traceback": shorten("\n".join(stb), TRACEBACK_LIMIT),
        }

    def raw_input(self, prompt: object = "") -> NoReturn:
        """Stands in for `input`.

        Raises:
            StdinNotImplementedError: always.
        """
        __tracebackhide__ = True
        raise StdinNotImplementedError(
            "raw_input was called, but this frontend does not support input requests."
        )

    def init_builtins(self) -> None:
        """Have `input` fail at once, and Python's own `exit`, which raises `SystemExit`."""
        super().init_builtins()
        trapped = self.builtin_trap.auto_builtins
        trapped["input"] = self.raw_input
        for name in ("exit", "quit"):
            trapped.pop(name, None)

    def init_user_ns(self) -> None:
        """The same."""
        super().init_user_ns()
        for name in ("exit", "quit"):
            self.user_ns.pop(name, None)
            self.user_ns_hidden.pop(name, None)
