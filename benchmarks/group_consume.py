"""Consume a stream through a consumer group and acknowledge every entry.

The clock starts before the first read (the connection is open, the group exists) and stops when the contestant has seen
all entries *and* XPENDING is 0.
"""

from __future__ import annotations

from benchmarks.entries import fill
from benchmarks.job import Job
from benchmarks.processes import run_contestant
from benchmarks.server import Server
from benchmarks.table import Contestant, Sample, Setting, Table, Target, throughput

STREAM = "benchmark"


def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = int(setting.n * contestant.share)
    job = Job(server.host, server.port, STREAM, n, settle="acked", count=setting.count)
    with server.connect() as raw:
        fill(raw, STREAM, n)
        raw.call("XGROUP", "DESTROY", STREAM, job.group)
        raw.call("XGROUP", "CREATE", STREAM, job.group, "0")
    results: Sample = run_contestant(contestant, job)["results"]
    return results


REFERENCE = "hiredis: 2 reads in flight"
ASYNCIO = "ours, asyncio: ack each"
TRIO = "ours, trio: ack each"
BACKGROUND = "ours, blocking in background: ack each"
PUMPED = "ours, blocking pumped: ack each"
NEEDS_ASYNCIO, NEEDS_TRIO, NEEDS_BLOCKING = "transports.asyncio", "transports.trio", "transports.blocking"

SYNC_BATCH = ("redis-py: ack batch", "redis-py: ack batch with next read")
ASYNCIO_BATCH = (
    "redis-py asyncio: ack batch",
    "redis-py asyncio: ack batch with next read",
    "redis-py asyncio, uvloop: ack batch with next read",
)
COREDIS_BATCH = (
    "coredis: GroupConsumer, ack batch",
    "coredis: xreadgroup, ack batch",
    "coredis: xreadgroup, ack batch with next read",
)
COREDIS_EACH = ("coredis: GroupConsumer, ack each", "coredis: xreadgroup, ack each")
GLIDE_BATCH = ("glide: ack batch", "glide: ack batch with next read")

TABLE = Table(
    name="group",
    title="Consume through a group, every entry acknowledged",
    metrics=throughput("entries", "entry"),
    run=run,
    n=200_000,
    counts=(100, 1000),
    reference=REFERENCE,
    contestants=(
        Contestant("hiredis: sequential", "hand_written:group_sequential", "limit"),
        Contestant("hiredis: 1 read in flight", "hand_written:group_prefetch", "limit", {"reads": 1}),
        Contestant(REFERENCE, "hand_written:group_prefetch", "limit", {"reads": 2}),
        Contestant("hiredis: 3 reads in flight", "hand_written:group_prefetch", "limit", {"reads": 3}),
        Contestant("hiredis: 2 reads in flight, dicts", "hand_written:group_prefetch_dicts", "limit"),
        Contestant("redis-py: ack each", "redis_py:group_ack_each", share=0.1),
        Contestant("redis-py: ack batch", "redis_py:group_ack_batch"),
        Contestant("redis-py: ack batch with next read", "redis_py:group_ack_pipeline"),
        Contestant("redis-py asyncio: ack each", "redis_py:group_async_ack_each", share=0.05),
        Contestant("redis-py asyncio: ack batch", "redis_py:group_async_ack_batch"),
        Contestant("redis-py asyncio: ack batch with next read", "redis_py:group_async_ack_pipeline"),
        Contestant(
            "redis-py asyncio, uvloop: ack batch with next read",
            "redis_py:group_async_ack_pipeline",
            options={"loop": "uvloop"},
        ),
        Contestant("coredis: GroupConsumer, ack each", "coredis:group_consumer", share=0.05),
        Contestant("coredis: xreadgroup, ack each", "coredis:group_ack_each", share=0.05),
        Contestant("coredis: xreadgroup, ack each, gathered", "coredis:group_ack_gather", share=0.05),
        Contestant("coredis: GroupConsumer, ack batch", "coredis:group_consumer_batch", share=0.5),
        Contestant("coredis: xreadgroup, ack batch", "coredis:group_ack_batch", share=0.5),
        Contestant("coredis: xreadgroup, ack batch with next read", "coredis:group_ack_pipeline", share=0.5),
        Contestant("glide: ack each", "glide:group_ack_each", share=0.05),
        Contestant("glide: ack each, gathered", "glide:group_ack_gather", share=0.1),
        Contestant("glide: ack batch", "glide:group_ack_batch"),
        Contestant("glide: ack batch with next read", "glide:group_ack_pipeline"),
        Contestant(ASYNCIO, "ours:group_asyncio", "ours", needs=NEEDS_ASYNCIO),
        Contestant("ours, asyncio: ack each, fields read", "ours:group_asyncio_fields", "ours", needs=NEEDS_ASYNCIO),
        Contestant(
            "ours, asyncio: ack each, fenced", "ours:group_asyncio", "ours", {"fenced": True}, needs=NEEDS_ASYNCIO
        ),
        Contestant(
            "ours, asyncio: ack each, gaps always looked for",
            "ours:group_asyncio",
            "ours",
            {"detect_gaps": "always"},
            needs=NEEDS_ASYNCIO,
        ),
        Contestant("ours, asyncio: batches()", "ours:group_asyncio_batches", "ours", needs=NEEDS_ASYNCIO),
        Contestant("ours, uvloop: ack each", "ours:group_asyncio", "ours", {"loop": "uvloop"}, needs=NEEDS_ASYNCIO),
        Contestant(
            "ours, uvloop: batches()", "ours:group_asyncio_batches", "ours", {"loop": "uvloop"}, 1, NEEDS_ASYNCIO
        ),
        Contestant(TRIO, "ours:group_trio", "ours", needs=NEEDS_TRIO),
        Contestant("ours, trio: batches()", "ours:group_trio_batches", "ours", needs=NEEDS_TRIO),
        Contestant(BACKGROUND, "ours:group_blocking", "ours", {"background": True}, needs=NEEDS_BLOCKING),
        Contestant(PUMPED, "ours:group_blocking", "ours", {"background": False}, needs=NEEDS_BLOCKING),
        Contestant(
            "ours, blocking pumped: batches()",
            "ours:group_blocking_batches",
            "ours",
            {"background": False},
            needs=NEEDS_BLOCKING,
        ),
    ),
    peers={
        "redis-py, best batch": SYNC_BATCH,
        "redis-py asyncio, best batch": ASYNCIO_BATCH,
        "coredis, best batch": COREDIS_BATCH,
        "glide, best batch": GLIDE_BATCH,
        "redis-py asyncio, each": ("redis-py asyncio: ack each",),
        "coredis, each": COREDIS_EACH,
        "glide, each": ("glide: ack each",),
    },
    targets=(
        Target(ASYNCIO, (REFERENCE,), 0.9),
        Target(ASYNCIO, SYNC_BATCH, 2),
        Target(ASYNCIO, ASYNCIO_BATCH, 2),
        Target(ASYNCIO, COREDIS_BATCH, 2),
        Target(ASYNCIO, GLIDE_BATCH, 2),
        Target(ASYNCIO, ("redis-py asyncio: ack each",), 40),
        Target(ASYNCIO, COREDIS_EACH, 80),
        Target(TRIO, (ASYNCIO,), 0.8),
        Target(BACKGROUND, (ASYNCIO,), 0.8),
        Target(PUMPED, (ASYNCIO,), 1.0),
    ),
)
