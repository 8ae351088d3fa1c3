"""The producer's side: append every row of a stream once, although the server may be killed at any moment.

XADD must not be repeated blindly: when its reply is lost, only the server knows whether the entry is in the stream.
So each entry carries the number of its row, and after every loss the stream is asked which of the last rows it has.
In a cluster the answer counts when a replica has confirmed it: a primary that was stopped answers once more before it
learns that it was replaced.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from math import ceil, inf
from time import monotonic
from typing import Final

from streamcore import ConnectionLost, NotDurable, Replicas
from streamcore.commands import StreamEntry, set_, wait, xrevrange
from streamcore.errors import ClusterDownError, LoadingError, MovedError
from transports.asyncio import Client

from .progress import Progress, Say, until
from .source import Row
from .worker import ROW

MAX_CHUNK: Final = 1000
CHUNKS_PER_SECOND: Final = 20
PAUSE: Final = 0.01  # seconds between two questions
UNKNOWN: Final = (ConnectionLost, LoadingError, ClusterDownError, MovedError)


async def replay(
    client: Client,
    stream: str,
    rows: list[Row],
    progress: Progress,
    say: Say,
    *,
    seconds: float,
    durability: Replicas | None = None,
) -> None:
    """Append all rows, over about ``seconds`` seconds; 0 = as fast as the server takes them."""
    size = min(ceil(len(rows) / seconds / CHUNKS_PER_SECOND), MAX_CHUNK) if seconds else MAX_CHUNK
    began = monotonic()
    at = 0
    async with client.producer(stream, durability=durability) as producer:
        while at < len(rows):
            await asyncio.sleep(began + at / len(rows) * seconds - monotonic())
            await until(partial(progress.may_go_on, at / len(rows)), inf, str)
            chunk = [{ROW: str(number), **row} for number, row in enumerate(rows[at : at + size], at)]
            missing = chunk
            progress.sending += len(chunk)
            while missing:
                tried = len(missing)
                try:
                    await producer.send_many(missing)
                    missing = []
                except NotDurable:  # there is no replica, or this is no primary any more
                    missing = await not_in(client, stream, missing, durability)
                except UNKNOWN:  # none, some or all of them are in the stream
                    missing = await not_in(client, stream, missing, durability)
                    say(f"of {tried:,} entries on their way {tried - len(missing):,} had arrived; the replay goes on")
            at += len(chunk)
            progress.sent += len(chunk)
            progress.sending -= len(chunk)


async def not_in(client: Client, stream: str, rows: list[Row], durability: Replicas | None) -> list[Row]:
    """Which of the latest rows the stream does not have."""
    latest = xrevrange(stream, count=len(rows))
    while True:
        with suppress(*UNKNOWN):
            if durability is None:
                return without(await client.execute(latest), rows)
            # WAIT speaks of the writes of its own connection: so there has to be a write.
            asked = [set_(f"{stream}:asked", 1), latest, wait(durability.number, durability.timeout)]
            _, there, copies = await client.pipeline(asked)
            if isinstance(copies, int) and copies >= durability.number and isinstance(there, list):
                return without(there, rows)
        await asyncio.sleep(PAUSE)


def without(there: list[StreamEntry], rows: list[Row]) -> list[Row]:
    numbers = {fields[ROW.encode()].decode() for _, fields in there}
    return [row for row in rows if row[ROW] not in numbers]
