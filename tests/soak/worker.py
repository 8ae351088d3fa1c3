"""One worker: take entries of the group, write down what it was handed and what it acknowledged, until SIGTERM.

    python -m tests.soak.worker KIND NAME JOURNAL URL SETTINGS

The four kinds differ in their runtime and in how they use the consumer: *asyncio* entry by entry; *trio* batch by batch, and
fenced; *pumped* in a plain thread, where asking for the next entry acknowledges the one before; *background* with a second
thread that acknowledges. A poisonous entry kills the process that it is handed to.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from streamcore import GroupEntry

from .journal import Journal, end_with_our_parent
from .settings import POISON, STREAMS, Settings

THINKING: Final = 0.004  # seconds at most, for each entry
OPTIONS: Final[dict[str, dict[str, Any]]] = {"trio": {"fenced": True}, "pumped": {"ack": "auto", "background": False}}


class Desk:
    """Where entries are handled; writes down everything before it is done."""

    def __init__(self, kind: str, name: str, journal: Journal, url: str, settings: Settings) -> None:
        self.name = name
        self.options = OPTIONS.get(kind, {})
        self.journal = journal
        self.url = url
        self.settings = settings
        self.draw = random.Random(f"{settings.seed}-{name}-{os.getpid()}")

    def receive(self, entry: GroupEntry[bytes]) -> None:
        self.journal.write("H", entry.stream.decode(), entry.raw_id.decode(), int(entry["n"]))
        if entry.get(POISON) is not None:
            os.kill(os.getpid(), signal.SIGKILL)

    def settle(self, entry: GroupEntry[bytes]) -> None:
        where = (entry.stream.decode(), entry.raw_id.decode())
        if self.draw.random() < self.settings.nack_share:
            self.journal.write("N", *where)
            entry.nack(delay=self.draw.choice([0.0, 0.5, 2 * self.settings.claim_idle]))
        else:
            self.journal.write("A", *where)
            if "ack" not in self.options:
                entry.ack()

    @property
    def thinking(self) -> float:
        return self.draw.random() * THINKING

    def join(self, client: Any) -> Any:
        return client.group_consumer(STREAMS, consumer=self.name, **self.settings.group(), **self.options)


async def work_on_asyncio(desk: Desk) -> None:
    from transports.asyncio import connect

    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    async with connect(desk.url, on_event=desk.journal.event) as client, desk.join(client) as consumer:
        async for entry in consumer:
            desk.receive(entry)
            await asyncio.sleep(desk.thinking)
            desk.settle(entry)


def run_on_asyncio(desk: Desk) -> None:
    asyncio.run(work_on_asyncio(desk))


async def work_on_trio(desk: Desk) -> None:
    import trio

    from transports.trio import connect

    async def work() -> None:
        async with connect(desk.url, on_event=desk.journal.event) as client, desk.join(client) as consumer:
            async for batch in consumer.batches():
                for entry in batch:
                    desk.receive(entry)
                    await trio.sleep(desk.thinking)
                    desk.settle(entry)

    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            async for _ in signals:
                nursery.cancel_scope.cancel()


def run_on_trio(desk: Desk) -> None:
    import trio

    trio.run(work_on_trio, desk)


def work_pumped(desk: Desk) -> None:
    from transports.blocking import connect

    with connect(desk.url, on_event=desk.journal.event) as client, desk.join(client) as consumer:
        for entry in consumer:
            desk.receive(entry)
            time.sleep(desk.thinking)
            desk.settle(entry)


def work_in_background(desk: Desk) -> None:
    from transports.blocking import connect

    handled: queue.Queue[GroupEntry[bytes] | None] = queue.Queue()

    def settle() -> None:
        while (entry := handled.get()) is not None:
            desk.settle(entry)
            handled.task_done()

    settling = threading.Thread(target=settle, daemon=True)  # SIGTERM may come before anything is handed over
    settling.start()
    with connect(desk.url, on_event=desk.journal.event) as client, desk.join(client) as consumer:
        try:
            for entry in consumer:
                desk.receive(entry)
                time.sleep(desk.thinking)
                handled.put(entry)
                handled.join()  # what is in our hands together with a poisonous entry counts as tried, too
        finally:
            handled.put(None)
            settling.join()


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(kind: str, name: str, journal: str, url: str, settings: str) -> None:
    end_with_our_parent()
    faulthandler.register(signal.SIGUSR1)
    desk = Desk(kind, name, Journal(journal), url, Settings.from_words(settings))
    if kind in ("pumped", "background"):
        signal.signal(signal.SIGTERM, interrupt)
    runs: dict[str, Callable[[Desk], object]] = {
        "asyncio": run_on_asyncio,
        "trio": run_on_trio,
        "pumped": work_pumped,
        "background": work_in_background,
    }
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        runs[kind](desk)


if __name__ == "__main__":
    main(*sys.argv[1:])
