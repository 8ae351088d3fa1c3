"""Follow a stream with XREAD, without a group, from its first entry to its last."""

from __future__ import annotations

from benchmarks.entries import fill
from benchmarks.group_consume import NEEDS_ASYNCIO, NEEDS_BLOCKING, NEEDS_TRIO, STREAM
from benchmarks.job import Job
from benchmarks.processes import run_contestant
from benchmarks.server import Server
from benchmarks.table import Contestant, Sample, Setting, Table, Target, throughput


def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = int(setting.n * contestant.share)
    with server.connect() as raw:
        fill(raw, STREAM, n)
    job = Job(server.host, server.port, STREAM, n, count=setting.count)
    results: Sample = run_contestant(contestant, job)["results"]
    return results


REFERENCE = "hiredis: sequential"
ASYNCIO = "ours, asyncio: one at a time"
TRIO = "ours, trio: one at a time"
PUMPED = "ours, blocking: one at a time"

TABLE = Table(
    name="consume",
    title="Follow a stream (XREAD)",
    metrics=throughput("entries", "entry"),
    run=run,
    n=200_000,
    counts=(100, 1000),
    reference=REFERENCE,
    contestants=(
        Contestant(REFERENCE, "hand_written:follow_sequential", "limit"),
        Contestant("hiredis: next read before handling", "hand_written:follow_prefetch", "limit"),
        Contestant("redis-py: batches", "redis_py:follow_batch"),
        Contestant("redis-py asyncio: batches", "redis_py:follow_async_batch"),
        Contestant("coredis: Consumer", "coredis:follow_consumer", share=0.5),
        Contestant("coredis: xread batches", "coredis:follow_batch", share=0.5),
        Contestant("glide: batches", "glide:follow_batch", share=0.5),
        Contestant(ASYNCIO, "ours:follow_asyncio", "ours", needs=NEEDS_ASYNCIO),
        Contestant("ours, asyncio: batches()", "ours:follow_asyncio_batches", "ours", needs=NEEDS_ASYNCIO),
        Contestant(
            "ours, uvloop: one at a time", "ours:follow_asyncio", "ours", {"loop": "uvloop"}, needs=NEEDS_ASYNCIO
        ),
        Contestant(TRIO, "ours:follow_trio", "ours", needs=NEEDS_TRIO),
        Contestant(PUMPED, "ours:follow_blocking", "ours", needs=NEEDS_BLOCKING),
    ),
    peers={
        "redis-py, batches": ("redis-py: batches",),
        "redis-py asyncio, batches": ("redis-py asyncio: batches",),
        "coredis Consumer": ("coredis: Consumer",),
        "coredis, batches": ("coredis: xread batches",),
        "glide, batches": ("glide: batches",),
    },
    targets=(
        Target(ASYNCIO, (REFERENCE,), 1.0),
        Target(ASYNCIO, ("redis-py: batches",), 2),
        Target(ASYNCIO, ("coredis: Consumer",), 8),
        Target(TRIO, (ASYNCIO,), 0.8),
        Target(PUMPED, (ASYNCIO,), 0.8),
    ),
)
