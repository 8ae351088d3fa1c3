"""Failures on purpose: a worker, and later the server, are killed with entries in the workers' hands.

Both come back at once: the worker as a new process under the same name, which has to find the pending entries of
its earlier life; the server from its append-only file, on the same port. The time of a recovery begins with the SIGKILL and ends
when an entry has been processed again: its result is on the server.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import Final

from transports.asyncio import Client
from transports.embedded import EmbeddedServer

from .account import Recovery
from .keys import Keys
from .progress import Progress, Say, until
from .worker import GROUP
from .workers import Worker

KILL_WORKER_AT: Final = 0.3  # of all entries processed
KILL_SERVER_AT: Final = 0.6
HOLD_REPLAY_AT: Final = 0.8  # of the entries of a stream sent
FROZEN: Final = 0.2  # seconds in which the group hands entries to a worker that does nothing with them
CATCH_LIMIT: Final = 3.0  # seconds in which to find the server busy; else it is killed idle
RETURN_LIMIT: Final = 20.0
VICTIM: Final = "trio"


async def chaos(client: Client, keys: Keys, server: EmbeddedServer | None, progress: Progress, say: Say) -> None:
    """Kill a worker and, if it is ours, the server; on a slow machine the replay waits, so that both happen within it."""
    progress.may_send = HOLD_REPLAY_AT
    await reached(progress, KILL_WORKER_AT)
    await kill_worker(client, keys, progress, say)
    if server is not None:
        await reached(progress, KILL_SERVER_AT)
        progress.may_send = 1.0
        await kill_server(client, keys, server, progress, say)
    progress.may_send = 1.0


async def reached(progress: Progress, share: float) -> None:
    """Wait until so much is processed; without a limit, as the run ends when the progress stalls."""
    await until(lambda: progress.processed >= share * progress.total, inf, str)


async def kill_worker(client: Client, keys: Keys, progress: Progress, say: Say) -> None:
    """Freeze a worker for a moment, so that it holds results not acknowledged and entries not processed; kill it."""
    victim = next(worker for worker in progress.workers if worker.runtime == VICTIM)
    victim.freeze()
    await asyncio.sleep(FROZEN)
    held = await held_by(client, keys, [victim])
    killed_at = monotonic()
    victim.kill()
    say(f"SIGKILL for the {victim.runtime} worker, with entries in its hands: {held:,}")
    back = await first_record([victim], killed_at, progress, of_the_server=False)
    progress.recoveries.append(Recovery(f"{victim.runtime} worker", back and back - killed_at))
    say(f"the {victim.runtime} worker is back{after(progress)}, beginning with what its earlier life left")


async def kill_server(client: Client, keys: Keys, server: EmbeddedServer, progress: Progress, say: Say) -> None:
    """Kill the server in the middle of an append, and start it again.

    Meanwhile this program does nothing else. The workers try to reconnect.
    """
    deadline = monotonic() + CATCH_LIMIT
    held = 0
    while not ((held and progress.sending) or progress.complete or monotonic() > deadline):
        held = await held_by(client, keys, progress.workers)
        await asyncio.sleep(0.002)
    killed_at = monotonic()
    server.kill()
    server.restart(timeout=RETURN_LIMIT)
    say(
        f"SIGKILL for the server, with entries in the workers' hands: {held:,}; started again from its append-only file"
    )
    back = await first_record(progress.workers, killed_at, progress, of_the_server=True)
    progress.recoveries.append(Recovery("server", back and back - killed_at))
    say(f"work goes on{after(progress)}")


async def held_by(client: Client, keys: Keys, workers: list[Worker]) -> int:
    """How many entries the workers have that are not acknowledged."""
    pending = [await client.xpending(stream, GROUP) for stream in keys.streams]
    return sum(each.consumers.get(worker.runtime.encode(), 0) for each in pending for worker in workers)


async def first_record(workers: list[Worker], death: float, progress: Progress, *, of_the_server: bool) -> float | None:
    """Wait until a worker has recorded a result after a death; when it did, or None if nothing was left to do."""

    def records() -> list[float]:
        found = (worker.first_record_after(death, of_the_server=of_the_server) for worker in workers)
        return [at for at in found if at is not None]

    def nothing_left() -> bool:
        return progress.complete and all(worker.state == "working" for worker in workers)

    names = " or ".join(worker.runtime for worker in workers)
    complaint = f"{names} has processed nothing within {RETURN_LIMIT:g} s after the SIGKILL"
    await until(lambda: records() or nothing_left(), RETURN_LIMIT, lambda: complaint)
    return min(records(), default=None)


def after(progress: Progress) -> str:
    seconds = progress.recoveries[-1].seconds
    return "" if seconds is None else f" after {seconds:.2f} s"
