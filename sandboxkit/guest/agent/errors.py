"""How an operation fails: `OpError`, and the codes of the protocol's ERROR frames."""

from __future__ import annotations

import errno as errnos
import os
from typing import Any, Dict, Optional

BAD_REQUEST = "bad_request"
NOT_FOUND = "not_found"
NO_SUCH_USER = "no_such_user"
NO_SUCH_CWD = "no_such_cwd"
UNSUPPORTED = "unsupported"
ERRNO = "errno"
TOO_MANY = "too_many"
BROKEN = "broken"
REFUSED = "refused"
RESET = "reset"

#: What says that the agent, or the machine, can open nothing more.
NO_DESCRIPTORS = (errnos.EMFILE, errnos.ENFILE)


class OpError(Exception):
    """An operation failed; becomes the ERROR frame of its stream.

    Attributes:
        code: one of this module's constants.
        message: for people.
        errno: of the system call that failed, if one did.
        path: what it failed on.
    """

    def __init__(
        self, code: str, message: str, errno: Optional[int] = None, path: Optional[str] = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.errno = errno
        self.path = path

    @classmethod
    def of_errno(cls, number: int, path: Optional[str] = None) -> OpError:
        """The error a system call would give with this number."""
        return cls(ERRNO, os.strerror(number), number, path)

    @classmethod
    def of(cls, error: OSError, path: Optional[str] = None) -> OpError:
        """The same failure as an `OSError`, on `path`, unless it is the agent's own."""
        if error.errno in NO_DESCRIPTORS:
            return cls(TOO_MANY, "the sandbox's agent is out of file descriptors")
        if error.errno is None:
            return cls(ERRNO, str(error), None, path)
        return cls(ERRNO, error.strerror or os.strerror(error.errno), error.errno, path)

    def payload(self) -> Dict[str, Any]:
        """What the ERROR frame carries."""
        payload: Dict[str, Any] = {"code": self.code, "message": self.message}
        if self.errno is not None:
            payload["errno"] = self.errno
        if self.path is not None:
            payload["path"] = self.path
        return payload
