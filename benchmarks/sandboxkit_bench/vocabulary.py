"""The words that every sample is labelled with; one that is not here is refused."""

from __future__ import annotations

PHASES = (
    "intended",  # when it was to begin, in an open loop; else the same as `call`
    "call",  # the caller asks for it; in a closed loop the clock starts here
    "allocated",  # the provider has said which sandbox it is, and the caller may use it
    "exec_sent",  # the caller asks for the command
    "exec_started",  # the program's first act inside, by its own reading of the same clock
    "first_stdout",  # the first byte of its output is here
    "answered",  # all of the answer is here; the clock stops here, unless the scenario says else
    "exit_known",  # the caller knows how the program ended
    "destroy_called",
    "destroy_confirmed",
    "resources_gone",  # no process of it is left on this machine
)
"""Moments of one attempt, in their order. One that a contender does not show is left out."""

START_CLASSES = {
    "cold": "nothing of it runs: daemon, template and interpreter are started (page cache warm)",
    "warm": "daemon or engine runs, the image or template is here; every process is new",
    "forked": "forked from a warmed interpreter, which loaded its modules before",
    "restored": "made from a snapshot",
    "pooled": "taken from sandboxes that stood ready",
    "live": "inside a sandbox that runs already",
    "none": "no sandbox: a process of this machine",
}
"""How much had been done before the clock started."""

ISOLATION = (
    "none",
    "language",
    "process",
    "namespaces",
    "container",
    "user-kernel",
    "microvm",
    "remote",
)
"""What keeps it apart from this machine, as declared; the probe says what was seen."""

LOADS = ("closed", "open", "burst", "soak")
"""Closed: one after the other. Open: at times fixed before. Burst: all at once."""

FAILURES = ("timeout", "error", "verify", "reuse", "twins", "isolation", "leak", "died")
"""What can be wrong with a sample. All of them count as not finished by the deadline.

Twins drew the same random numbers.
"""


def checked(word: str, known: tuple[str, ...] | dict[str, str], what: str) -> str:
    """The word, if it is one of ours.

    Raises:
        ValueError: it is not.
    """
    if word not in known:
        raise ValueError(f"{word!r} is no {what}: use one of {', '.join(known)}")
    return word
