"""What many streams, or channels, cost whoever reads them, beside a few.

Each row is run twice, with few and with many, on a server of its own; what is bounded is the ratio of the two runs. Every stream
has an entry when its reader comes. ``longest`` leaves out the read itself, which names every stream; it has a column of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.cardinality import NOT_OURS, Line, stats
from benchmarks.raw import Raw
from benchmarks.server import Server
from transports.asyncio import Client, connect

HEADINGS: Final[Mapping[str, str]] = {
    "enter": "entering, ms",
    "first": "first entry, ms",
    "idle": "commands/s, idle",
    "longest": "longest command, µs",
    "read": "a read, µs",
    "stall": "entries wait, ms",
    "cost": "an entry, µs of CPU",
    "memory": "memory, MiB",
}
PIECE: Final = 500
BUSY: Final = 10
"""Streams of ``groups`` that entries come to."""
ROUNDS: Final = 30
"""Entries that each of these gets."""
PAD: Final = b"x" * 50_000
READS: Final = frozenset({"xread", "xreadgroup"})

Measured = dict[str, float]


@dataclass(frozen=True)
class Row:
    """``work(client, raw, names, seconds)`` measures; of ``bounds`` each is ``(many + floor) / (few + floor)`` of a column."""

    name: str
    title: str
    many: int
    few: int
    work: Callable[[Client, Raw, list[str], float], Coroutine[Any, Any, Measured]]
    bounds: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Result:
    """What two runs have measured."""

    row: Row
    sizes: tuple[int, int]
    few: Measured
    many: Measured

    @property
    def lines(self) -> Iterator[Line]:
        """What to tell of each column."""
        for column, much in self.many.items():
            limit = f"<= {self.row.bounds[column][0]:g}" if column in self.row.bounds else ""
            yield Line(HEADINGS[column], self.few[column], much, self.ratio(column), limit)

    def ratio(self, column: str) -> float:
        """Many beside few."""
        floor = self.row.bounds.get(column, (0.0, 1.0))[1]
        return (self.many[column] + floor) / (self.few[column] + floor)

    @property
    def broken(self) -> list[str]:
        """The bounds that do not hold."""
        ratios = {column: self.ratio(column) for column in self.row.bounds}
        return [
            f"{self.row.name}: {column} x {ratio:.2f}"
            for column, ratio in ratios.items()
            if ratio > self.row.bounds[column][0]
        ]


# -- the readers --------------------------------------------------------------------------------------------------------


async def group(client: Client, raw: Raw, names: list[str], seconds: float) -> Measured:
    """A member of a group; it looks for what others have left in all streams at once, every now and then."""
    fill(raw, names)
    began = time.perf_counter()
    options: dict[str, Any] = {"block": 1, "audit_interval": 1, "claim_idle": 2 * seconds}
    async with client.group_consumer(names, group="g", consumer="me", **options) as consumer:
        entered = time.perf_counter() - began

        async def get() -> Any:
            entry = await consumer.get(timeout=10)
            assert entry is not None
            entry.ack()
            return entry

        return await _follow(raw, names, seconds, began, entered, get, idle=3 * seconds)


async def groups(client: Client, raw: Raw, names: list[str], seconds: float) -> Measured:
    """A member of a group for each stream, all in one consumer; entries come to a few of them."""
    fill(raw, names)
    began = time.perf_counter()
    async with client.group_consumer({name: f"of {name}" for name in names}, consumer="me") as consumer:
        entered = time.perf_counter() - began

        async def get() -> Any:
            entry = await consumer.get(timeout=10)
            assert entry is not None
            entry.ack()
            return entry

        for _ in names:
            await get()
        busy = names[:: max(1, len(names) // BUSY)][:BUSY]
        costs: list[float] = []
        for round_ in range(ROUNDS):
            spent = time.process_time()
            for name in busy:
                raw.call("XADD", name, "*", "n", round_)
                await get()
            costs.append((time.process_time() - spent) / len(busy))
        # the first rounds open the links over which idle members acknowledge
        stall = await _stall(raw, busy, seconds, get)
        cost = statistics.median(costs[5:]) * 1e6
        return {"enter": entered * 1000, "stall": stall, "cost": cost, **await _idle(raw, seconds)}


async def follow(client: Client, raw: Raw, names: list[str], seconds: float) -> Measured:
    """A consumer without a group."""
    fill(raw, names)
    began = time.perf_counter()
    async with client.consumer(dict.fromkeys(names, "0"), block=1) as consumer:
        entered = time.perf_counter() - began
        return await _follow(raw, names, seconds, began, entered, lambda: consumer.get(timeout=10))


async def channels(client: Client, raw: Raw, names: list[str], seconds: float) -> Measured:
    """A hub, and a subscriber to all of its channels."""
    async with client.channels(history=10) as hub:
        await hub.publish(b"before", names[0])
        began = time.perf_counter()
        await hub.subscribe(names, history=1)
        entered = time.perf_counter() - began
        await hub.get(timeout=10)
        first = time.perf_counter() - began
        waits: list[float] = []
        until = time.perf_counter() + seconds
        while (sent := time.perf_counter()) < until:
            await hub.publish(b"now", names[len(waits) * 7919 % len(names)])
            await hub.get(timeout=10)
            waits.append(time.perf_counter() - sent)
            await asyncio.sleep(0.02)
        return {"enter": entered * 1000, "first": first * 1000, "stall": _high(waits), **await _idle(raw, seconds)}


async def prefetch(client: Client, raw: Raw, names: list[str], seconds: float) -> Measured:
    """A consumer that may have 1 MiB ahead, of streams with entries of 50 kB."""
    for name in names:
        raw.pipeline([("XADD", name, "*", "pad", PAD)] * 50)
    tracemalloc.start()
    try:
        async with client.consumer(dict.fromkeys(names, "0"), prefetch_bytes=1 << 20) as consumer:
            await consumer.get(timeout=10)
            await asyncio.sleep(seconds / 4)
        return {"memory": tracemalloc.get_traced_memory()[1] / (1 << 20)}
    finally:
        tracemalloc.stop()


async def _follow(
    raw: Raw,
    names: list[str],
    seconds: float,
    began: float,
    entered: float,
    get: Callable[[], Coroutine[Any, Any, Any]],
    *,
    idle: float | None = None,
) -> Measured:
    await get()
    first = time.perf_counter() - began
    for _ in names[1:]:
        await get()
    stall = await _stall(raw, names, seconds, get)
    return {"enter": entered * 1000, "first": first * 1000, "stall": stall, **await _idle(raw, idle or seconds)}


async def _stall(raw: Raw, names: list[str], seconds: float, get: Callable[[], Coroutine[Any, Any, Any]]) -> float:
    """Milliseconds from an entry's XADD until it is handed over, the 95th percentile."""
    waits: list[float] = []
    until = time.perf_counter() + seconds
    while (sent := time.perf_counter()) < until:
        raw.call("XADD", names[len(waits) * 7919 % len(names)], "*", "n", len(waits))
        await get()
        waits.append(time.perf_counter() - sent)
        await asyncio.sleep(0.02)
    return _high(waits)


