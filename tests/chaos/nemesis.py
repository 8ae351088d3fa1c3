"""What strikes: each kind of fault is a method, in the table at the end. Processes are the soak's, and so are their deaths.

It runs in a thread of its own and speaks to the server past the networks, never with the code under test, and never while
the server is down. What lasts is over when its method returns, except that a slow or narrow network stays so for a while.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Final

from tests.soak.crew import Child, Crew, Worker
from tests.soak.nemesis import Nemesis
from tests.soak.settings import Settings
from tests.support.proxy import Direction
from tests.support.raw import Raw

from .publisher import NOISE
from .schedule import FAILOVER, Strike
from .stage import Stage

LIMIT: Final = "client-output-buffer-limit"
SMALL_BUFFER: Final = "pubsub 64kb 0 0"
NOISY: Final = b"x" * 8192
PIECE: Final = 250  # messages, 2 MB
PIECES: Final = 60
BUSY: Final = 6  # connections, ours among them: somebody is worth hitting
PATIENCE: Final = 15.0  # seconds
NOT_LET_IN: Final = re.compile(r"in open\n.*raise self\.not_reached\(\)\n.*Connect(ionLost|Failed): ", re.DOTALL)


class Chaos(Nemesis):
    """``stop`` is asked while something lasts, and ends it."""

    def __init__(self, settings: Settings, stage: Stage, crew: Crew, stop: Callable[[], bool]) -> None:
        super().__init__(settings, stage.node, crew)
        self._stage = stage
        self._stop = stop

    def inflict(self, strike: Strike) -> None:
        """Wait until there is somebody to hit, and do it."""
        if strike.kind in ON_CONNECTIONS:
            self._wait_until(self._is_busy)
        ACTS[strike.kind](self, strike)

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stop():
            self.tend()
            left = deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, 0.02))

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Within reason: what does not come does not come."""
        deadline = time.monotonic() + PATIENCE
        while not condition() and not self._stop() and time.monotonic() < deadline:
            self.wait(0.03)

    def _is_busy(self) -> bool:
        with self._raw() as raw:
            return len(raw("CLIENT", "LIST").splitlines()) >= BUSY

    def calm(self, *, cut: bool) -> None:
        """End what still lasts; nobody's connection is touched, unless they shall be cut."""
        for network in self._stage.networks:
            if cut:
                network.cut()
            network.thaw()
            network.delay(0)
            network.bandwidth(None)
            network.accept()
        self.heal()

    def _bury(self, worker: Worker, child: Child, status: int) -> None:
        """A process that was not let in has no chance to begin: that is no surprise here."""
        if status == 1 and NOT_LET_IN.search(child.complaints):
            self._note("worker not let in", worker.name)
            self._vacate(worker)
        else:
            super()._bury(worker, child, status)

    # -- connections -------------------------------------------------------------------------------------------------

    def close(self, strike: Strike) -> None:
        self._cut(strike, hard=False)

    def reset(self, strike: Strike) -> None:
        self._cut(strike, hard=True)

    def _cut(self, strike: Strike, *, hard: bool) -> None:
        count = sum(network.connections for network in self._stage.networks)
        for network in self._stage.networks:
            network.cut(hard=hard)
        self._note(strike.kind, f"{count}")

    def cut_in_a_command(self, strike: Strike) -> None:
        self._cut_after(strike, "upstream")

    def cut_in_a_reply(self, strike: Strike) -> None:
        self._cut_after(strike, "downstream")

    def _cut_after(self, strike: Strike, direction: Direction) -> None:
        front = self._stage.front
        front.cut_after(strike.size, direction, hard=strike.share > 0.6)
        self._wait_until(lambda: not front.cut_is_due)
        self._note(strike.kind, f"after {strike.size} bytes")

    def kill_clients(self, strike: Strike) -> None:
        draw = random.Random(strike.size)
        with self._raw() as raw:
            ids = [int(line.split(b"id=")[1].split()[0]) for line in raw("CLIENT", "LIST").splitlines()]
            me = raw("CLIENT", "ID")
            others = [one for one in ids if one != me]
            victims = draw.sample(others, max(1, int(len(others) * strike.share)))
            killed = sum(raw("CLIENT", "KILL", "ID", one) for one in victims)
        self._note(strike.kind, f"{killed} of {len(ids) - 1}")

    def deafen(self, strike: Strike) -> None:
        """What was swallowed is missing in the midst of a connection, so that all of them end with it."""
        for network in self._stage.networks:
            network.freeze("downstream", swallow=True)
        self._end_swallowing(strike)

    def silence(self, strike: Strike) -> None:
        for network in self._stage.networks:
            network.freeze("upstream", swallow=True)
        self._end_swallowing(strike)

    def _end_swallowing(self, strike: Strike) -> None:
        self._note(strike.kind, f"{strike.lasts:.1f} s")
        self.wait(strike.lasts)
        for network in self._stage.networks:
            network.cut(hard=True)
            network.thaw()

    def tell_the_client(self, strike: Strike) -> None:
        self._stage.front.abandon(told="client")
        self._note(strike.kind)

    def tell_the_server(self, strike: Strike) -> None:
        self._stage.front.abandon(told="server")
        self._note(strike.kind)

    def tell_nobody(self, strike: Strike) -> None:
        self._stage.front.abandon()
        self._note(strike.kind)

    def refuse(self, strike: Strike) -> None:
        self._note(strike.kind, f"{strike.lasts:.1f} s")
        for network in self._stage.networks:
            network.refuse()
            network.cut()
        self.wait(strike.lasts)
        for network in self._stage.networks:
            network.accept()

    def overflow(self, strike: Strike) -> None:
        """The subscriber does not get its messages; the server keeps what it may, and then ends the connection."""
        with self._raw() as raw:
            self._wait_until(lambda: bool(_subscribers(raw)))
            former = raw("CONFIG", "GET", LIMIT)[1]
            raw("CONFIG", "SET", LIMIT, SMALL_BUFFER)
            self._stage.front.freeze("downstream")
            begun = _subscribers(raw)
            pieces = 0
            while begun & _subscribers(raw) and pieces < PIECES and not self._stop():
                pieces += 1
                for _ in range(PIECE):
                    raw.send("PUBLISH", NOISE, NOISY)
                for _ in range(PIECE):
                    raw.read()
            ended = begun - _subscribers(raw)
            self._stage.front.thaw("downstream")
            raw("CONFIG", "SET", LIMIT, former)
        self._note(strike.kind, f"{len(ended)} of {len(begun)}, {pieces * PIECE * len(NOISY) >> 20} MB")

    # -- servers and processes ---------------------------------------------------------------------------------------

    def crash(self, strike: Strike) -> None:
        self._stage.node.kill()
        fault = self._note(strike.kind, f"{strike.lasts:.1f} s")
        time.sleep(strike.lasts)
        self._stage.node.restart()
        fault.add(self.pending())

    def freeze_the_server(self, strike: Strike) -> None:
        self._stage.node.pause()
        time.sleep(strike.lasts)
        self._stage.node.resume()
        self._note(strike.kind, f"{strike.lasts:.1f} s")

    def fail_over(self, strike: Strike) -> None:
        former = self._stage.fail_over()
        self._note(strike.kind, f"port {former.port} to {self._stage.node.port}")
        self.wait(strike.lasts)
        former.kill()
        former.stop()
        self._stage.failed_over()

    def kill_the_worker(self, strike: Strike) -> None:
        self._wait_until(self._is_crewed)
        self.kill_worker()

    def stop_the_worker(self, strike: Strike) -> None:
        self._wait_until(self._is_crewed)
        self.stop_worker()

    def _is_crewed(self) -> bool:
        return any(worker.works for worker in self._crew.workers)

    # -- the network's quality ---------------------------------------------------------------------------------------

    def stall(self, strike: Strike) -> None:
        self._note(strike.kind, f"{strike.lasts:.1f} s")
        for network in self._stage.networks:
            network.freeze()
        self.wait(strike.lasts)
        for network in self._stage.networks:
            network.thaw()

    def slow_down(self, strike: Strike) -> None:
        self._be(strike, f"{strike.lasts * 50:.0f} ms", delay=strike.lasts / 20)

    def narrow(self, strike: Strike) -> None:
        self._be(strike, f"{strike.share * 100:.0f} kB/s", bandwidth=strike.share * 100_000)

    def _be(self, strike: Strike, detail: str, *, delay: float = 0.0, bandwidth: float | None = None) -> None:
        for network in self._stage.networks:
            network.delay(delay)
            network.bandwidth(bandwidth)
        self._note(strike.kind, detail)

    def _raw(self) -> Raw:
        return self._stage.raw()


