"""What a lot of something costs: a member of a group beside a little of it, and beside a hundred times as much.

Each row is set up twice, little and much, on a server of its own. A member works there for a few seconds, while entries come one
by one. What is bounded is the ratio of the two runs: times of one machine prove nothing. A row may name what it would cost
without the care that is taken (``naive``), as one command that is run beside it.

To add a row: a ``Row`` in ``ROWS``.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from benchmarks.cardinality import NOT_OURS, Line, stats
from benchmarks.raw import Raw
from benchmarks.server import Server
from streamcore.events import Event
from transports.asyncio import connect

GROUP: Final = "g"
STREAM: Final = "s"
PIECE: Final = 5000
"""Commands of one write, and entries of one read, while a row is set up."""

Column = Literal["first", "rate", "idle", "longest", "total", "stall"]
HEADINGS: Final[Mapping[Column, str]] = {
    "first": "first entry, ms",
    "rate": "handed over/s",
    "idle": "commands/s, idle",
    "longest": "longest command, µs",
    "total": "server, µs each",
    "stall": "entries wait, ms",
}
"""Of the run: when the first entry came; how many of those that were there came in a second; what a member sends that has nothing
to do; the mean of the costliest command; the server's time for each of the n; the 95th percentile from XADD to the handler."""


@dataclass(frozen=True)
class Bound:
    """``much / little`` of a column, both raised by ``floor``: at most so much, or, of a rate, at least."""

    column: Column
    ratio: float
    floor: float = 0.0

    def holds(self, ratio: float) -> bool:
        return ratio >= self.ratio if self.column == "rate" else ratio <= self.ratio


