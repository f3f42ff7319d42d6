"""What the agent is told about its sandbox when it starts."""

from __future__ import annotations

import os
import sys
from typing import Mapping, NamedTuple, Optional

from .accounts import Account, groups_of, user_name

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class AgentConfig(NamedTuple):
    """The sandbox as its maker describes it. Paths are absolute, inside the sandbox.

    Attributes:
        token: what a client must say; empty where the transport proves who it is.
        workdir: where commands run unless told otherwise.
        user: the default user's name.
        uid: its number.
        gid: its group's number.
        home: its home directory.
        shell: how a command of text is run, such as ``bash -lc``; empty picks ``bash -c`` or
            ``sh -c``.
        path: the variable PATH of what is started.
        env: further variables of what is started.
        lifetime: seconds until the sandbox ends; ``None`` is never.
        idle_timeout: seconds with no operation in progress until it ends; ``None`` is never.
        on_timeout: what its end is: ``kill``, or ``pause``, which is left to its maker.
        can_switch_user: the agent is uid 0 with the capabilities SETUID and SETGID, so that it can
            act as any user; else everything runs as the agent's own user.
        upper_fd: a descriptor of the directory a snapshot saves, or -1.
        python: an interpreter inside the sandbox.
        fork_python: code in Python runs in forks of the agent, where `python` is the agent's own;
            else always in a new interpreter, which sees the packages of whoever runs it.
    """

    token: str = ""
    workdir: str = "/"
    user: str = "root"
    uid: int = 0
    gid: int = 0
    home: str = "/"
    shell: str = ""
    path: str = DEFAULT_PATH
    env: Mapping[str, str] = {}
    lifetime: Optional[float] = None
    idle_timeout: Optional[float] = None
    on_timeout: str = "kill"
    can_switch_user: bool = False
    upper_fd: int = -1
    python: str = sys.executable
    fork_python: bool = True

    @classmethod
    def of_this_process(cls) -> AgentConfig:
        """One for an agent that runs unsandboxed, as whoever runs it."""
        return cls(
            workdir=os.getcwd(),
            user=user_name(os.getuid()),
            uid=os.getuid(),
            gid=os.getgid(),
            home=os.environ.get("HOME") or "/",
            path=os.environ.get("PATH") or DEFAULT_PATH,
        )

    def account(self) -> Account:
        """The default user."""
        groups = groups_of(self.user, self.gid) if self.can_switch_user else ()
        return Account(self.user, self.uid, self.gid, self.home, tuple(groups))
