"""Failures of a cluster on purpose: slots move, a worker and a primary are killed, another primary is stopped.

Its nodes find out by themselves that a primary is away, and elect its replica. Then the node comes back, as a replica. The time of a
recovery begins with the signal and ends when an entry of a stream of that primary has been processed again: its result is on both nodes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from itertools import pairwise
from time import monotonic
from typing import Final, Literal

from streamcore.commands import key_slot
from streamcore.errors import InvalidArgument
from transports.asyncio import Client
from transports.embedded import EmbeddedCluster, EmbeddedNode

from .account import Recovery
from .chaos import KILL_WORKER_AT, RETURN_LIMIT, after, kill_worker, reached
from .keys import Keys
from .progress import DemoError, Progress, Say, until

NODE_TIMEOUT: Final = "1000"  # milliseconds in which a primary has to answer the others
MOVE_AT: Final = 0.1  # of all entries processed
KILL_PRIMARY_AT: Final = 0.45
STOP_PRIMARY_AT: Final = 0.65
LEEWAY: Final = 0.1  # of the entries of each stream, beyond which the replay waits
QUIET: Final = 2.0  # seconds after which no more comes
BUSY_SECONDS: Final = 1.0
BUSY_RECORDS: Final = 10  # in these seconds, of a stream whose pauses tell something: entries leave every 0.05 s


async def cluster_chaos(client: Client, keys: Keys, cluster: EmbeddedCluster, progress: Progress, say: Say) -> None:
    """Move slots, and lose a worker and two primaries, one after the other; on a slow machine the replay waits for each."""
    progress.may_send = KILL_PRIMARY_AT + LEEWAY
    await reached(progress, MOVE_AT)
    await move_slots(cluster, keys.streams[::2], progress, say)
    await reached(progress, KILL_WORKER_AT)
    await kill_worker(client, keys, progress, say)

    await reached(progress, KILL_PRIMARY_AT)
    victim = await asyncio.to_thread(cluster.owner, keys.streams[0])
    await lose_primary(cluster, keys, victim, progress, say, "killed", victim.restart)
    await asyncio.to_thread(cluster.wait_ok)

    await reached(progress, STOP_PRIMARY_AT)
    victim = await asyncio.to_thread(other_owner, cluster, keys.streams)
    await lose_primary(cluster, keys, victim, progress, say, "stopped", victim.resume)


def other_owner(cluster: EmbeddedCluster, streams: Collection[str]) -> EmbeddedNode:
    """The primary of a stream that is not in the first stream's shard, if there is any."""
    owners = [cluster.owner(stream) for stream in streams]
    return next((owner for owner in owners if owner is not owners[0]), owners[0])


async def move_slots(cluster: EmbeddedCluster, streams: list[str], progress: Progress, say: Say) -> None:
    """Move streams with their slots to the next primary, in turn at once, where the servers can, and key by key."""
    began, moved = monotonic(), Counter[str]()
    for number, stream in enumerate(streams):
        moved[await asyncio.to_thread(move, cluster, stream, "classic" if number % 2 else "atomic")] += 1
    progress.moved += moved.total()
    ways = f"{moved['classic']} key by key and {moved['atomic']} at once"
    say(f"moved {moved.total()} slots with their streams, {ways}{pauses(progress, streams, began)}")


def move(cluster: EmbeddedCluster, stream: str, how: Literal["classic", "atomic"]) -> str:
    """Move the slot of a stream; returns how."""
    primaries = sorted({cluster.owner(slot) for slot in (0, 8_000, 16_000)}, key=lambda node: node.port)
    target = primaries[primaries.index(cluster.owner(stream)) - 1]
    try:
        cluster.move_slot(key_slot(stream), target, how)
    except InvalidArgument:  # the servers know no other way
        cluster.move_slot(key_slot(stream), target)
        return "classic"
    return how


async def lose_primary(
    cluster: EmbeddedCluster,
    keys: Keys,
    victim: EmbeddedNode,
    progress: Progress,
    say: Say,
    what: Literal["killed", "stopped"],
    bring_back: Callable[[], None],
) -> None:
    """Kill or stop a primary until its replica was elected; wait until an entry of its streams is processed."""
    owners = await asyncio.to_thread(lambda: {stream: cluster.owner(stream) for stream in keys.streams})
    lost = {stream for stream, owner in owners.items() if owner is victim}
    struck_at = monotonic()
    victim.kill() if what == "killed" else victim.pause()
    progress.may_send = STOP_PRIMARY_AT + LEEWAY if what == "killed" else 1.0
    say(f"SIG{'KILL' if what == 'killed' else 'STOP'} for a primary, with streams in its slots: {len(lost)}")

    looked_at = struck_at
    while True:
        looks_at = monotonic()
        if await asyncio.to_thread(cluster.owner, min(lost)) is not victim:
            break
        looked_at = looks_at  # until then no write of its streams was possible
        if looked_at - struck_at > RETURN_LIMIT:
            raise DemoError(f"no replica was elected within {RETURN_LIMIT:g} s")
        await asyncio.sleep(0.01)
    say(f"its replica was elected after {looks_at - struck_at:.2f} s")
    await asyncio.to_thread(bring_back)
    back = await first_record(progress, lost, looked_at)
    progress.recoveries.append(Recovery(f"{what} primary's streams", back and back - struck_at))
    others = pauses(progress, owners.keys() - lost, struck_at)
    say(f"its streams go on{after(progress)}{others and f'; the others{others}'}")


async def first_record(progress: Progress, streams: Collection[str], moment: float) -> float | None:
    """Wait until an entry of the streams is processed after a moment; when it was, or None if nothing was left to do."""

    def records() -> list[float]:
        found = (record for worker in progress.workers for record in worker.records_after(moment))
        return [record.at for record in found if record.stream in streams]

    def nothing_left() -> bool:
        return monotonic() > moment + QUIET and progress.processed == progress.sent and not progress.sending

    complaint = f"no entry of {len(streams)} streams was processed within {RETURN_LIMIT:g} s after the election"
    await until(lambda: records() or nothing_left(), RETURN_LIMIT, lambda: complaint)
    return min(records(), default=None)


def pauses(progress: Progress, streams: Collection[str], since: float) -> str:
    """Tell the longest pause of busy streams, from the last of their entries that was processed before."""
    times: dict[str, list[float]] = defaultdict(list)
    for worker in progress.workers:
        for record in worker.records_after(since - BUSY_SECONDS):
            times[record.stream].append(record.at)
    now, longest = monotonic(), 0.0
    for stream in times.keys() & set(streams):
        before = [at for at in times[stream] if at <= since]
        if len(before) >= BUSY_RECORDS:
            within = sorted([max(before), *(at for at in times[stream] if at > since), now])
            longest = max(longest, *(late - early for early, late in pairwise(within)))
    return f", paused for at most {longest:.2f} s" if longest else ""
