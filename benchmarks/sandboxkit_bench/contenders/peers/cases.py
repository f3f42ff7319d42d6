"""The peers as contenders: a start, and a command in what was started."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ...case import Case
from ...challenge import KEY_FILE, key, own_namespace
from ...probe import Inside, check_isolation, check_new, script, wait_until_gone
from ...settings import Settings
from ...trial import Fault, Trial
from ..host import fastest_python
from .channel import Answer, Driver

__all__ = ["PEERS", "Peer", "PeerCommand", "PeerStart", "peer_commands", "peer_starts"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """One way of using another library.

    Attributes:
        name: as in the tables.
        adapter: the file that drives it.
        kind: the class in there.
        install: what pip is to install.
        isolation: what it says of itself; ``none`` where commands are this machine's.
        every: it starts in one round out of so many.
        note: what a reader must know.
    """

    name: str
    adapter: Path
    kind: str
    install: str
    isolation: str
    every: int = 1
    note: str = ""


BARE = "a directory of this machine, and commands without a sandbox"
PEERS = (
    Peer("llm-sandbox docker", HERE / "adapter_llm_sandbox.py", "Docker", "llm-sandbox[docker]",
         "container", 4, "without its virtual environment, stopped by SIGKILL"),
    Peer("llm-sandbox bubblewrap", HERE / "adapter_llm_sandbox.py", "Bubblewrap",
         "llm-sandbox[docker]", "namespaces", 2, "each command has namespaces of its own"),
    Peer("swe-rex docker", HERE / "adapter_swe_rex.py", "Docker", "swe-rex", "container", 4,
         "with a network, as its server is asked through a port; execute, no bash session"),
    Peer("swe-rex local", HERE / "adapter_swe_rex.py", "Local", "swe-rex", "none", 1,
         f"{BARE}; execute, no bash session"),
    Peer("inspect_ai local", HERE / "adapter_inspect.py", "Local", "inspect_ai", "none", 1, BARE),
    Peer("openai-agents docker", HERE / "adapter_openai_agents.py", "Docker",
         "openai-agents docker", "container", 4),
    Peer("openai-agents local", HERE / "adapter_openai_agents.py", "Local", "openai-agents",
         "none", 1, BARE),
)  # fmt: skip


class _PeerCase(Case):
    """One with a process."""

    def __init__(self, settings: Settings, scenario: str, peer: Peer) -> None:
        self.scenario, self.contender = scenario, peer.name
        self.isolation = peer.isolation
        self._settings, self._peer = settings, peer
        self._driver: Driver | None = None

    @property
    def driver(self) -> Driver:
        if self._driver is None:
            raise RuntimeError("not prepared")
        return self._driver

    def prepare(self) -> None:
        python = self._settings.peers
        options = {
            "image": self._settings.image,
            "labels": {"sandboxkit-bench": self._settings.token},
        }
        peer = self._peer
        try:
            self._driver = Driver(python, peer.adapter, peer.kind, options, self.limit)
        except ModuleNotFoundError as error:
            raise Fault(
                "error",
                f"{python} has no module {error.name}: {python} -m pip install"
                f" {' '.join(shlex.quote(word) for word in peer.install.split())},"
                " or name an environment that has it by --peers",
            ) from None
        self.note = f"version {self._driver.version}" + (f"; {peer.note}" if peer.note else "")

    def heard(self, trial: Trial, answer: Answer) -> None:
        """Take over an answer: the moments that were read next to the peer count, not ours."""
        trial.text = answer.output
        trial.marks.update(answer.marks)

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None


class PeerStart(_PeerCase):
    """A sandbox of a peer, from nothing to the answer of a program, and to its end."""

    patience = 2.0

    def __init__(self, settings: Settings, scenario: str, peer: Peer) -> None:
        super().__init__(settings, scenario, peer)
        self.start_class = "none" if peer.isolation == "none" else "warm"
        self.every = peer.every

    def attempt(self, trial: Trial) -> None:
        # Where nothing is kept apart, the baseline gets the best interpreter of this machine.
        python = fastest_python() if self.isolation == "none" else "python3"
        command = [python, "-c", trial.challenge.python()]
        self.heard(trial, self.driver.ask("start", command))

    def verify(self, trial: Trial) -> None:
        answer = trial.challenge.check_python(trial.text)
        trial.began(answer.clock)
        if (answer.namespace == own_namespace()) != (self.isolation == "none"):
            raise Fault("isolation", f"{self.isolation} is declared, and it ran elsewhere")
        self.probed = "nothing of its own" if self.isolation == "none" else "own mnt"
        if self.isolation == "container":
            probe = ["sh", "-c", script(f"{self._settings.token}-{trial.number}")]
            inside = Inside.read(self.driver.ask("run", probe).output)
            trial.kept["inside"] = inside
            check_isolation(inside, self.isolation, answer.namespace)
            check_new(inside, trial.marks["call"])
            self.probed = inside.says()

    def tidy(self, trial: Trial) -> None:
        if not self.driver.alive:
            # It ended with what it raised, and its sandbox with it. The next attempt needs another.
            self.close()
            self.prepare()
            return
        ended = self.driver.ask("end").marks
        for phase in ("destroy_called", "destroy_confirmed"):
            trial.mark(phase, ended[phase])
        if inside := trial.kept.get("inside"):
            wait_until_gone(inside, self.patience)
            trial.mark("resources_gone")


class PeerCommand(_PeerCase):
    """A command in a sandbox of a peer that was made before."""

    end = "exit_known"

    def __init__(self, settings: Settings, scenario: str, peer: Peer) -> None:
        super().__init__(settings, scenario, peer)
        # Where only a directory lives on, every command starts all that there is around it.
        classes = {"none": "none", "namespaces": "warm"}
        self.start_class = classes.get(peer.isolation, "live")
        self._key = key()

    def prepare(self) -> None:
        super().prepare()
        self.driver.ask("start", ["sh", "-c", f"echo {self._key} > {KEY_FILE}"])

    def attempt(self, trial: Trial) -> None:
        self.heard(trial, self.driver.ask("run", trial.challenge.shell()))

    def verify(self, trial: Trial) -> None:
        trial.challenge.check_shell(trial.text, self._key)


def peer_starts(settings: Settings, scenario: str) -> list[Case]:
    """All of them, from nothing."""
    return [PeerStart(settings, scenario, peer) for peer in PEERS]


def peer_commands(settings: Settings, scenario: str) -> list[Case]:
    """All of them, with a sandbox that is there."""
    return [PeerCommand(settings, scenario, peer) for peer in PEERS]