@dataclass(frozen=True)
class Row:
    """``set_up(raw, n)`` makes n of something; ``options`` are those of the member that meets it.

    ``besides``: commands that are not looked at, since the server has no shorter one. ``busy``: the work is what is there.
    ``naive``: a command that does without the care; its mean, divided by the longest command, is at least ``saved``.
    """

    name: str
    title: str
    much: int
    little: int
    set_up: Callable[[Raw, int], None]
    bounds: tuple[Bound, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    besides: frozenset[str] = frozenset()
    busy: bool = False
    handle: Callable[[Any], object] = lambda entry: entry.ack()
    naive: tuple[str | int, ...] = ()
    saved: float = 0.0


@dataclass(frozen=True)
class Result:
    """What two runs have measured."""

    row: Row
    sizes: tuple[int, int]
    little: Mapping[str, float]
    much: Mapping[str, float]

    @property
    def lines(self) -> Iterator[Line]:
        """What to tell of each column."""
        for column, heading in HEADINGS.items():
            bound = next((one for one in self.row.bounds if one.column == column), None)
            limit = "" if bound is None else f"{'>=' if column == 'rate' else '<='} {bound.ratio:g}"
            ratio = self.ratio(bound or Bound(column, 0, floor=1.0))
            yield Line(heading, self.little[column], self.much[column], ratio, limit)
        if self.row.naive:
            little, much = self.little["naive"], self.much["naive"]
            yield Line("naive command, µs", little, much, much / little, "")

    def ratio(self, bound: Bound) -> float:
        return (self.much[bound.column] + bound.floor) / (self.little[bound.column] + bound.floor)

    @property
    def broken(self) -> list[str]:
        """The bounds that do not hold."""
        ratios = [(bound, self.ratio(bound)) for bound in self.row.bounds]
        told = [f"{self.row.name}: {one.column} x {ratio:.2f}" for one, ratio in ratios if not one.holds(ratio)]
        if self.row.naive and (saved := self.much["naive"] / self.much["longest"]) < self.row.saved:
            told.append(f"{self.row.name}: the naive command is {saved:.1f} times as long, and not {self.row.saved:g}")
        return told


# -- setting up ---------------------------------------------------------------------------------------------------------


def fill(raw: Raw, n: int) -> None:
    """The stream has n entries, and a group at its beginning."""
    for at in range(0, n, PIECE):
        raw.pipeline([("XADD", STREAM, "*", "n", number) for number in range(at, min(n, at + PIECE))])
    raw.call("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM")


def pending_for(name: str) -> Callable[[Raw, int], None]:
    """All of them are pending for one consumer."""

    def set_up(raw: Raw, n: int) -> None:
        fill(raw, n)
        for _ in range(0, n, PIECE):
            raw.call("XREADGROUP", "GROUP", GROUP, name, "COUNT", PIECE, "STREAMS", STREAM, ">")

    return set_up


def pending_for_the_dead(raw: Raw, n: int) -> None:
    """All of them have been idle for longer than anybody waits."""
    pending_for("dead")(raw, n)
    time.sleep(IDLE)


def names(raw: Raw, n: int) -> None:
    """So many consumers have gone."""
    fill(raw, 0)
    for at in range(0, n, PIECE):
        numbers = range(at, min(n, at + PIECE))
        raw.pipeline([("XGROUP", "CREATECONSUMER", STREAM, GROUP, f"gone-{number}") for number in numbers])
    time.sleep(IDLE)


def letters(raw: Raw, n: int) -> None:
    """The dead-letter stream has n letters, and there are entries that become some."""
    for at in range(0, n, PIECE):
        raw.pipeline([("XADD", f"{{{STREAM}}}:dead", "*", "n", number) for number in range(at, min(n, at + PIECE))])
    fill(raw, PIECE)


IDLE: Final = 1.0

ROWS: Final = (
    Row(
        "own",
        "entries that an earlier run of the member has left pending",
        1_000_000,
        10_000,
        pending_for("me"),
        (Bound("rate", 0.3), Bound("longest", 4, floor=20), Bound("first", 5, floor=20)),
        busy=True,
    ),
    Row(
        "dead",
        "entries pending for a consumer that is dead",
        1_000_000,
        10_000,
        pending_for_the_dead,
        (Bound("rate", 0.3), Bound("longest", 4, floor=20), Bound("first", 5, floor=20)),
        {"claim_idle": IDLE},
        busy=True,
    ),
    Row(
        "others",
        "entries pending for a consumer that is at work",
        1_000_000,
        10_000,
        pending_for("other"),
        (Bound("longest", 4, floor=20), Bound("first", 5, floor=20), Bound("stall", 5, floor=5)),
        {"claim_idle": 3600},
        naive=("XPENDING", STREAM, GROUP, "IDLE", 3_600_000, "-", "+", 100),
        saved=10,
    ),
    Row(
        "names",
        "consumers that have died, with nothing pending",
        20_000,
        500,
        names,
        (
            Bound("longest", 4, floor=20),
            Bound("total", 4, floor=5),
            Bound("first", 5, floor=20),
            Bound("stall", 5, floor=5),
        ),
        {"remove_idle_consumers": IDLE},
        besides=frozenset({"xinfo|consumers"}),
    ),
    Row(
        "letters",
        "letters in the dead-letter stream, while more are written",
        100_000,
        1_000,
        letters,
        (Bound("rate", 0.3), Bound("longest", 4, floor=20), Bound("first", 5, floor=20)),
        handle=lambda entry: entry.dead_letter(),
        busy=True,
    ),
)


Commands: TypeAlias = Mapping[str, tuple[int, float]]
"""How often each command was called, and its mean in microseconds."""

# -- measuring ----------------------------------------------------------------------------------------------------------


def measure(row: Row, *, scale: float = 1.0, seconds: float = 4.0, program: str | None = None) -> Result:
    """Run a row, little and much of it."""
    sizes = max(1, int(row.little * scale)), max(1, int(row.much * scale))
    (little, told_of_little), (much, told_of_much) = (_run(row, n, seconds, program) for n in sizes)
    often = {
        name
        for told in (told_of_little, told_of_much)
        for name, (calls, _) in told.items()
        if calls >= FEW and name not in row.besides
    }
    for measured, told in ((little, told_of_little), (much, told_of_much)):
        measured["longest"] = max(mean for name, (_, mean) in told.items() if name in often)
    return Result(row, sizes, little, much)


def _run(row: Row, n: int, seconds: float, program: str | None) -> tuple[dict[str, float], Commands]:
    with Server(program) as server, server.connect() as raw:
        row.set_up(raw, n)
        raw.call("CONFIG", "RESETSTAT")
        measured = asyncio.run(_work(row, raw, f"redis://{server.host}:{server.port}", seconds))
        told = stats(raw)
        ours = {name: one for name, one in told.items() if name.split("|")[0] not in NOT_OURS}
        measured["total"] = sum(calls * mean for calls, mean in ours.values()) / n
        measured["idle"] = _idle(raw, row, f"redis://{server.host}:{server.port}", seconds)
        if row.naive:
            raw.call("CONFIG", "RESETSTAT")
            for _ in range(5):
                raw.call(*row.naive)
            measured["naive"] = stats(raw)[str(row.naive[0]).lower()][1]
    return measured, ours


FEW: Final = 5
"""Calls of which the mean says little, unless the same command is called more often in the other run."""


SETTLED: Final = 20
"""Commands in a second: a member that sends more is at work."""


def _unheard(_: Event) -> None:
    """Of thousands of events."""


async def _work(row: Row, raw: Raw, url: str, seconds: float) -> dict[str, float]:
    """A member works off what is there, and what comes now and then; everything is acknowledged, or what the row says."""
    waits: list[float] = []
    seen, took = 0, 0.0
    async with connect(url, on_event=_unheard) as client:
        began = time.perf_counter()
        first = 0.0
        if not row.busy:
            raw.call("XADD", STREAM, "*", "sent", time.perf_counter_ns())
        options: dict[str, Any] = {"group": GROUP, "consumer": "me", "block": 0.5, **row.options}
        async with client.group_consumer(STREAM, **options) as consumer:
            sent = began
            while (now := time.perf_counter()) < began + seconds:
                if now > sent + 0.01:
                    sent = now
                    raw.call("XADD", STREAM, "*", "sent", time.perf_counter_ns())
                entry = await consumer.get(timeout=0.01)
                if entry is None:
                    continue
                took = time.perf_counter() - began
                first = first or took
                seen += 1
                if "sent" in entry:
                    waits.append((time.perf_counter_ns() - int(entry["sent"])) / 1e6)
                row.handle(entry)
    stall = statistics.quantiles(waits, n=20)[-1] if len(waits) > 1 else 0.0
    return {"first": first * 1000, "rate": seen / took if took else 0.0, "stall": stall}


def _idle(raw: Raw, row: Row, url: str, seconds: float) -> float:
    """Commands in a second of a member that has nothing to do, and has settled in."""

    async def rest() -> float:
        async with connect(url, on_event=_unheard) as client:
            options: dict[str, Any] = {
                "group": GROUP,
                "consumer": "me",
                **row.options,
                "claim_idle": 3600,
                "backlog": False,
            }
            async with client.group_consumer(STREAM, **options) as consumer:
                await consumer.get(timeout=0)
                began = time.perf_counter()
                while await count(0.5) > SETTLED and time.perf_counter() < began + 60:
                    """It goes through what is pending, once."""
                return await count(seconds)

    async def count(seconds: float) -> float:
        raw.call("CONFIG", "RESETSTAT")
        await asyncio.sleep(seconds)
        calls = sum(calls for name, (calls, _) in stats(raw).items() if name.split("|")[0] not in NOT_OURS)
        return calls / seconds

    return asyncio.run(rest())
