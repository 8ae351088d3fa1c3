"""The producer: number every entry, and write down what became of it, until SIGTERM.

    python -m tests.soak.producer JOURNAL URL SETTINGS

``S`` an entry is about to be sent, ``I`` its id came back, ``U`` nobody knows whether it is in the stream, ``F`` it is not.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from typing import Final

from streamcore.errors import DeliveryUnknown, StreamcoreError
from transports.asyncio import Producer, connect

from .journal import Journal, end_with_our_parent
from .settings import POISON, STREAMS, UNTOUCHED, Settings

TICKS: Final = 20  # in a second
FLOOD_EVERY: Final = 70  # ticks
FLOOD: Final = 400  # entries, more than the workers have room for
MAX_UNANSWERED: Final = 1000


async def produce(journal: Journal, url: str, settings: Settings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    room = asyncio.Semaphore(MAX_UNANSWERED)
    number = tick = 0

    async def send(producer: Producer, stream: str, number: int) -> None:
        fields = {b"n": number}
        if number % settings.poison_every == settings.poison_every // 3:
            fields[POISON] = 1
        journal.write("S", number, stream, int(POISON in fields))
        try:
            journal.write("I", number, await producer.send(fields))
        except DeliveryUnknown:
            journal.write("U", number)
        except StreamcoreError as error:
            journal.write("F", number, repr(error))
        finally:
            room.release()

    async with AsyncExitStack() as open_, connect(url) as client:
        producers = [
            await open_.enter_async_context(client.producer(stream, idempotent=stream == UNTOUCHED))
            for stream in STREAMS
        ]
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                tick += 1
                for _ in range(FLOOD if tick % FLOOD_EVERY == 0 else max(1, round(settings.rate / TICKS))):
                    await room.acquire()
                    tasks.create_task(send(producers[number % 3], STREAMS[number % 3], number))
                    number += 1
                await asyncio.sleep(1 / TICKS)


if __name__ == "__main__":
    end_with_our_parent()
    asyncio.run(produce(Journal(sys.argv[1]), sys.argv[2], Settings.from_words(sys.argv[3])))
