"""Litestar's channels: from a backend's ``publish`` to its listener, and what an application costs in which nobody says anything."""

from __future__ import annotations

import statistics
from typing import Final

from benchmarks.job import Job
from benchmarks.processes import run_contestant
from benchmarks.server import Server
from benchmarks.table import Contestant, Metric, Sample, Setting, Table, Target

WARM_UP: Final = 50
NEEDS: Final = "litestar.channels.backends.redis"
NEEDS_OURS: Final = "litestar"


def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = setting.n + WARM_UP
    with server.connect() as raw:
        raw.call("FLUSHALL")
    measured = run_contestant(contestant, Job(server.host, server.port, "litestar", n))
    steady = sorted(measured["samples"][WARM_UP:n])
    return {
        "p50": statistics.median(steady) / 1000,
        "p99": steady[int(len(steady) * 0.99)] / 1000,
        **measured["results"],
    }


def rows(kind: str) -> tuple[Contestant, ...]:
    options = {"kind": kind}
    return (
        Contestant(f"{kind}: Litestar's, redis-py", "litestar:theirs", "peer", options, needs=NEEDS),
        Contestant(f"{kind}: ours, asyncio", "litestar:ours", "ours", options, needs=NEEDS_OURS),
        Contestant(f"{kind}: ours, uvloop", "litestar:ours", "ours", {**options, "loop": "uvloop"}, needs=NEEDS_OURS),
    )


TABLE = Table(
    name="litestar",
    title="Litestar's channels, from publish to the listener",
    metrics=(
        Metric("p50", "p50 µs"),
        Metric("p99", "p99 µs"),
        Metric("idle", "idle commands/s", digits=1),
        Metric("client", "idle CPU ms/s", digits=2),
    ),
    run=run,
    n=1_000,
    less_is_better=True,
    n_is_most=True,
    reference="streams: Litestar's, redis-py",
    contestants=(*rows("streams"), *rows("pubsub")),
    targets=(
        Target("streams: ours, asyncio", ("streams: Litestar's, redis-py",), 1.3, "p50"),
        Target("streams: ours, asyncio", ("streams: Litestar's, redis-py",), 1.3, "p99"),
        Target("pubsub: ours, asyncio", ("pubsub: Litestar's, redis-py",), 1.3, "p50"),
        Target("streams: ours, asyncio", (), 1.0, "idle"),
        Target("pubsub: ours, asyncio", (), 1.0, "idle"),
    ),
)
