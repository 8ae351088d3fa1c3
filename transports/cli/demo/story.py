"""The demo from its beginning to its end: a server, three workers, the replay, the chaos, the account.

Everything runs in a single task group, so that the first thing to fail ends all of it, and nothing waits without a limit: the
run ends when every row has a result, or when no further result has come for ``STALL_LIMIT`` seconds.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

from streamcore import ConnectionLost, Event
from streamcore.commands import raw
from streamcore.errors import LoadingError
from streamcore.events import Connected, Reconnected
from transports.address import parse
from transports.asyncio import Client, connect
from transports.embedded import EmbeddedServer

from .account import Account, Speed, Table, problems, tabulate
from .chaos import chaos
from .progress import DemoError, Progress, until
from .replay import replay
from .screen import Screen
from .source import Source
from .worker import GROUP
from .workers import RUNTIMES, Worker

REPLAY_SECONDS: Final = 6.0  # with chaos: slowly enough to be killed in the middle
START_LIMIT: Final = 20.0
STALL_LIMIT: Final = 20.0
END_LIMIT: Final = 10.0
REQUEST_TIMEOUT: Final = 60.0  # longer than any of them: a request of the replay is not given up and repeated


@dataclass(frozen=True)
class Plan:
    """The settings of a run. Without a ``url``, on an embedded server."""

    source: Source
    url: str | None = None
    with_chaos: bool = True


@dataclass(frozen=True)
class Ending:
    """How the run ended. ``problems`` is empty where the proof holds."""

    account: Account
    table: Table
    problems: list[str]


async def play(plan: Plan, screen: Screen) -> Ending:
    """The whole demo. Raises ``DemoError`` or a ``StreamcoreError`` where it cannot come to its end."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # as Ctrl-C does
    try:
        with ExitStack() as stack:
            if plan.url is not None:
                return await play_on(plan.url, None, plan, screen)
            server = stack.enter_context(EmbeddedServer(appendonly="always"))
            return await play_on(server.url, server, plan, screen)
    except ExceptionGroup as group:
        raise first_cause(group) from None


async def play_on(url: str, server: EmbeddedServer | None, plan: Plan, screen: Screen) -> Ending:
    """The demo on a server that runs; its keys are deleted at the end, unless the server goes with them."""
    source = plan.source
    prefix = f"streamcore:demo:{secrets.token_hex(4)}:"
    workers = [Worker(runtime, url, prefix, source.key, source.value) for runtime in RUNTIMES]
    progress = Progress(len(source.rows), workers)

    def heard(event: Event) -> None:
        if isinstance(event, Connected):
            progress.server = event.server
        progress.reconnects += isinstance(event, Reconnected)

    async with connect(url, on_event=heard) as client:
        await client.ping()  # a server that is not there is found out in seconds; later we are patient
    async with connect(url, request_timeout=REQUEST_TIMEOUT, on_event=heard) as client:
        durability = "every write on disk before its reply" if server else "yours: it is not killed"
        screen.say(f"{progress.server} at {parse(url)}, {durability}")
        keys = Keys(f"{prefix}entries", f"{prefix}results")
        async with deleting(client, keys, needed=server is None):
            with screen.following(progress):
                seconds = await run(client, server, plan, keys, progress, screen)
            return await settle(client, keys, source, progress, seconds)


@dataclass(frozen=True)
class Keys:
    """The keys of the demo on the server: the stream, the hash of the results, and the leases on the workers' names."""

    stream: str
    results: str

    def all(self) -> list[str]:
        leases = [f"{{{self.stream}}}:name:{GROUP}:{runtime}" for runtime in RUNTIMES]
        return [self.stream, self.results, *leases]


@asynccontextmanager
async def deleting(client: Client, keys: Keys, *, needed: bool) -> AsyncIterator[None]:
    """Delete the keys at the end, also after an error or Ctrl-C."""
    try:
        yield
    finally:
        if needed:
            try:
                async with asyncio.timeout(END_LIMIT):
                    await client.delete(*keys.all())
            except (ConnectionLost, TimeoutError):
                left = f"{keys.stream} and {keys.results}"
                raise DemoError(f"the server does not answer; please delete {left} yourself") from None


