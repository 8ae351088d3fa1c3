"""From XADD to the handler, on a stream where nothing else happens.

This process sends; the contestant waits in a process of its own. Both read the same monotonic clock.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from benchmarks.group_consume import NEEDS_ASYNCIO, NEEDS_BLOCKING, NEEDS_TRIO
from benchmarks.job import Job
from benchmarks.processes import run_contestant
from benchmarks.server import Server
from benchmarks.table import Contestant, Metric, Sample, Setting, Table, Target

STREAM = "idle"
WARM_UP = 50
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.004


def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = setting.n + WARM_UP
    job = Job(server.host, server.port, STREAM, n)
    with server.connect() as raw:
        raw.call("DEL", STREAM)
        raw.call("XGROUP", "CREATE", STREAM, job.group, "0", "MKSTREAM")

        def send() -> None:
            time.sleep(0.2)
            for _ in range(n):
                raw.call("XADD", STREAM, "*", "sent", time.perf_counter_ns())
                time.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))

        samples: list[int] = run_contestant(contestant, job, send)["samples"]
    steady = sorted(samples[WARM_UP:n])
    return {
        "p50": statistics.median(steady) / 1000,
        "p99": steady[int(len(steady) * 0.99)] / 1000,
    }


def rows(kind: str) -> tuple[Contestant, ...]:
    """The same contestants twice: following with XREAD, and in a group with an acknowledgement of each entry."""

    def limit(label: str, target: str, **options: Any) -> Contestant:
        return Contestant(f"{kind}: {label}", f"hand_written:{target}", "limit", {"kind": kind, **options})

    def ours(label: str, needs: str, target: str, **options: Any) -> Contestant:
        return Contestant(f"{kind}: {label}", f"ours:{target}", "ours", {"kind": kind, **options}, needs=needs)

    return (
        limit("hiredis, blocking", "latency_blocking"),
        limit("hiredis, asyncio protocol", "latency_asyncio"),
        limit("hiredis, asyncio streams", "latency_asyncio_streams"),
        limit("hiredis, uvloop streams", "latency_asyncio_streams", loop="uvloop"),
        limit("hiredis, trio", "latency_trio"),
        ours("ours, asyncio", NEEDS_ASYNCIO, "latency_asyncio"),
        ours("ours, uvloop", NEEDS_ASYNCIO, "latency_asyncio", loop="uvloop"),
        ours("ours, trio", NEEDS_TRIO, "latency_trio"),
        ours("ours, blocking", NEEDS_BLOCKING, "latency_blocking"),
        *((ours("ours, pumped", NEEDS_BLOCKING, "latency_blocking", background=False),) if kind == "group" else ()),
    )


def targets(kind: str) -> tuple[Target, ...]:
    pairs = {
        "ours, asyncio": "hiredis, asyncio streams",
        "ours, uvloop": "hiredis, uvloop streams",
        "ours, trio": "hiredis, trio",
        "ours, blocking": "hiredis, blocking",
    }
    return tuple(
        Target(f"{kind}: {ours}", (f"{kind}: {limit}",), 1.3, metric)
        for ours, limit in pairs.items()
        for metric in ("p50", "p99")
    )


TABLE = Table(
    name="latency",
    title="From XADD to the handler, idle stream",
    metrics=(Metric("p50", "p50 µs"), Metric("p99", "p99 µs")),
    run=run,
    n=1_000,
    less_is_better=True,
    n_is_most=True,
    reference="follow: hiredis, blocking",
    contestants=(
        *rows("follow"),
        Contestant("follow: redis-py", "redis_py:latency_sync"),
        Contestant("follow: redis-py asyncio", "redis_py:latency_async"),
        Contestant("follow: coredis", "coredis:latency"),
        Contestant("follow: glide", "glide:latency"),
        *rows("group"),
    ),
    peers={
        "redis-py": ("follow: redis-py",),
        "redis-py asyncio": ("follow: redis-py asyncio",),
        "coredis": ("follow: coredis",),
        "glide": ("follow: glide",),
    },
    targets=(*targets("follow"), *targets("group")),
)
