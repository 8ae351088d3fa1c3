"""One run on a cluster: clients on one runtime, and the strikes of one seed; then healing, and the account.

The runtime has the main thread; a director in a thread of its own strikes, heals, and waits until everything is as it should be.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.schedule import Strike
from tests.soak.account import Account, Ending
from tests.soak.run import letter, scan, unsettled
from tests.soak.settings import Settings
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from transports.embedded import EmbeddedCluster

from .judge import ClusterEvidence, judge
from .nemesis import ACTS, Blow, ClusterNemesis, owners
from .recovery import Outage, outages
from .workload import ClusterWorkload, GivenUp, names

SENDING: Final = 900.0  # seconds for all entries of all streams
RECOVERY: Final = 120.0  # seconds in which everything must be settled once nothing breaks any more


@dataclass(frozen=True)
class Plan:
    """What to run. ``entries``: of each stream at most, None: as long as it lasts. ``hasty``: replicas take over at once."""

    runtime: Runtime
    settings: Settings
    strikes: list[Strike]
    streams: int = 12
    entries: int | None = None
    hasty: bool = False


@dataclass
class Outcome:
    account: Account
    blows: list[Blow]
    outages: list[Outage] = field(default_factory=list)
    slowest: float = 0.0  # seconds of a request


class Aborted(Exception):
    """The other half of the run has failed, or Ctrl-C was pressed."""


def play(plan: Plan, cluster: EmbeddedCluster, say: Callable[[str], None] = lambda text: None) -> Outcome:
    """Run it. Raises what has made the run itself impossible; what is wrong with its outcome is in the account."""
    keys = names(plan.streams)
    workload = ClusterWorkload(plan.runtime, cluster.url, plan.settings, keys, plan.entries)
    director = Director(plan, cluster, workload, say)
    director.start()
    try:
        plan.runtime.run(workload.run)
    except GivenUp:
        assert director.error is not None
    finally:
        director.end()
    if director.error is not None:
        raise director.error
    notes, blows = workload.notes, director.nemesis.blows
    evidence = ClusterEvidence(
        look(cluster, keys.streams),
        pushed(cluster, keys.lists),
        blows,
        plan.settings.claim_idle,
        time.time() - time.monotonic(),
    )
    return Outcome(judge(notes, evidence), blows, outages(notes, blows), notes.slowest)


def look(cluster: EmbeddedCluster, streams: tuple[str, ...]) -> Ending:
    """What the cluster has of the streams."""
    ending = Ending({}, {"pending": 0, "not delivered": 0, "without a group": 0})
    for stream, node in owners(cluster, streams).items():
        with Raw(node.port) as raw:
            ending.entries[stream] = {id_: int(fields[b"n"]) for id_, fields in scan(raw, stream)}
            for what, count in unsettled(raw, stream).items():
                ending.unsettled[what] += count
            ending.letters[stream] = [letter(fields) for _, fields in scan(raw, f"{{{stream}}}:dead")]
    return ending


def pushed(cluster: EmbeddedCluster, lists: tuple[str, ...]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for key, node in owners(cluster, lists).items():
        with Raw(node.port) as raw:
            found[key] = [int(value) for value in raw("LRANGE", key, 0, -1)]
    return found


class Director:
    """Strikes, heals, and waits; what ended it is in ``error``."""

    def __init__(
        self, plan: Plan, cluster: EmbeddedCluster, workload: ClusterWorkload, say: Callable[[str], None]
    ) -> None:
        self._abort = threading.Event()
        self._plan = plan
        self._cluster = cluster
        self._workload = workload
        self._keys = names(plan.streams)
        self._say = say
        self.nemesis = ClusterNemesis(cluster, self._keys.all, self._abort.is_set, hasty=plan.hasty)
        self.error: BaseException | None = None
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
            self._workload.over = True

    def _direct(self) -> None:
        try:
            self._until("all have begun", self._workload.joined.is_set)
        except TimeoutError as error:
            error.add_note(f"not begun: {sorted(self._workload.late)}")
            raise
        for strike in self._plan.strikes:
            self.nemesis.wait(strike.pause)
            self._check()
            blow = self.nemesis.inflict(strike)
            self._say(f"{blow.kind}: {blow.detail}, in {blow.ended - blow.began:.2f} s (load {os.getloadavg()[0]:.1f})")
        self._say("healing")
        self.nemesis.calm()
        workload = self._workload
        if self._plan.entries is not None:
            self._until("all is sent", lambda: workload.produced, SENDING)
        workload.producing = False
        self._until("producers end", lambda: workload.produced)
        workload.publishing = False
        self._until("the subscriber hears", lambda: workload.heard)
        self._until("all is settled", self._is_settled)
        self._until("all is read", self._is_read)
        self._say("all is settled")

    def _is_settled(self) -> bool:
        return all(not any(self._ask(unsettled, node, of).values()) for node, of in self._by_node())

    def _is_read(self) -> bool:
        there = sum(
            self._ask(lambda raw, stream: {"": raw("XLEN", stream)}, *pair).get("", 0) for pair in self._by_node()
        )
        return self._workload.read >= there

    def _by_node(self) -> Any:
        parts: dict[int, list[str]] = {}
        for stream, node in owners(self._cluster, self._keys.streams).items():
            parts.setdefault(node.port, []).append(stream)
        return parts.items()

    def _ask(self, question: Callable[[Raw, str], dict[str, int]], port: int, streams: list[str]) -> dict[str, int]:
        total: dict[str, int] = {}
        with Raw(port) as raw:
            for stream in streams:
                for what, count in question(raw, stream).items():
                    total[what] = total.get(what, 0) + count
        return total

    def _until(self, what: str, condition: Callable[[], bool], within: float = RECOVERY) -> None:
        deadline = time.monotonic() + within
        while not condition():
            self._check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {within:g} s")
            time.sleep(0.05)

    def _check(self) -> None:
        if self._abort.is_set():
            raise Aborted


__all__ = ["ACTS", "Outcome", "Plan", "play"]
