"""How long an import takes in a fresh interpreter, its byte code already written."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.processes import ROOT, ContestantFailed
from benchmarks.server import Server
from benchmarks.table import Contestant, Metric, Sample, Setting, Table, Target

PROGRAM = (
    "import sys, time; start = time.perf_counter(); import {0}; "
    "print((time.perf_counter() - start) * 1000, len(sys.modules))"
)


def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    """The median of n fresh processes."""
    times, modules = [], 0.0
    for _ in range(setting.n):
        command = [sys.executable, "-c", PROGRAM.format(contestant.target)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ContestantFailed(done.stderr.strip().splitlines()[-1])
        milliseconds, modules = (float(word) for word in done.stdout.split())
        times.append(milliseconds)
    return {"time": statistics.median(times), "modules": modules}


BLOCKING = "transports.blocking"


def row(module: str) -> Contestant:
    is_ours = module.startswith(("transports", "streamcore"))
    return Contestant(module, module, "ours" if is_ours else "peer", needs=module if is_ours else "")


TABLE = Table(
    name="imports",
    title="Import",
    metrics=(Metric("time", "ms", digits=1), Metric("modules", "modules")),
    run=run,
    n=5,
    less_is_better=True,
    n_is_most=True,
    reference="redis",
    contestants=(
        Contestant("hiredis", "hiredis", "limit"),
        Contestant("asyncio", "asyncio", "limit"),
        *map(row, ("redis", "redis.asyncio", "coredis", "glide")),
        *map(row, ("streamcore", BLOCKING, "transports.asyncio", "transports.trio")),
    ),
    peers={"redis": ("redis",), "coredis": ("coredis",), "glide": ("glide",)},
    targets=(Target(BLOCKING, (), 60),),
)
