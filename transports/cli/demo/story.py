"""The demo from its beginning to its end: a server or a cluster, three workers, the replay, the chaos, the account.

Everything runs in a single task group, so that the first thing to fail ends all of it, and nothing waits without a limit: the
run ends when every row has a result, or when no further result has come for ``STALL_LIMIT`` seconds.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from streamcore import ConnectionLost, Event, Replicas
from streamcore.commands import delete, raw
from streamcore.errors import LoadingError
from streamcore.events import Connected, Reconnected
from transports.address import parse
from transports.asyncio import Client, connect
from transports.embedded import EmbeddedCluster, EmbeddedServer

from .account import Account, Speed, Table, problems, tabulate
from .chaos import chaos
from .cluster import NODE_TIMEOUT, cluster_chaos
from .keys import Keys, divide, new_keys
from .progress import DemoError, Progress, Say, until
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
ON_A_REPLICA: Final = Replicas(1, timeout=0.2)


@dataclass(frozen=True)
class Plan:
    """The settings of a run. Without a ``url``, on an embedded server, or an embedded cluster."""

    source: Source
    url: str | None = None
    with_chaos: bool = True
    cluster: bool = False


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
        if plan.url is not None:
            return await play_on(plan.url, None, plan, screen)
        if plan.cluster:
            with EmbeddedCluster(config={"cluster-node-timeout": NODE_TIMEOUT}) as cluster:
                return await play_on(cluster.url, cluster, plan, screen)
        with EmbeddedServer(appendonly="always") as server:
            return await play_on(server.url, server, plan, screen)
    except ExceptionGroup as group:
        raise first_cause(group) from None


Host = EmbeddedServer | EmbeddedCluster | None  # None: it is the user's


async def play_on(url: str, host: Host, plan: Plan, screen: Screen) -> Ending:
    """The demo on a server that runs; its keys are deleted at the end, unless the server goes with them."""
    source = plan.source
    keys = new_keys(source, cluster=plan.cluster)
    replicas = ON_A_REPLICA.number if plan.cluster else 0
    workers = [Worker(runtime, url, keys.prefixes, source.key, source.value, replicas) for runtime in RUNTIMES]
    progress = Progress(len(source.rows), workers)

    def heard(event: Event) -> None:
        if isinstance(event, Connected):
            progress.server = event.server
        progress.reconnects += isinstance(event, Reconnected)

    async with connect(url, on_event=heard) as client:
        await client.ping()  # a server that is not there is found out in seconds; later we are patient
    async with connect(url, request_timeout=REQUEST_TIMEOUT, on_event=heard) as client:
        screen.say(f"{progress.server} at {described(url, host)}")
        async with deleting(client, keys, needed=host is None):
            with screen.following(progress):
                seconds = await run(client, host, plan, keys, progress, screen)
            return await settle(client, keys, source, progress, seconds)


def described(url: str, host: Host) -> str:
    """Where the server is, and what a kill can lose."""
    if isinstance(host, EmbeddedCluster):
        ports = sorted(node.port for node in host.nodes)
        return f"127.0.0.1:{ports[0]}-{ports[-1]}, a cluster of three primaries with a replica each; no id before the replica has the entry"
    return f"{parse(url)}, {'every write on disk before its reply' if host else 'yours: it is not killed'}"


@asynccontextmanager
async def deleting(client: Client, keys: Keys, *, needed: bool) -> AsyncIterator[None]:
    """Delete the keys at the end, also after an error or Ctrl-C."""
    try:
        yield
    finally:
        if needed:
            try:
                async with asyncio.timeout(END_LIMIT):
                    await client.pipeline([delete(key) for key in keys.all()])
            except (ConnectionLost, TimeoutError):
                left = " and ".join((*keys.streams, *keys.results))
                raise DemoError(f"the server does not answer; please delete {left} yourself") from None


async def run(client: Client, host: Host, plan: Plan, keys: Keys, progress: Progress, screen: Screen) -> float:
    """Start the workers, replay, do harm, and wait until all is processed; the seconds from the first row to the last."""
    workers, say = progress.workers, screen.say

    def ready() -> bool:
        return all(worker.state == "working" for worker in workers)

    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(worker.run()) for worker in workers]
        await until(ready, START_LIMIT, lambda: f"not every worker is ready after {START_LIMIT:g} s: {states(workers)}")
        say(f"three processes share one group: {', '.join(RUNTIMES)}")

        began = monotonic()
        pace = REPLAY_SECONDS if plan.with_chaos else 0.0
        durability = ON_A_REPLICA if plan.cluster else None
        for stream, rows in zip(keys.streams, divide(plan.source, len(keys.streams)), strict=True):
            tasks.create_task(replay(client, stream, rows, progress, say, seconds=pace, durability=durability))
        harm = tasks.create_task(harm_to(client, keys, host, progress, say)) if plan.with_chaos else None
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


def harm_to(client: Client, keys: Keys, host: Host, progress: Progress, say: Say) -> Coroutine[Any, Any, None]:
    if isinstance(host, EmbeddedCluster):
        return cluster_chaos(client, keys, host, progress, say)
    return chaos(client, keys, host, progress, say)


async def watch(client: Client, keys: Keys, progress: Progress, screen: Screen) -> None:
    """Follow the recorded results until they are complete. Raises ``DemoError`` when they grow no more."""
    counts: dict[str, int] = {}

    async def count(results: str) -> None:
        with suppress(ConnectionLost, LoadingError):
            counts[results] = await client.hlen(results)

    moved_at = monotonic()
    while not progress.complete:
        before = progress.processed
        with suppress(TimeoutError):
            async with asyncio.timeout(1):  # wait_for may swallow a cancellation, before Python 3.12
                await asyncio.gather(*map(count, keys.results))
        progress.processed = sum(counts.values())
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
    while await pending(client, keys):
        if monotonic() > deadline:
            return  # and the account will tell
        await asyncio.sleep(0.01)


async def pending(client: Client, keys: Keys) -> int:
    """Count the entries that are not acknowledged."""
    return sum([(await client.xpending(stream, GROUP)).entries for stream in keys.streams])


async def settle(client: Client, keys: Keys, source: Source, progress: Progress, seconds: float) -> Ending:
    """Compute the table from the results on the server, and compare it with that of the file."""
    speeds = {worker.runtime: worker.speed for worker in progress.workers}
    recorded = [result for key in keys.results for result in await recorded_results(client, key)]
    for _, _, runtime in recorded:
        speeds.setdefault(runtime, Speed()).processed += 1
    workers = progress.workers
    account = Account(
        rows=progress.total,
        sent=progress.sent,
        in_stream=sum([await client.xlen(stream) for stream in keys.streams]),
        processed=len(recorded),
        pending=await pending(client, keys),
        redelivered=sum(worker.redelivered for worker in workers),
        written_again=sum(worker.written_again for worker in workers),
        reconnects=progress.reconnects + sum(len(worker.reconnects) for worker in workers),
        seconds=seconds,
        speeds=speeds,
        recoveries=progress.recoveries,
        moved=progress.moved,
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
