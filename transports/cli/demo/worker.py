"""A worker of the demo: take entries of the shared group, record each result under its row's number, acknowledge.

    REDIS_URL=redis://... python -m transports.cli.demo.worker asyncio KEY VALUE REPLICAS PREFIX...

The order is the point. A result is on the server before its entry is acknowledged, so after a failure in between, the
entry comes again; and it is a hash's field named by the number of the entry's row, so a row that comes again counts once. The
server may be killed at any moment: consumers find their way back by themselves, and an HSET may be repeated until it is answered.

In a cluster a primary that is lost takes with it what its replica has not copied, and a primary that was stopped answers once more
before it learns that it was replaced. So there a result counts when a replica has confirmed it (``WAIT``).

``work`` is the program for asyncio and for trio, ``work_in_threads`` its twin without ``await``. Both run until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import groupby, islice
from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from streamcore import ConnectionLost, Entry, Event
from streamcore.commands import hset, wait
from streamcore.errors import ClusterDownError, LoadingError, MovedError
from streamcore.events import EntriesClaimed, EntriesRecovered, Reconnected

if TYPE_CHECKING:
    from transports.asyncio import Client
    from transports.blocking import Client as BlockingClient

GROUP: Final = "workers"
ROW: Final = "#row"  # the field that has the number of the entry's row in its stream
COPYING: Final = 1.0  # seconds for a replica to confirm
# The server is down, or reads its append-only file; or a cluster has no new primary yet.
NOT_NOW: Final = (ConnectionLost, LoadingError, ClusterDownError, MovedError)


async def work(connect: Callable[..., Client], job: Job) -> None:
    """The worker under asyncio and under trio: batch by batch."""
    async with (
        connect(on_event=job.heard) as client,
        client.group_consumer(job.streams, group=GROUP, consumer=job.runtime, decode="utf-8") as consumer,
    ):
        job.begin()
        async for batch in consumer.batches():
            new = await record(client, job, batch.stream, job.compute(batch))
            batch.ack()
            job.done(batch.stream, len(batch), new)


async def record(client: Client, job: Job, stream: str, results: dict[str | bytes, str]) -> int:
    """Write results, however long the server is away; answers how many were not there before."""
    key = results_of(stream)
    while True:
        with suppress(*NOT_NOW):
            if not job.replicas:
                return await client.hset(key, results)
            new = job.confirmed(await client.pipeline([hset(key, results), wait(job.replicas, COPYING)]))
            if new is not None:
                return new


def work_in_threads(connect: Callable[..., BlockingClient], job: Job) -> None:
    """The worker for threads: entry by entry, and together the entries that have come already."""
    with (
        connect(on_event=job.heard) as client,
        client.group_consumer(job.streams, group=GROUP, consumer=job.runtime, decode="utf-8") as consumer,
    ):
        job.begin()
        for first in consumer:
            waiting = iter(partial(consumer.get, timeout=0), None)
            for stream, neighbours in groupby([first, *islice(waiting, 99)], attrgetter("stream")):
                entries = list(neighbours)
                new = record_in_threads(client, job, stream, job.compute(entries))
                for entry in entries:
                    entry.ack()
                job.done(stream, len(entries), new)


def record_in_threads(client: BlockingClient, job: Job, stream: str, results: dict[str | bytes, str]) -> int:
    """``record``, without ``await``."""
    key = results_of(stream)
    while True:
        with suppress(*NOT_NOW):
            if not job.replicas:
                return client.hset(key, results)
            new = job.confirmed(client.pipeline([hset(key, results), wait(job.replicas, COPYING)]))
            if new is not None:
                return new


class Job:
    """A worker's task, and the lines on standard output by which the demo follows it; your own worker needs none of them."""

    def __init__(self, runtime: str, key: str, value: str, replicas: str, *prefixes: str) -> None:
        self.runtime = runtime
        self.replicas = int(replicas)  # that must have a result before its entry is acknowledged
        self.streams = [stream_of(prefix) for prefix in prefixes]
        self._key = key
        self._value = value
        self._began = 0.0

    def compute(self, entries: Iterable[Entry[str]]) -> dict[str | bytes, str]:
        """The result of each entry by its row: its group, its value, and who was here."""
        self._began = monotonic()
        return {
            entry[ROW]: json.dumps([entry.get(self._key), entry.get(self._value), self.runtime]) for entry in entries
        }

    def confirmed(self, answers: list[Any]) -> int | None:
        """How many results were not there before, of the answers of HSET and WAIT; None where too few replicas have them."""
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        new, copies = answers
        return new if copies >= self.replicas else None

    def begin(self) -> None:
        tell(ready=os.getpid())

    def done(self, stream: str, recorded: int, new: int) -> None:
        now = monotonic()
        tell(recorded=recorded, again=recorded - new, busy=now - self._began, at=now, stream=stream)

    def heard(self, event: Event) -> None:
        """Called with each event of the connections, before the next entry is handed over."""
        if isinstance(event, (EntriesRecovered, EntriesClaimed)):
            tell(redelivered=event.entries)
        elif isinstance(event, Reconnected):
            tell(reconnected=monotonic())


def stream_of(prefix: str) -> str:
    """Name a stream of the demo; a prefix with a hash tag keeps its results in its slot."""
    return f"{prefix}entries"


def results_of(stream: str) -> str:
    """Name the hash that has the results of a stream's entries."""
    return f"{stream.removesuffix('entries')}results"


def tell(**facts: float | str) -> None:
    """Tell the demo facts, as a line. Threads may tell at once: ``print`` would write the text and the end of its line apart."""
    os.write(sys.stdout.fileno(), json.dumps(facts).encode() + b"\n")


def interrupt_at_end_of_input() -> None:
    """Ctrl-C this program when its standard input ends: the demo wants it to stop, or has died.

    A shell has a demo in its background ignore Ctrl-C, and so its workers.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait() -> None:
        while os.read(0, 4096):
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main(runtime: str, *job: str) -> None:
    """Be the worker of a runtime."""
    with suppress(KeyboardInterrupt):
        interrupt_at_end_of_input()
        run: dict[str, Callable[[Job], Any]] = {"asyncio": run_asyncio, "trio": run_trio, "threads": run_threads}
        run[runtime](Job(runtime, *job))


def run_asyncio(job: Job) -> None:
    from transports.asyncio import connect

    asyncio.run(work(connect, job))


def run_trio(job: Job) -> None:
    import trio

    from transports.trio import connect

    trio.run(work, connect, job)


def run_threads(job: Job) -> None:
    from transports.blocking import connect

    work_in_threads(connect, job)


if __name__ == "__main__":
    main(*sys.argv[1:])
