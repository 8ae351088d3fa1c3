"""The three worker processes, and their news, by lines on their standard output.

``Worker.run`` is the whole life of a worker: started, killed by the chaos and started again under the same name, until it is
dismissed. A worker that ends for any other reason ends the demo, with its lines on standard error. Each has a process
group of its own, so that Ctrl-C stops the demo and the demo its workers; they end with the pipe to their standard input,
so none of them outlives the demo, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from bisect import bisect_right
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from .account import Speed

RUNTIMES = ("asyncio", "trio", "threads")


class WorkerDied(Exception):
    """A worker ended that should not."""


class Record(NamedTuple):
    """Results were written: when, by the clock that all processes of a machine share, and of which stream."""

    at: float
    stream: str


class Worker:
    """A worker, through all its processes."""

    def __init__(
        self, runtime: str, url: str, prefixes: Collection[str], key: str, value: str, replicas: int = 0
    ) -> None:
        self.runtime = runtime
        self.state = "starting"
        self.speed = Speed()
        self.written_again = 0
        self.redelivered = 0
        self.records: list[Record] = []
        self.reconnects: list[float] = []  # when it was told of a connection that is up again
        self.complaints = ""
        words = [runtime, key, value, str(replicas), *prefixes]
        self._command = [sys.executable, "-m", "transports.cli.demo.worker", *words]
        self._environment = {**os.environ, "REDIS_URL": url}  # a command line, and a password in it, can be seen by all
        self._process: Process | None = None
        self._dismissed = False

    async def run(self) -> None:
        """Live until dismissed. Raises ``WorkerDied``."""
        while not self._dismissed:
            self.state = "starting"
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._environment, process_group=0
            )
            try:
                self.complaints, _ = await asyncio.gather(_read(process), self._listen(process))
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if status and (status != -signal.SIGKILL or self.state != "killed"):
                how = f"by signal {-status}" if status < 0 else f"with status {status}"
                raise WorkerDied(f"the {self.runtime} worker ended {how}:\n{self.complaints or '(it wrote nothing)'}")
            if not status and not self._dismissed:
                raise WorkerDied(f"the {self.runtime} worker ended before its work was done\n{self.complaints}")
        self.state = "done"

    def freeze(self) -> None:
        """Stop the process where it is (SIGSTOP); its connections stay open."""
        self._signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL); ``run`` starts another."""
        self._signal(signal.SIGKILL)
        self.state = "killed"

    def first_record_after(self, death: float, *, of_the_server: bool) -> float | None:
        """When it first recorded results after a death; not with an answer that the server had given before it died."""
        moment = _first_after(death, self.reconnects) if of_the_server else death
        return None if moment is None else next((record.at for record in self.records_after(moment)), None)

    def records_after(self, moment: float) -> list[Record]:
        return self.records[bisect_right(self.records, moment, key=lambda record: record.at) :]

    def dismiss(self) -> None:
        """Tell the worker to finish."""
        self._dismissed = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):  # it has ended by itself, and ``run`` tells why
            self._process.send_signal(number)

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            match json.loads(line):
                case {"recorded": recorded, "again": again, "busy": busy, "at": at, "stream": stream}:
                    self.speed.written += recorded
                    self.speed.busy += busy
                    self.written_again += again
                    self.records.append(Record(at, stream))
                case {"redelivered": entries}:
                    self.redelivered += entries
                case {"reconnected": at}:
                    self.reconnects.append(at)
                case {"ready": _}:
                    self.state = "working"


def _first_after(moment: float, times: list[float]) -> float | None:
    at = bisect_right(times, moment)
    return times[at] if at < len(times) else None


async def _read(process: Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.read()).decode(errors="replace").strip()
