"""The producer's side: append every row once, although the server may be killed at any moment.

XADD must not be repeated blindly: when its reply is lost, only the server knows whether the entry is in the stream.
So each entry carries the number of its row, and after every loss the stream is asked for the number of its last entry.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import ceil, inf
from time import monotonic
from typing import Final

from streamcore import ConnectionLost
from streamcore.errors import LoadingError
from transports.asyncio import Client

from .progress import Progress, Say, until
from .source import Row

ROW: Final = "#row"
MAX_CHUNK: Final = 1000
CHUNKS_PER_SECOND: Final = 20


async def replay(client: Client, stream: str, rows: list[Row], progress: Progress, say: Say, *, seconds: float) -> None:
    """Append all rows, over about ``seconds`` seconds; 0 = as fast as the server takes them."""
    size = min(ceil(len(rows) / seconds / CHUNKS_PER_SECOND), MAX_CHUNK) if seconds else MAX_CHUNK
    began = monotonic()
    async with client.producer(stream) as producer:
        while (at := progress.sent) < len(rows):
            await asyncio.sleep(began + at / len(rows) * seconds - monotonic())
            await until(lambda: not progress.held_back, inf, str)
            chunk = [{ROW: str(number), **row} for number, row in enumerate(rows[at : at + size], at)]
            progress.sending = len(chunk)
            try:
                await producer.send_many(chunk)
                progress.sent = at + len(chunk)
            except (ConnectionLost, LoadingError):  # none, some or all of the chunk is in the stream
                progress.sent = await rows_in(client, stream)
                arrived = progress.sent - at
                say(f"of {len(chunk):,} entries on their way {arrived:,} had arrived; the replay goes on behind them")
            progress.sending = 0


async def rows_in(client: Client, stream: str) -> int:
    """How many rows the stream has, as its last entry tells."""
    while True:
        with suppress(ConnectionLost, LoadingError):
            last = await client.xrevrange(stream, count=1)
            return int(last[0][1][ROW.encode()]) + 1 if last else 0