async def _idle(raw: Raw, seconds: float) -> Measured:
    """What is asked by a reader that has nothing to do, and has settled in."""
    await asyncio.sleep(min(seconds, 4.0))
    raw.call("CONFIG", "RESETSTAT")
    await asyncio.sleep(seconds)
    told = {name: one for name, one in stats(raw).items() if name.split("|")[0] not in NOT_OURS}
    return {
        "idle": sum(calls for calls, _ in told.values()) / seconds,
        "longest": max((mean for name, (_, mean) in told.items() if name not in READS), default=0.0),
        "read": max((mean for name, (_, mean) in told.items() if name in READS), default=0.0),
    }


def _high(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1] * 1000


def fill(raw: Raw, names: list[str]) -> None:
    """Every stream has an entry."""
    for at in range(0, len(names), PIECE):
        raw.pipeline([("XADD", name, "*", "n", 0) for name in names[at : at + PIECE]])


# Entering names each stream once, so it may grow as their number does; what goes on for ever may not. A read that waits is about all
# streams, and may bring a large entry of each.
ROWS: Final = (
    Row(
        "group",
        "streams that a member of a group reads",
        10_000,
        100,
        group,
        {"enter": (150, 20), "idle": (10, 1), "longest": (4, 20), "stall": (60, 5)},
    ),
    Row(
        "groups",
        "members of groups in a consumer, a link for each",
        1_000,
        10,
        groups,
        {"enter": (150, 20), "longest": (4, 20), "stall": (10, 5), "cost": (2, 100)},
    ),
    Row(
        "consumer",
        "streams that a consumer without a group reads",
        10_000,
        100,
        follow,
        {"enter": (150, 20), "idle": (1.5, 1), "longest": (4, 20), "stall": (40, 5)},
    ),
    Row(
        "channels",
        "channels of one hub, all of them joined",
        10_000,
        100,
        channels,
        {"enter": (150, 20), "idle": (1.5, 1), "longest": (4, 20), "stall": (40, 5)},
    ),
    Row("prefetch", "streams of large entries, and prefetch_bytes of 1 MiB", 60, 4, prefetch, {"memory": (2.5, 1)}),
)


# -- measuring, and telling ---------------------------------------------------------------------------------------------


def measure(row: Row, *, scale: float = 1.0, seconds: float = 4.0, program: str | None = None) -> Result:
    """Run a row, with few and with many."""
    sizes = max(2, int(row.few * scale)), max(2, int(row.many * scale))
    few, many = (_run(row, n, seconds, program) for n in sizes)
    return Result(row, sizes, few, many)


def _run(row: Row, n: int, seconds: float, program: str | None) -> Measured:
    async def run(raw: Raw, url: str) -> Measured:
        async with connect(url, request_timeout=60, on_event=lambda _: None) as client:
            return await row.work(client, raw, [f"s{at:05}" for at in range(n)], seconds)

    with Server(program) as server, server.connect() as raw:
        return asyncio.run(run(raw, f"redis://{server.host}:{server.port}"))
