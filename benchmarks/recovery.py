"""``python -m benchmarks.recovery``: how long a cluster's clients pause, what they lose, and what they execute twice.

Three primaries and their replicas. Each client, in a process of its own, appends numbers to twelve streams, a task for each, and hears
twelve shard channels. Meanwhile a primary is killed, or stopped, or all slots of the streams and channels move, or all primaries hand over.
Contestants take turns. ``there``: the longest pause of a stream of the lost primary, from the answer to an XADD to the next, in
seconds; ``elsewhere``: of any other stream; ``server``: until the replica was elected. ``>``: it had not ended when the run did.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, Final, Self

from rich.console import Console
from rich.table import Table

from benchmarks.contestants.recovery import CHANNELS, CLIENTS, STREAMS
from streamcore import ConnectionLost
from streamcore.commands import key_slot, raw
from streamcore.errors import ReplyError
from transports.blocking import connect
from transports.embedded import EmbeddedCluster, EmbeddedNode

SECONDS: Final = 12.0  # of a run, the same for all
NODE_TIMEOUT: Final = "1000"  # milliseconds
PUBLISHED_EVERY: Final = 0.005  # seconds, to each channel in turn


class Publisher:
    """Publishes numbers to all channels; ``confirmed``: those that a primary has taken."""

    def __init__(self, url: str) -> None:
        self.confirmed: dict[str, set[int]] = {channel: set() for channel in CHANNELS}
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with connect(self._url, request_timeout=0.5) as client:
            for number in count():
                for channel in CHANNELS:
                    if self._stop.wait(PUBLISHED_EVERY):
                        return
                    try:
                        client.spublish(channel, str(number))
                        self.confirmed[channel].add(number)
                    except (ConnectionLost, ReplyError):
                        pass


@dataclass
class Result:
    """What a contestant has done in a scenario."""

    there: float = 0.0
    elsewhere: float = 0.0
    is_over: bool = True
    server: float = 0.0
    load: float = 0.0
    twice: int = 0
    untold: int = 0
    told: int = 0
    dead: int = 0
    errors: dict[str, int] = field(default_factory=dict)


Scene = Callable[[EmbeddedCluster, Result], Iterable[str]]


def killed(cluster: EmbeddedCluster, result: Result) -> Iterable[str]:
    return lose(cluster, result, EmbeddedNode.kill)


def stopped(cluster: EmbeddedCluster, result: Result) -> Iterable[str]:
    return lose(cluster, result, EmbeddedNode.pause)


def lose(cluster: EmbeddedCluster, result: Result, away: Callable[[EmbeddedNode], None]) -> Iterable[str]:
    """Take a primary away to the end of the run."""
    owners = {name: cluster.owner(name) for name in STREAMS}
    victim = owners[STREAMS[0]]
    replica = cluster.replica_of(victim)
    away(victim)
    began = time.monotonic()
    while replica.ask(raw("ROLE"))[0] != b"master":
        time.sleep(0.005)
    result.server = time.monotonic() - began
    return [name for name, owner in owners.items() if owner is victim]


def moves(cluster: EmbeddedCluster, result: Result) -> Iterable[str]:
    """Move each slot once key by key, and once at once."""
    for how in ("classic", "atomic"):
        for name in (*STREAMS, *CHANNELS):
            owner = cluster.owner(name)
            target = next(node for node in (cluster.owner(at) for at in (0, 8_000, 16_000)) if node is not owner)
            cluster.move_slot(key_slot(name), target, how)
    return STREAMS


def failovers(cluster: EmbeddedCluster, result: Result) -> Iterable[str]:
    for at in (0, 8_000, 16_000):
        cluster.failover(cluster.owner(at))
    return STREAMS


SCENES: Final[dict[str, Scene]] = {
    "primary killed": killed,
    "primary stopped": stopped,
    "slots move": moves,
    "failovers": failovers,
}


def measure(name: str, scene: Scene, cluster: EmbeddedCluster) -> Result:
    cluster.flush()
    seed = cluster.owner(STREAMS[-1])  # any node will do that is not lost
    words = [sys.executable, "-m", "benchmarks.contestants.recovery", name, str(seed.port), str(SECONDS)]
    result = Result()
    with (
        Publisher(cluster.url) as publisher,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
    ):
        assert process.stdout is not None
        if not read_until("ready", process.stdout):
            raise RuntimeError(f"{name} has not begun")
        began = time.monotonic()
        victims = set(scene(cluster, result))
        said = read_until('{"answered"', process.stdout)
        ended = time.monotonic()
    if not said:
        raise RuntimeError(f"{name} has not come to its end")
    notes = json.loads(said)
    for stream, answered in notes["answered"].items():
        times = [began, *(at for at in answered if at > began), ended - 1]
        longest = max((late - early for early, late in pairwise(times)), default=0.0)
        if times[-1] - times[-2] >= longest > 1:
            result.is_over = False
        if stream in victims:
            result.there = max(result.there, longest)
        else:
            result.elsewhere = max(result.elsewhere, longest)
    result.load, result.errors = os.getloadavg()[0], notes["errors"]
    cluster.heal()
    judge(cluster, result, notes["heard"], publisher)
    return result


def read_until(beginning: str, lines: Iterable[str]) -> str:
    """Read a line that begins so, among what a library may print; empty where there is none."""
    return next((line for line in lines if line.startswith(beginning)), "")


def judge(cluster: EmbeddedCluster, result: Result, heard: dict[str, list[Any]], publisher: Publisher) -> None:
    for stream in STREAMS:
        reply = cluster.owner(stream).ask(raw("XRANGE", stream, "-", "+"))
        result.twice += sum(times - 1 for times in Counter(fields[1] for _, fields in reply).values())
    for channel, items in heard.items():
        confirmed = sorted(publisher.confirmed[channel])
        numbers = [item for item in items if item != "gap"]
        if not numbers:
            result.dead += 1
            continue
        last, told = numbers[0], False
        for item in items:
            if item == "gap":
                told = True
                continue
            missed = sum(last < number < item for number in confirmed)
            if told:
                result.told += missed
            else:
                result.untold += missed
            last, told = item, False
        if sum(number > last for number in confirmed) * PUBLISHED_EVERY * len(CHANNELS) > 2:
            result.dead += 1  # nothing was heard of it for the last two seconds and longer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--scenes", nargs="+", choices=list(SCENES), default=list(SCENES))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--server", help="another server program, instead of the bundled Valkey")
    parser.add_argument("--base-port", type=int)
    given = parser.parse_args()
    console = Console(highlight=False, width=150)
    config = {"cluster-node-timeout": NODE_TIMEOUT}
    with EmbeddedCluster(server=given.server, config=config, base_port=given.base_port) as cluster:
        for scene in given.scenes:
            table = Table(title=scene, title_justify="left")
            columns = ("client", "there", "elsewhere", "server", "twice", "lost untold", "told", "dead channels")
            for column in (*columns, "errors", "load"):
                table.add_column(column)
            for _ in range(given.rounds):
                for name in given.only:
                    try:
                        result = measure(name, SCENES[scene], cluster)
                    except RuntimeError as error:
                        table.add_row(name, str(error))
                        cluster.heal()
                        continue
                    mark = "" if result.is_over else ">"
                    table.add_row(
                        name,
                        f"{mark}{result.there:.3f}",
                        f"{result.elsewhere:.3f}",
                        f"{result.server:.3f}",
                        *map(str, (result.twice, result.untold, result.told, result.dead)),
                        ", ".join(f"{times} {error}" for error, times in result.errors.items()),
                        f"{result.load:.1f}",
                    )
            console.print(table)


if __name__ == "__main__":
    main()
