"""What goes wrong on purpose: a worker, and later the server, are killed with entries in the workers' hands.

Both come back at once: the worker as a new process under the same name, which has to find what its earlier life left
pending; the server from its append-only file, on the same port. The time of a recovery begins with the SIGKILL and ends
when an entry has been processed again: its result is on the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final

from transports.asyncio import Client
from transports.embedded import EmbeddedServer

from .account import Recovery
from .progress import Progress, until
from .worker import GROUP
from .workers import Worker

KILL_WORKER_AT: Final = 0.3  # of all entries processed
KILL_SERVER_AT: Final = 0.6
CATCH_LIMIT: Final = 3.0  # seconds in which the victim gets something into its hands, or is killed without
RETURN_LIMIT: Final = 20.0
VICTIM: Final = "trio"

Say = Callable[[str], None]


async def chaos(client: Client, stream: str, server: EmbeddedServer | None, progress: Progress, say: Say) -> None:
    """Kill a worker and, if it is ours, the server."""
    await reached(progress, KILL_WORKER_AT)
    victim = next(worker for worker in progress.workers if worker.runtime == VICTIM)
    await kill_worker(client, stream, victim, progress, say)
    if server is not None:
        await reached(progress, KILL_SERVER_AT)
        await kill_server(client, stream, server, progress, say)


async def reached(progress: Progress, share: float) -> None:
    """Wait until so much is processed; whoever watches the progress ends the run if it stalls."""
    while progress.processed < share * progress.total:
        await asyncio.sleep(0.01)


async def kill_worker(client: Client, stream: str, victim: Worker, progress: Progress, say: Say) -> None:
    """Freeze the worker, so that what the group hands it stays in its hands, and kill it."""
    victim.freeze()
    held = await entries_held(client, stream, [victim], progress)
    killed_at = monotonic()
    victim.kill()
    say(f"SIGKILL for the {victim.runtime} worker, with {held:,} entries in its hands")
    back = await first_record([victim], killed_at, progress)
    progress.recoveries.append(Recovery(f"{victim.runtime} worker", back and back - killed_at))
    say(f"the {victim.runtime} worker is back{after(progress)}, and goes on with the entries of its earlier life")


async def kill_server(client: Client, stream: str, server: EmbeddedServer, progress: Progress, say: Say) -> None:
    """Kill the server and start it again; meanwhile this program does nothing else, and the workers try to reconnect."""
    held = await entries_held(client, stream, progress.workers, progress)
    killed_at = monotonic()
    server.kill()
    dead_at = monotonic()
    server.restart(timeout=RETURN_LIMIT)
    say(f"SIGKILL for the server, with {held:,} entries in the workers' hands; started again from its append-only file")
    back = await first_record(progress.workers, dead_at, progress)
    progress.recoveries.append(Recovery("server", back and back - killed_at))
    say(f"the server is back{after(progress)}")


async def entries_held(client: Client, stream: str, workers: Iterable[Worker], progress: Progress) -> int:
    """Wait until the workers hold entries that are not acknowledged; how many."""
    names = {worker.runtime.encode() for worker in workers}
    deadline = monotonic() + CATCH_LIMIT
    while True:
        pending = await client.xpending(stream, GROUP)
        held = sum(entries for name, entries in pending.consumers.items() if name in names)
        if held or progress.complete or monotonic() > deadline:
            return held
        await asyncio.sleep(0.002)


async def first_record(workers: list[Worker], dead_at: float, progress: Progress) -> float | None:
    """Wait until one of the workers has recorded a result after the kill; when it did, or None if nothing was left to do."""

    def records() -> list[float]:
        return [at for worker in workers if (at := worker.first_record_after(dead_at)) is not None]

    def nothing_left() -> bool:
        return progress.complete and all(worker.state == "working" for worker in workers)

    names = " or ".join(worker.runtime for worker in workers)
    complaint = f"{names} has processed nothing within {RETURN_LIMIT:g} s after the SIGKILL"
    await until(lambda: records() or nothing_left(), RETURN_LIMIT, lambda: complaint)
    return min(records(), default=None)


def after(progress: Progress) -> str:
    seconds = progress.recoveries[-1].seconds
    return "" if seconds is None else f" after {seconds:.2f} s"
