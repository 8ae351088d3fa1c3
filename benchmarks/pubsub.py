"""Receive messages of one channel, as fast as the server relays them.

This process publishes: bytes made beforehand, no replies asked for, so that it leaves the processor to the other two. A
receiver that is slower than the server is not disconnected, because this server has no limit on what waits for it.
"""

from __future__ import annotations

from benchmarks.entries import make_fields
from benchmarks.group_consume import NEEDS_ASYNCIO, NEEDS_BLOCKING, NEEDS_TRIO
from benchmarks.job import Job
from benchmarks.processes import run_contestant
from benchmarks.raw import pack
from benchmarks.server import Server
from benchmarks.table import Contestant, Sample, Setting, Table, Target, throughput

CHANNEL = "news"
CHUNK = 1_000


def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = int(setting.n * contestant.share)
    chunk = pack(("PUBLISH", CHANNEL, make_fields(1)["note"])) * CHUNK
    with server.connect() as raw:
        raw.send(("CLIENT", "REPLY", "OFF"))

        def publish() -> None:
            """One more chunk than n: the clock starts at the first message."""
            for _ in range(n // CHUNK + 1):
                raw.write(chunk)

        job = Job(server.host, server.port, CHANNEL, n)
        results: Sample = run_contestant(contestant, job, publish)["results"]
    return results


REFERENCE = "hiredis: loop"
ASYNCIO = "ours, asyncio"
TRIO = "ours, trio"
BACKGROUND = "ours, blocking in background"
PUMPED = "ours, blocking pumped"

TABLE = Table(
    name="pubsub",
    title="Receive messages (SUBSCRIBE)",
    metrics=throughput("messages", "message"),
    run=run,
    n=100_000,
    reference=REFERENCE,
    contestants=(
        Contestant(REFERENCE, "hand_written:pubsub_receive", "limit"),
        Contestant("redis-py", "redis_py:pubsub_receive"),
        Contestant("redis-py asyncio", "redis_py:pubsub_async_receive"),
        Contestant("coredis", "coredis:pubsub_receive"),
        Contestant(ASYNCIO, "ours:pubsub_asyncio", "ours", needs=NEEDS_ASYNCIO),
        Contestant("ours, uvloop", "ours:pubsub_asyncio", "ours", {"loop": "uvloop"}, needs=NEEDS_ASYNCIO),
        Contestant(TRIO, "ours:pubsub_trio", "ours", needs=NEEDS_TRIO),
        Contestant(BACKGROUND, "ours:pubsub_blocking", "ours", needs=NEEDS_BLOCKING),
        Contestant(PUMPED, "ours:pubsub_blocking", "ours", {"background": False}, needs=NEEDS_BLOCKING),
    ),
    peers={"redis-py": ("redis-py",), "redis-py asyncio": ("redis-py asyncio",), "coredis": ("coredis",)},
    targets=(
        Target(ASYNCIO, (REFERENCE,), 0.7),
        Target(ASYNCIO, ("redis-py",), 4),
        Target(ASYNCIO, ("coredis",), 10),
        Target(TRIO, (ASYNCIO,), 0.8),
        Target(BACKGROUND, (ASYNCIO,), 0.8),
        Target(PUMPED, (ASYNCIO,), 1),
    ),
)
