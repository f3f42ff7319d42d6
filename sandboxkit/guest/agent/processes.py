"""The operations on processes: start, attach, processes, kill_tree."""

from __future__ import annotations

import contextlib
import os
from typing import Callable, Dict

from . import arguments
from .attachment import Attachment
from .errors import NOT_FOUND, TOO_MANY, OpError
from .mark import marking
from .process import GRACE, Born, Process
from .script import FD, LONGEST_ARGUMENT, SOURCED, script_file
from .server import Server
from .spawn import Command, encode, spawn
from .standard_streams import on_pipes, on_terminal
from .stream import Message, Stream
from .terminal import TERM, terminal_size

#: Seconds for which a process that has ended is remembered.
REMEMBERED_FOR = 600.0
REMEMBERED = 256
#: Bytes of output that all ended processes together may keep.
REMEMBERED_OUTPUT = 32 * 1_048_576
MAX_RUNNING = 4096
_LONGEST_LABEL = 1000


def install(server: Server) -> Processes:
    """Offer these operations; returns what holds the processes."""
    table = Processes(server)
    server.add_op("start", table.start)
    server.add_op("attach", table.attach)
    server.add_op("processes", table.list)
    server.add_op("kill_tree", table.kill_tree)
    server.add_feature("processes")
    server.add_feature("terminals")
    return table


class Processes:
    """All that clients have started, and for a while what has ended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running: Dict[int, Process] = {}
        self._ended: Dict[int, Process] = {}
        self._cleaning = False

    # -- start --

    def start(self, stream: Stream, args: Message) -> None:
        """Start a process and attach the stream to it as its owner."""
        if len(self._running) >= MAX_RUNNING:
            raise OpError(TOO_MANY, f"more than {MAX_RUNNING} processes")
        timeout = arguments.seconds(args, "timeout")
        grace = arguments.seconds(args, "grace", GRACE)
        born = self._spawn(args)
        self._ended.pop(born.pid, None)
        process = Process(self._server, born, self._retired)
        self._running[born.pid] = process
        if timeout is not None:
            process.end_after(timeout, grace or 0.0)
        stream.event({"event": "started", "pid": born.pid})
        process.attach(Attachment(stream, process, (0, 0)), own=True)

    def _spawn(self, args: Message) -> Born:
        command = self._command(args)
        label = arguments.text(args, "label", " ".join(command.argv))[:_LONGEST_LABEL]
        bound = arguments.flag(args, "bound", True)
        wants_input = arguments.flag(args, "stdin")
        size = terminal_size(args)
        if size is not None:
            command.env.setdefault("TERM", TERM)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            # Pipes made by the user are the user's: /dev/stdout can be opened again.
            with self._server.acting(command.account):
                streams = (
                    on_terminal(size, ours, theirs) if size else on_pipes(wants_input, ours, theirs)
                )
                if args.get("shell") is not None:
                    command = _shortened(command, streams.fds, theirs)
            with marking() as mark:
                pid = spawn(self._server, command, streams.fds, streams.terminal)
            ours.pop_all()
        terminal = streams.terminal is not None
        return Born(pid, mark, streams.output, streams.input, terminal, bound, label)

    def _command(self, args: Message) -> Command:
        if (args.get("argv") is None) == (args.get("shell") is None):
            raise arguments.bad("one of 'argv' and 'shell' is needed")
        if args.get("argv") is not None:
            argv = arguments.strings(args, "argv")
        else:
            argv = [*self._server.shell(), arguments.text(args, "shell")]
        cwd = arguments.text(args, "cwd", self._server.config.workdir)
        if not cwd.startswith("/"):
            raise arguments.bad("'cwd' must be an absolute path")
        account = self._server.account(arguments.optional_text(args, "user"))
        env = self._server.environment(account, arguments.environment(args))
        return Command(argv, cwd, env, account)

    # -- those that run, and those that did --

    def attach(self, stream: Stream, args: Message) -> None:
        """Attach the stream to a process, from given offsets."""
        process = self._find(args)
        positions = []
        for name, output in zip(("stdout", "stderr"), process.outputs):
            ring = output.ring
            wanted = arguments.integer(args, name, 0)
            positions.append(min(max(wanted or 0, ring.start), ring.end))
        first = (positions[0], positions[1])
        own = arguments.flag(args, "own")
        stream.event(
            {
                "event": "attached",
                "pid": process.pid,
                "stdout": first[0],
                "stderr": first[1],
                "stdin": process.input_received,
                "terminal": process.terminal is not None,
            }
        )
        process.attach(Attachment(stream, process, first), own)
        if own and not process.takes_input:
            stream.event({"event": "stdin_closed"})

    def list(self, stream: Stream, _args: Message) -> None:
        """Tell of all of them."""
        self._forget_old()
        found = [*self._ended.values(), *self._running.values()]
        stream.result(
            {
                "processes": [
                    {
                        "pid": process.pid,
                        "label": process.label,
                        "running": process.running,
                        "code": process.code,
                        "signal": process.signal,
                        "started": process.started,
                        "terminal": process.terminal is not None,
                        "stdout": process.outputs[0].ring.end,
                        "stderr": process.outputs[1].ring.end,
                    }
                    for process in found
                ]
            }
        )

    def kill_tree(self, stream: Stream, args: Message) -> None:
        """End the tree of one."""
        grace = arguments.seconds(args, "grace", GRACE)
        process = self._find(args)
        process.terminate(grace or 0.0, lambda _left: stream.result({}))

    def terminate_all(self, done: Callable[[], None]) -> None:
        """End every tree at once; for an agent whose end does not end them by itself."""
        waiting = [*self._running.values(), *self._ended.values()]
        left = len(waiting)

        def one_less(_left: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                done()

        for process in waiting:
            process.terminate(0.0, one_less)
        if not waiting:
            done()

    def _find(self, args: Message) -> Process:
        pid = arguments.needed_integer(args, "pid")
        self._forget_old()
        process = self._running.get(pid) or self._ended.get(pid)
        if process is None:
            raise OpError(NOT_FOUND, f"no such process: {pid}")
        return process

    def _retired(self, process: Process) -> None:
        del self._running[process.pid]
        self._ended[process.pid] = process
        self._forget_old()
        self._clean_later()
        kept = 0
        for ended in reversed(list(self._ended.values())):
            kept += sum(output.ring.end - output.ring.start for output in ended.outputs)
            if kept > REMEMBERED_OUTPUT:
                ended.forget_output()

    def _clean_later(self) -> None:
        """Forget in time, also when nobody asks any more."""
        if not self._cleaning and self._ended:
            self._cleaning = True
            self._server.loop.call_later(REMEMBERED_FOR, self._clean)

    def _clean(self) -> None:
        self._cleaning = False
        self._forget_old()
        self._clean_later()

    def _forget_old(self) -> None:
        horizon = self._server.loop.time() - REMEMBERED_FOR
        surplus = len(self._ended) - REMEMBERED
        for pid, process in list(self._ended.items()):
            if surplus <= 0 and process.ended_at > horizon:
                break
            surplus -= 1
            del self._ended[pid]


def _shortened(command: Command, fds: Dict[int, int], theirs: contextlib.ExitStack) -> Command:
    """The same shell command, with its text in a file if it is too long for an argument."""
    text = encode(command.argv[-1])
    if len(text) <= LONGEST_ARGUMENT:
        return command
    fds[FD] = script_file(text)
    theirs.callback(os.close, fds[FD])
    return command._replace(argv=[*command.argv[:-1], SOURCED])
