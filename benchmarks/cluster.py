"""The same work in a cluster of three primaries and three replicas: 100 streams, whose slots are spread over the nodes."""

from __future__ import annotations

from benchmarks.cluster_job import ClusterJob
from benchmarks.entries import POOL, fill
from benchmarks.processes import run_contestant
from benchmarks.server import Cluster
from benchmarks.table import Contestant, Sample, Setting, Table, Target, throughput

STREAMS = [f"stream:{number:02}" for number in range(100)]
CONSUMERS = 3


def _write(contestant: Contestant, setting: Setting, cluster: Cluster) -> Sample:
    n = max(int(setting.n * contestant.share) // POOL, 1) * POOL
    owners = cluster.owners(STREAMS)
    with cluster.connect_each(owners) as raws:
        for stream, raw in raws.items():
            raw.call("DEL", stream)
    job = ClusterJob(cluster.host, cluster.port, "", n, settle="written", ports=cluster.ports, owners=owners)
    results: Sample = run_contestant(contestant, job)["results"]
    return results


def _consume(contestant: Contestant, setting: Setting, cluster: Cluster) -> Sample:
    owners = cluster.owners(STREAMS)
    each = max(int(setting.n * contestant.share) // len(STREAMS), 1)
    job = ClusterJob(
        cluster.host,
        cluster.port,
        "",
        each * len(STREAMS),
        settle="acked",
        count=setting.count,
        ports=cluster.ports,
        owners=owners,
        consumers=CONSUMERS,
        held_back=True,
    )
    with cluster.connect_each(owners) as raws:
        for stream, raw in raws.items():
            raw.call("DEL", stream)  # and what the group has known of it
            fill(raw, stream, each - 1)
            raw.call("XGROUP", "CREATE", stream, job.group, "$")
    results: Sample = run_contestant(contestant, job)["results"]
    return results


TASKS = "ours, asyncio"
NEEDS = "transports.asyncio"

XADD = Table(
    name="cluster-xadd",
    title="Cluster: XADD to 100 streams by 100 tasks, every ID read",
    metrics=throughput("entries", "entry"),
    run=_write,
    servers=Cluster,
    n=40_000,
    reference="redis-py asyncio",
    contestants=(
        Contestant("redis-py asyncio", "cluster_redis_py:write_tasks", share=0.5),
        Contestant("redis-py asyncio, uvloop", "cluster_redis_py:write_tasks", options={"loop": "uvloop"}, share=0.5),
        Contestant("coredis", "cluster_coredis:write_tasks", share=0.25),
        Contestant("coredis, uvloop", "cluster_coredis:write_tasks", options={"loop": "uvloop"}, share=0.25),
        Contestant("glide", "cluster_glide:write_tasks"),
        Contestant("glide, uvloop", "cluster_glide:write_tasks", options={"loop": "uvloop"}),
        Contestant(TASKS, "cluster_ours:write_tasks", "ours", needs=NEEDS),
        Contestant("ours, uvloop", "cluster_ours:write_tasks", "ours", {"loop": "uvloop"}, needs=NEEDS),
    ),
    peers={
        "redis-py": ("redis-py asyncio",),
        "redis-py, uvloop": ("redis-py asyncio, uvloop",),
        "coredis": ("coredis",),
        "glide": ("glide",),
        "glide, uvloop": ("glide, uvloop",),
    },
    targets=(Target(TASKS, ("redis-py asyncio",), 1.9), Target(TASKS, ("glide",), 0.9)),
)

PIPELINES = Table(
    name="cluster-pipelines",
    title="Cluster: pipelines of 1,000 XADD to 100 streams, every ID read",
    metrics=throughput("entries", "entry"),
    run=_write,
    servers=Cluster,
    n=100_000,
    reference="redis-py",
    contestants=(
        Contestant("redis-py", "cluster_redis_py:write_pipelines", share=0.5),
        Contestant("redis-py asyncio", "cluster_redis_py:write_async_pipelines", share=0.5),
        Contestant(
            "redis-py asyncio, uvloop", "cluster_redis_py:write_async_pipelines", options={"loop": "uvloop"}, share=0.5
        ),
        Contestant("coredis", "cluster_coredis:write_pipelines", share=0.3),
        Contestant("glide", "cluster_glide:write_pipelines"),
        Contestant("ours, asyncio", "cluster_ours:write_pipelines", "ours", needs=NEEDS),
        Contestant("ours, uvloop", "cluster_ours:write_pipelines", "ours", {"loop": "uvloop"}, needs=NEEDS),
        Contestant("ours, threads", "cluster_ours:write_blocking_pipelines", "ours", needs="transports.blocking"),
    ),
    peers={"redis-py": ("redis-py", "redis-py asyncio"), "coredis": ("coredis",), "glide": ("glide",)},
    targets=(Target("ours, asyncio", ("redis-py", "redis-py asyncio"), 2), Target("ours, asyncio", ("glide",), 1)),
)

GROUP = Table(
    name="cluster-group",
    title="Cluster: 100 streams through a group by 3 consumers, every entry acknowledged",
    metrics=throughput("entries", "entry"),
    run=_consume,
    servers=Cluster,
    n=100_000,
    counts=(100,),
    reference="redis-py: pipelines",
    contestants=(
        Contestant("redis-py: pipelines", "cluster_redis_py:group_pipelines"),
        Contestant("redis-py asyncio: pipelines", "cluster_redis_py:group_async_pipelines"),
        Contestant(
            "redis-py asyncio, uvloop: pipelines", "cluster_redis_py:group_async_pipelines", options={"loop": "uvloop"}
        ),
        Contestant("coredis: xreadgroup in turns", "cluster_coredis:group_turns", share=0.5),
        Contestant("coredis: pipelines", "cluster_coredis:group_pipelines", share=0.5),
        Contestant("coredis: GroupConsumer, ack batch", "cluster_coredis:group_consumers", share=0.3),
        Contestant("glide: pipelines", "cluster_glide:group_pipelines"),
        Contestant("glide: xreadgroup, gathered", "cluster_glide:group_gather"),
        Contestant("ours, asyncio: ack each", "cluster_ours:group", "ours", needs=NEEDS),
        Contestant("ours, asyncio: batches()", "cluster_ours:group_batches", "ours", needs=NEEDS),
        Contestant("ours, uvloop: batches()", "cluster_ours:group_batches", "ours", {"loop": "uvloop"}, needs=NEEDS),
    ),
    peers={
        "redis-py, best": ("redis-py: pipelines", "redis-py asyncio: pipelines"),
        "coredis, best": ("coredis: xreadgroup in turns", "coredis: pipelines", "coredis: GroupConsumer, ack batch"),
        "glide, best": ("glide: pipelines", "glide: xreadgroup, gathered"),
    },
    targets=(
        Target(
            "ours, asyncio: batches()",
            (
                "redis-py: pipelines",
                "redis-py asyncio: pipelines",
                "coredis: pipelines",
                "glide: pipelines",
                "glide: xreadgroup, gathered",
            ),
            1,
        ),
    ),
)

TABLES = (XADD, PIPELINES, GROUP)