def _subscribers(raw: Raw) -> set[bytes]:
    """Ids of the connections that are subscribed to something."""
    return {line.split(b"id=")[1].split()[0] for line in raw("CLIENT", "LIST", "TYPE", "pubsub").splitlines()}


ACTS: Final[dict[str, Callable[[Chaos, Strike], None]]] = {
    "connections closed": Chaos.close,
    "connections reset": Chaos.reset,
    "cut in a command": Chaos.cut_in_a_command,
    "cut in a reply": Chaos.cut_in_a_reply,
    "clients killed": Chaos.kill_clients,
    "deaf server": Chaos.deafen,
    "dumb client": Chaos.silence,
    "half-open, client told": Chaos.tell_the_client,
    "half-open, server told": Chaos.tell_the_server,
    "black hole": Chaos.tell_nobody,
    "connections refused": Chaos.refuse,
    "server killed": Chaos.crash,
    "worker killed": Chaos.kill_the_worker,
    FAILOVER: Chaos.fail_over,
    "buffer overflow": Chaos.overflow,
    "server stopped": Chaos.freeze_the_server,
    "worker stopped": Chaos.stop_the_worker,
    "network stalled": Chaos.stall,
    "network slow": Chaos.slow_down,
    "network narrow": Chaos.narrow,
}
ON_CONNECTIONS: Final = ACTS.keys() - {"server killed", "worker killed", FAILOVER, "buffer overflow", "worker stopped"}
