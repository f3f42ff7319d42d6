"""The agent's command line."""

from __future__ import annotations

import argparse
import os
import socket
from typing import List, NoReturn

from .config import AgentConfig
from .orders import obey
from .serve import serve


def main(argv: List[str]) -> NoReturn:
    """Serve as the arguments say, then exit."""
    parser = argparse.ArgumentParser(prog="sandboxkit-agent", description=__doc__)
    parser.add_argument("--listen", metavar="PATH", help="a unix socket to accept clients at")
    parser.add_argument(
        "--connection-fd", metavar="N", type=int, action="append", default=[],
        help="a connected stream socket",
    )  # fmt: skip
    parser.add_argument("--control-fd", metavar="N", type=int, help="the maker's socket")
    parser.add_argument("--token-env", metavar="NAME", help="variable holding the token")
    parser.add_argument("--lifetime", metavar="SECONDS", type=float)
    parser.add_argument("--workdir", metavar="PATH")
    parser.add_argument("--switch-users", action="store_true", help="act as any user; needs root")
    parser.add_argument(
        "--orders", action="store_true",
        help="read what the sandbox is to be on standard input, and tell when it is; see orders.py",
    )  # fmt: skip
    options = parser.parse_args(argv)
    if options.orders and options.listen:
        obey(options.listen)
    if not options.listen and not options.connection_fd and options.control_fd is None:
        parser.error("one of --listen, --connection-fd and --control-fd is needed")
    config = AgentConfig.of_this_process()
    config = config._replace(
        lifetime=options.lifetime,
        workdir=options.workdir or config.workdir,
        can_switch_user=options.switch_users,
    )
    if options.token_env:
        config = config._replace(token=os.environ.pop(options.token_env))
    control = None
    if options.control_fd is not None:
        control = socket.socket(fileno=options.control_fd)
    connections = [socket.socket(fileno=fd) for fd in options.connection_fd]
    serve(config, control, options.listen, connections)
    os._exit(0)
