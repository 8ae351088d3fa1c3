"""Receive what is published in one channel, by ``client.channels`` and by loops over XREAD: how fast, and how soon.

This process appends to the channel's stream. How soon: as ``latency`` does, on a channel where nothing else happens. How
fast: in chunks, while the contestant reads.
"""

from __future__ import annotations

import random
import statistics
import time

from benchmarks.entries import make_fields
from benchmarks.group_consume import NEEDS_ASYNCIO, NEEDS_BLOCKING, NEEDS_TRIO
from benchmarks.job import Job
from benchmarks.latency import LONGEST_PAUSE, SHORTEST_PAUSE, WARM_UP
from benchmarks.processes import run_contestant
from benchmarks.raw import pack
from benchmarks.server import Server
from benchmarks.table import Contestant, Metric, Sample, Setting, Table, Target, throughput

CHANNEL = "channels_room"
CHUNK = 1_000


def run_rate(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = int(setting.n * contestant.share)
    chunk = pack(("XADD", CHANNEL, "*", "data", make_fields(1)["note"])) * CHUNK
    with server.connect() as raw:
        raw.call("DEL", CHANNEL)
        raw.send(("CLIENT", "REPLY", "OFF"))

        def publish() -> None:
            """One more chunk than n: the clock starts at the first message."""
            for _ in range(n // CHUNK + 1):
                raw.write(chunk)

        results: Sample = run_contestant(contestant, Job(server.host, server.port, CHANNEL, n), publish)["results"]
    return results


def run_latency(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = setting.n + WARM_UP
    with server.connect() as raw:
        raw.call("DEL", CHANNEL)

        def publish() -> None:
            time.sleep(0.2)
            for _ in range(n):
                raw.call("XADD", CHANNEL, "*", "data", time.perf_counter_ns())
                time.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))

        samples: list[int] = run_contestant(contestant, Job(server.host, server.port, CHANNEL, n), publish)["samples"]
    steady = sorted(samples[WARM_UP:n])
    return {"p50": statistics.median(steady) / 1000, "p99": steady[int(len(steady) * 0.99)] / 1000}


REFERENCE = "hiredis: XREAD loop"
HIREDIS_ASYNCIO = "hiredis, asyncio streams"
ASYNCIO = "ours, asyncio"
PEER = "redis-py asyncio: XREAD loop"

TABLES = (
    Table(
        name="channels",
        title="Receive what is published in a channel",
        metrics=throughput("messages", "message"),
        run=run_rate,
        n=100_000,
        reference=REFERENCE,
        contestants=(
            Contestant(REFERENCE, "channels:hand_written", "limit"),
            Contestant(PEER, "channels:redis_py"),
            Contestant(ASYNCIO, "channels:ours_asyncio", "ours", needs=NEEDS_ASYNCIO),
            Contestant("ours, uvloop", "channels:ours_asyncio", "ours", {"loop": "uvloop"}, needs=NEEDS_ASYNCIO),
            Contestant("ours, trio", "channels:ours_trio", "ours", needs=NEEDS_TRIO),
            Contestant("ours, blocking", "channels:ours_blocking", "ours", needs=NEEDS_BLOCKING),
        ),
        peers={"redis-py asyncio": (PEER,)},
        targets=(Target(ASYNCIO, (REFERENCE,), 0.5),),
    ),
    Table(
        name="channels-latency",
        title="From XADD to the subscriber of a channel, nothing else happens",
        metrics=(Metric("p50", "p50 µs"), Metric("p99", "p99 µs")),
        run=run_latency,
        n=1_000,
        less_is_better=True,
        n_is_most=True,
        reference=HIREDIS_ASYNCIO,
        contestants=(
            Contestant(HIREDIS_ASYNCIO, "channels:hand_written_latency", "limit"),
            Contestant(PEER, "channels:redis_py_latency"),
            Contestant(ASYNCIO, "channels:ours_asyncio_latency", "ours", needs=NEEDS_ASYNCIO),
            Contestant(
                "ours, uvloop", "channels:ours_asyncio_latency", "ours", {"loop": "uvloop"}, needs=NEEDS_ASYNCIO
            ),
            Contestant("ours, trio", "channels:ours_trio_latency", "ours", needs=NEEDS_TRIO),
            Contestant("ours, blocking", "channels:ours_blocking_latency", "ours", needs=NEEDS_BLOCKING),
        ),
        peers={"redis-py asyncio": (PEER,)},
        targets=(Target(ASYNCIO, (HIREDIS_ASYNCIO,), 1.5, "p50"),),
    ),
)
