"""Append entries with XADD and learn every ID. The clock stops when the stream holds them all."""

from __future__ import annotations

from benchmarks.entries import POOL
from benchmarks.group_consume import NEEDS_ASYNCIO, NEEDS_BLOCKING, NEEDS_TRIO
from benchmarks.job import Job
from benchmarks.processes import run_contestant
from benchmarks.server import Server
from benchmarks.table import Contestant, Sample, Setting, Table, Target, throughput

STREAM = "produced"


def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    n = max(int(setting.n * contestant.share) // POOL, 1) * POOL
    with server.connect() as raw:
        raw.call("DEL", STREAM)
        job = Job(server.host, server.port, STREAM, n, settle="written")
        results: Sample = run_contestant(contestant, job)["results"]
        raw.call("DEL", STREAM)
    return results


REFERENCE = "hiredis: pipelines of 1000"
TASKS = "ours, asyncio: xadd, 100 tasks"
SEND_MANY = "ours, asyncio: Producer.send_many"
PIPELINE = ("redis-py: pipelines of 1000",)
REDIS_TASKS = ("redis-py asyncio: 100 tasks, 100 connections",)

TABLE = Table(
    name="produce",
    title="Append entries (XADD), every ID read",
    metrics=throughput("entries", "entry"),
    run=run,
    n=200_000,
    reference=REFERENCE,
    contestants=(
        Contestant(REFERENCE, "hand_written:produce_pipeline", "limit", {"size": 1000, "flights": 1}),
        Contestant(
            "hiredis: pipelines of 500, 2 in flight",
            "hand_written:produce_pipeline",
            "limit",
            {"size": 500, "flights": 2},
        ),
        Contestant(*PIPELINE, "redis_py:produce_pipeline", options={"size": 1000}, share=0.5),
        Contestant("coredis: pipelines of 1000", "coredis:produce_pipeline", options={"size": 1000}, share=0.2),
        Contestant("glide: batches of 1000", "glide:produce_pipeline", options={"size": 1000}, share=0.5),
        Contestant(*REDIS_TASKS, "redis_py:produce_tasks", share=0.1),
        Contestant(
            "redis-py asyncio, uvloop: 100 tasks, 100 connections",
            "redis_py:produce_tasks",
            options={"loop": "uvloop"},
            share=0.1,
        ),
        Contestant("coredis: 100 tasks", "coredis:produce_tasks", share=0.1),
        Contestant("glide: 100 tasks", "glide:produce_tasks", share=0.1),
        Contestant(TASKS, "ours:xadd_tasks_asyncio", "ours", share=0.5, needs=NEEDS_ASYNCIO),
        Contestant(
            "ours, uvloop: xadd, 100 tasks", "ours:xadd_tasks_asyncio", "ours", {"loop": "uvloop"}, 0.5, NEEDS_ASYNCIO
        ),
        Contestant("ours, trio: xadd, 100 tasks", "ours:xadd_tasks_trio", "ours", share=0.5, needs=NEEDS_TRIO),
        Contestant(
            "ours, asyncio: Producer.send, 100 tasks",
            "ours:producer_tasks_asyncio",
            "ours",
            share=0.5,
            needs=NEEDS_ASYNCIO,
        ),
        Contestant(SEND_MANY, "ours:producer_many_asyncio", "ours", {"size": 1000}, needs=NEEDS_ASYNCIO),
        Contestant(
            "ours, blocking: Producer.send_many",
            "ours:producer_many_blocking",
            "ours",
            {"size": 1000},
            needs=NEEDS_BLOCKING,
        ),
        Contestant(
            "ours, asyncio: Producer.send_nowait",
            "ours:producer_nowait_asyncio",
            "ours",
            share=0.5,
            needs=NEEDS_ASYNCIO,
        ),
        Contestant(
            "ours, blocking: Producer.send_nowait, 5 ms linger",
            "ours:producer_nowait_blocking",
            "ours",
            {"linger": 0.005},
            0.2,
            NEEDS_BLOCKING,
        ),
        Contestant(
            "ours, asyncio: Producer.send_many, idempotent",
            "ours:producer_many_once_asyncio",
            "ours",
            {"size": 1000},
            0.2,
            NEEDS_ASYNCIO,
        ),
    ),
    peers={
        "redis-py pipeline": PIPELINE,
        "coredis pipeline": ("coredis: pipelines of 1000",),
        "glide batch": ("glide: batches of 1000",),
        "redis-py asyncio, 100 tasks": REDIS_TASKS,
        "coredis, 100 tasks": ("coredis: 100 tasks",),
        "glide, 100 tasks": ("glide: 100 tasks",),
    },
    targets=(
        Target(TASKS, (REFERENCE,), 0.4),
        Target(TASKS, REDIS_TASKS, 9),
        Target(SEND_MANY, (REFERENCE,), 0.9),
        Target(SEND_MANY, PIPELINE, 3),
    ),
)
