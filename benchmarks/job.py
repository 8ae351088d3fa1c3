"""What one contestant is asked to do, and the clock it does it against. Lives in the contestant's own process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Self

from benchmarks.entries import POOL, make_pool
from benchmarks.raw import Raw

SETTLE_SECONDS = 10.0


@dataclass
class Job:
    """A contestant opens its connection, calls :meth:`start`, works, and calls :meth:`finish` (or :meth:`sample`)."""

    host: str
    port: int
    stream: str
    n: int
    settle: str = ""
    """What must be true before the clock stops: ``acked`` (XPENDING is 0), ``written`` (XLEN is n), or nothing more."""
    group: str = "group"
    consumer: str = "consumer"
    count: int = 100
    options: dict[str, Any] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)
    samples: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"

    def control(self) -> Raw:
        return Raw(self.host, self.port)

    # -- throughput ------------------------------------------------------------

    def start(self) -> Self:
        """Everything is open and prepared: the clock runs from here."""
        self._control = self.control()
        self._server_cpu = self._control.cpu_seconds()
        self._client_cpu = time.process_time()
        self._started = time.perf_counter()
        return self

    def finish(self, seen: int) -> None:
        """The contestant is done; the clock stops when the server agrees."""
        self._wait_until_settled()
        seconds = time.perf_counter() - self._started
        client, server = time.process_time() - self._client_cpu, self._control.cpu_seconds() - self._server_cpu
        if seen != self.n:
            raise AssertionError(f"{seen} entries instead of {self.n}")
        self.results = {
            "rate": self.n / seconds,
            "client": client / self.n * 1e6,
            "server": server / self.n * 1e6,
        }

    def _wait_until_settled(self) -> None:
        deadline = time.perf_counter() + SETTLE_SECONDS
        while left := self._unsettled():
            if time.perf_counter() > deadline:
                raise AssertionError(f"not {self.settle} in the end: {left}")

    def _unsettled(self) -> int:
        if self.settle == "acked":
            pending: int = self._control.call("XPENDING", self.stream, self.group)[0]
            return pending
        if self.settle == "written":
            length: int = self._control.call("XLEN", self.stream)
            return self.n - length
        return 0

    def fields(self) -> list[dict[str, str]]:
        """What a producer sends, again and again: n entries are ``n // POOL`` rounds of these."""
        if self.n % POOL:
            raise ValueError(f"n must be a multiple of {POOL}")
        return make_pool()

    # -- latency ---------------------------------------------------------------

    def ready(self) -> None:
        """Tell the process that sends that this one is about to wait."""
        os.write(1, b"ready\n")

    def sample(self, sent: bytes | str) -> bool:
        """An entry reached its handler; ``sent`` is the sender's clock. True when it was the last one."""
        self.samples.append(time.perf_counter_ns() - int(sent))
        return len(self.samples) >= self.n
