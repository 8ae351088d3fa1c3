"""One run: a server, the clients on one runtime, a worker process, and the strikes of one seed; then healing, and the account.

The runtime has the main thread, so that Ctrl-C reaches it; a director in a thread of its own strikes, heals, and waits for
everything to be as it should be. If either of them fails, the other one ends, and so does every process.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streamcore.events import Disconnected
from tests.soak.account import Account
from tests.soak.crew import Crew, Worker, journals
from tests.soak.journal import read
from tests.soak.run import look, unsettled
from tests.soak.settings import KINDS, STREAMS, Settings
from tests.support.servers import ServerKind
from tests.transports.runtimes import Runtime

from .judge import Evidence, judge
from .nemesis import NOT_LET_IN, Chaos
from .publisher import Publisher
from .schedule import FAILOVER, Strike
from .stage import Stage
from .workload import PUSHED, Workload

RECOVERY: Final = 120.0  # seconds in which everything must be settled once nothing breaks any more
JOINING: Final = 120.0
LEFT: Final = {0, -signal.SIGTERM, -signal.SIGINT}  # the last two where a process had hardly begun
PROGRESS: Final = 10  # requests that must be answered after healing, of each that asks


@dataclass(frozen=True)
class Plan:
    """What to run; ``settings.directory`` gets what the worker processes write down.

    ``patient``: connections that are dead without anybody's knowledge are left to be found. Else they end with the faults.
    """

    runtime: Runtime
    server: ServerKind
    settings: Settings
    strikes: list[Strike]
    tls: bool = False
    patient: bool = True

    def __str__(self) -> str:
        return f"{self.runtime.name}, {self.server.name}{', TLS' if self.tls else ''}"


@dataclass
class Outcome:
    account: Account
    struck: list[Strike]
    breaks: int  # connections of our own process that were lost


def play(plan: Plan, say: Callable[[str], None] = lambda text: None) -> Outcome:
    """Run it. Raises what has made the run itself impossible; what is wrong with its outcome is in the account."""
    replica = any(strike.kind == FAILOVER for strike in plan.strikes)
    with Stage(plan.server, tls=plan.tls, replica=replica) as stage:
        workload = Workload(plan.runtime, stage, plan.settings)
        director = Director(plan, stage, workload, say)
        director.start()
        try:
            plan.runtime.run(workload.run)
        finally:
            director.end()
        if director.error is not None:
            raise director.error
        notes, path = workload.notes, plan.settings.path
        account = judge(notes, _evidence(plan, stage, director))
    account.problems += director.nemesis.surprises + director.surprises
    complaints = {one.name: one.read_text() for one in path.glob("*.err") if one.stat().st_size}
    account.complain(
        "processes complained",
        (f"{n}: {words[-2000:]}" for n, words in complaints.items() if not NOT_LET_IN.search(words)),
    )
    return Outcome(account, director.struck, notes.events[Disconnected.__name__])


def _evidence(plan: Plan, stage: Stage, director: Director) -> Evidence:
    with stage.raw() as raw:
        pushed = [value.decode() for value in raw("LRANGE", PUSHED, 0, -1)]
    return Evidence(
        ending=look(stage.node),
        pushed=pushed,
        published=director.publisher.confirmed,
        journals=[list(read(path)) for path in journals(plan.settings.path)],
        faults=director.nemesis.faults,
        claim_idle=plan.settings.claim_idle,
        epoch=time.time() - time.monotonic(),
    )


class Aborted(Exception):
    """The other half of the run has failed, or Ctrl-C was pressed."""


class Director:
    """Strikes, heals, and waits; what went wrong by itself is in ``surprises``, and what ended it in ``error``."""

    def __init__(self, plan: Plan, stage: Stage, workload: Workload, say: Callable[[str], None]) -> None:
        kind = KINDS[plan.settings.seed % len(KINDS)]
        self._abort = threading.Event()
        self.publisher = Publisher(stage)
        self.crew = Crew(plan.settings, stage.back.url, [Worker(kind, kind)])
        self.nemesis = Chaos(plan.settings, stage, self.crew, self._abort.is_set)
        self.struck: list[Strike] = []
        self.surprises: list[str] = []
        self.error: BaseException | None = None
        self._plan = plan
        self._stage = stage
        self._workload = workload
        self._say = say
        self._thread = threading.Thread(target=self._run, name="director")

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Return when nothing of it is left."""
        self._workload.over = True
        self._abort.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._direct()
        except Aborted:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.publisher.stop()
            for worker in self.crew.workers:
                if worker.child is not None:
                    worker.child.kill()
            self._workload.over = True

    def _direct(self) -> None:
        workload, nemesis = self._workload, self.nemesis
        self._until("everybody has joined", workload.joined.is_set, JOINING)
        self.publisher.start()
        nemesis.tend()
        for strike in self._plan.strikes:
            nemesis.wait(strike.pause)
            self._check()
            before = len(nemesis.faults)
            nemesis.inflict(strike)
            if len(nemesis.faults) > before:
                self.struck.append(strike)
            for fault in nemesis.faults[before:]:
                self._say(f"{fault.kind} {fault.detail}")
        self._say("healing")
        nemesis.calm(cut=not self._plan.patient)
        self._recover()
        for worker in self.crew.workers:
            if worker.child is None or (status := worker.child.leave()) in LEFT:
                continue
            if not NOT_LET_IN.search(worker.child.complaints):
                self.surprises.append(f"worker {worker.name} ended with status {status}: {worker.child.complaints}")

    def _recover(self) -> None:
        workload, notes = self._workload, self._workload.notes
        workload.producing = False
        self._until("producers end", lambda: workload.produced)
        answered, pushed = notes.answered.copy(), len(notes.pushed)
        self.publisher.end()
        self._until("the subscriber hears", lambda: workload.heard_the_end)
        self._until(
            "requests are answered", lambda: all(notes.answered[who] >= answered[who] + PROGRESS for who in "ab")
        )
        self._until("values are pushed", lambda: len(notes.pushed) > pushed + 1)
        with self._stage.raw() as raw:
            streams = [stream for stream in STREAMS if raw("EXISTS", stream)]
            self._until("all is settled", lambda: not any(sum(unsettled(raw, s).values()) for s in streams))
            self._until("all is read", lambda: workload.read == sum(raw("XLEN", stream) for stream in streams))
        self._say("all is settled")

    def _until(self, what: str, condition: Callable[[], object], within: float = RECOVERY) -> None:
        """Wait; processes that a poisonous entry has killed come back meanwhile."""
        deadline = time.monotonic() + within
        while not condition():
            self._check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {within:g} s")
            self.nemesis.tend()
            time.sleep(0.02)

    def _check(self) -> None:
        if self._abort.is_set():
            raise Aborted