async def run(
    client: Client, server: EmbeddedServer | None, plan: Plan, keys: Keys, progress: Progress, screen: Screen
) -> float:
    """Start the workers, replay, do harm, and wait until all is processed; the seconds from the first row to the last."""
    workers, rows, say = progress.workers, plan.source.rows, screen.say

    def ready() -> bool:
        return all(worker.state == "working" for worker in workers)

    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(worker.run()) for worker in workers]
        await until(ready, START_LIMIT, lambda: f"not every worker is ready after {START_LIMIT:g} s: {states(workers)}")
        say(f"three processes share one group: {', '.join(RUNTIMES)}")

        began = monotonic()
        pace = REPLAY_SECONDS if plan.with_chaos else 0.0
        tasks.create_task(replay(client, keys.stream, rows, progress, say, seconds=pace))
        harm = tasks.create_task(chaos(client, keys.stream, server, progress, say)) if plan.with_chaos else None
        await watch(client, keys, progress, screen)
        seconds = monotonic() - began
        if harm is not None:
            await harm
        await acknowledged(client, keys)

        for worker in workers:
            worker.dismiss()
        _, late = await asyncio.wait(lives, timeout=END_LIMIT)
        if late:
            raise DemoError(f"not every worker has ended within {END_LIMIT:g} s: {states(workers)}")
    for worker in workers:
        if worker.complaints:
            say(f"the {worker.runtime} worker wrote:\n{worker.complaints}")
    return seconds


async def watch(client: Client, keys: Keys, progress: Progress, screen: Screen) -> None:
    """Follow the recorded results until they are complete. Raises ``DemoError`` when they grow no more."""
    moved_at = monotonic()
    while not progress.complete:
        before = progress.processed
        with suppress(ConnectionLost, LoadingError, TimeoutError):
            async with asyncio.timeout(1):  # wait_for may swallow a cancellation, before Python 3.12
                progress.processed = await client.hlen(keys.results)
        if progress.processed != before:
            moved_at = monotonic()
        elif monotonic() - moved_at > STALL_LIMIT:
            missing = f"{progress.processed:,} of {progress.total:,} entries are processed, {progress.sent:,} sent"
            raise DemoError(
                f"nothing was processed for {STALL_LIMIT:g} s: {missing}; workers: {states(progress.workers)}"
            )
        screen.refresh()
        await asyncio.sleep(0.02)


async def acknowledged(client: Client, keys: Keys) -> None:
    """Wait until nothing is pending any more: acknowledgements follow the results by some milliseconds."""
    deadline = monotonic() + END_LIMIT
    while (await client.xpending(keys.stream, GROUP)).entries:
        if monotonic() > deadline:
            return  # and the account will tell
        await asyncio.sleep(0.01)


async def settle(client: Client, keys: Keys, source: Source, progress: Progress, seconds: float) -> Ending:
    """Compute the table from the results on the server, and compare it with that of the file."""
    speeds = {worker.runtime: worker.speed for worker in progress.workers}
    recorded = await recorded_results(client, keys.results)
    for _, _, runtime in recorded:
        speeds.setdefault(runtime, Speed()).processed += 1
    workers = progress.workers
    account = Account(
        rows=progress.total,
        sent=progress.sent,
        in_stream=await client.xlen(keys.stream),
        processed=len(recorded),
        pending=(await client.xpending(keys.stream, GROUP)).entries,
        redelivered=sum(worker.redelivered for worker in workers),
        written_again=sum(worker.written_again for worker in workers),
        reconnects=progress.reconnects + sum(len(worker.reconnects) for worker in workers),
        seconds=seconds,
        speeds=speeds,
        recoveries=progress.recoveries,
    )
    table = tabulate((key, value) for key, value, _ in recorded)
    return Ending(account, table, problems(account, table, tabulate(source.pairs())))


async def recorded_results(client: Client, key: str) -> list[tuple[str | None, str | None, str]]:
    """Every result once: HSCAN may show a field twice."""
    results: dict[bytes, bytes] = {}
    cursor = b"0"
    while True:
        cursor, flat = await client.execute(raw("HSCAN", key, cursor, "COUNT", "5000"))
        results.update(zip(flat[::2], flat[1::2], strict=True))
        if cursor == b"0":
            return [tuple(json.loads(result)) for result in results.values()]


def states(workers: list[Worker]) -> str:
    return ", ".join(f"{worker.runtime} {worker.state}" for worker in workers)


def first_cause(group: ExceptionGroup[Exception]) -> Exception:
    """The error of the task that failed first."""
    first = group.exceptions[0]
    return first_cause(first) if isinstance(first, ExceptionGroup) else first
