"""The clients in our own process, on one runtime: all that a program does with streamcore, at the same time.

Producers (one of them idempotent) fill the soak's streams; two members of its group acknowledge, give back, and fail on what
is poisonous; a reader follows by XREAD, saves its cursor and begins anew from it, as after a crash; a subscriber counts; and
requests carry nonces. Everything goes through one client and the faulty network. Nobody gives up because of an error that
the contract names, and nobody survives another one.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from streamcore import ConnectionLost, GroupEntry, StreamId
from streamcore.errors import DeliveryUnknown, LoadingError, ReadOnlyError
from streamcore.events import SubscriptionGap
from streamcore.pubsub import Message
from tests.soak.settings import POISON, STREAMS, UNTOUCHED, Settings
from tests.transports.runtimes import Runtime, Tasks
from transports.anyio import Client, Consumer, Producer

from .notes import DONE, GAP, UNKNOWN, UNSENT, Notes, Reading, Seen
from .publisher import END, NOISE, NUMBERS
from .stage import Stage

BEGINNING: Final = StreamId(0, 0)
MEMBERS: Final = ("steady", "careful")
PUSHED: Final = "pushed"
UNAVAILABLE: Final = (ConnectionLost, LoadingError, ReadOnlyError)
BURSTS: Final = (1, 1, 2, 25)  # entries
NACKS: Final = 0.01
POLL: Final = 0.2  # seconds after which everybody looks whether it is over
BREAK: Final = 0.05  # seconds before it is tried again
TIMEOUT: Final = 2.0
SILENCE: Final = 3.0  # seconds after which a subscriber has found a dead link
SAVED_EVERY: Final = 20  # entries
LIMIT: Final = 900.0  # seconds, for everything


class Openable(Protocol):
    async def __aenter__(self) -> Any: ...
    async def aclose(self) -> None: ...


T = TypeVar("T", bound=Openable)


class Workload:
    """``producing`` and ``over`` are set by another thread; the notes are read there."""

    def __init__(self, runtime: Runtime, stage: Stage, settings: Settings) -> None:
        self.notes = Notes()
        self.producing = True
        self.over = False
        self.joined = threading.Event()  # everybody has begun
        self.heard_the_end = False
        self._runtime = runtime
        self._stage = stage
        self._settings = settings
        self._numbers: Iterator[int] = itertools.count()
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._given_back: set[tuple[str, str]] = set()

    @property
    def produced(self) -> bool:
        """Whether every producer has ended."""
        return self._ended == set(STREAMS)

    @property
    def read(self) -> int:
        """How many different entries the reader has seen."""
        return len({(one.stream, one.id) for reading in list(self.notes.readings) for one in list(reading.seen)})

    async def run(self) -> None:
        """Until it is over, or somebody fails."""
        runtime, stage = self._runtime, self._stage

        def connect() -> Client:
            return runtime.connect(
                stage.front.url,
                on_event=self.notes.event,
                request_timeout=TIMEOUT,
                connect_timeout=TIMEOUT,
                tls=stage.context(),
            )

        async with self._open(connect) as client, runtime.tasks() as tasks:
            for stream in STREAMS:
                tasks.start(self._produce, client, stream)
            for name in MEMBERS:
                tasks.start(self._belong, client, name)
            tasks.start(self._follow, client)
            tasks.start(self._listen, client)
            tasks.start(self._push, client)
            for label in "ab":
                tasks.start(self._ask, client, label)
            await self._until(tasks, lambda: len(self._begun) == len(STREAMS) + len(MEMBERS) + 2)
            self.joined.set()
            await self._until(tasks, lambda: self.over)
            await self._until(tasks, lambda: all(task.finished for task in tasks.all))

    async def _until(self, tasks: Tasks, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            tasks.check()
            assert time.monotonic() < deadline, "it did not happen in time"
            await self._runtime.sleep(0.02)

    @asynccontextmanager
    async def _open(self, create: Callable[[], T]) -> AsyncIterator[T]:
        """Enter something, which may take several attempts while everything breaks."""
        while True:
            opened = create()
            try:
                await opened.__aenter__()
            except UNAVAILABLE:
                await self._runtime.sleep(BREAK)
            else:
                break
        try:
            yield opened
        finally:
            await opened.aclose()

    def _draw(self, who: str) -> random.Random:
        return random.Random(f"{self._settings.seed}-{who}")

    # -- producers ---------------------------------------------------------------------------------------------------

    async def _produce(self, client: Client, stream: str) -> None:
        draw = self._draw(stream)
        pause = 2 * len(STREAMS) / self._settings.rate
        idempotent = stream == UNTOUCHED
        async with self._open(lambda: client.producer(stream, idempotent=idempotent)) as producer:
            self._begun.add(stream)
            while self.producing and not self.over:
                if idempotent:
                    await self._send_once(producer, stream)
                else:
                    await self._send(producer, stream, draw.choice(BURSTS))
                await self._runtime.sleep(draw.uniform(0, pause))
        self._ended.add(stream)

    def _next(self, stream: str) -> tuple[int, dict[str | bytes, int]]:
        number = next(self._numbers)
        fields: dict[str | bytes, int] = {b"n": number}
        every = self._settings.poison_every
        if number % every == every // 3:
            fields[POISON] = 1
        self.notes.sent.write("S", number, stream, int(POISON in fields))
        return number, fields

    async def _send(self, producer: Producer, stream: str, count: int) -> None:
        """Some at once, without waiting in between."""
        write = self.notes.sent.write
        sent = []
        for _ in range(count):
            number, fields = self._next(stream)
            sent.append((number, await producer.send_nowait(fields)))
        for number, entry in sent:
            try:
                write("I", number, await entry.wait())
            except DeliveryUnknown:
                write("U", number)
            except UNAVAILABLE as error:
                write("F", number, repr(error))

    async def _send_once(self, producer: Producer, stream: str) -> None:
        """Until the id is known: repeating must not append it twice."""
        number, fields = self._next(stream)
        write = self.notes.sent.write
        while not self.over:
            try:
                write("I", number, await producer.send(fields, message_id=str(number)))
            except UNAVAILABLE:
                await self._runtime.sleep(BREAK)
            else:
                return
        write("U", number)

    # -- consumers ---------------------------------------------------------------------------------------------------

    async def _belong(self, client: Client, name: str) -> None:
        """A member of the group. One of them fences its acknowledgements."""
        draw = self._draw(name)
        options: dict[str, Any] = {**self._settings.group(), "fenced": name == "careful"}
        async with self._open(lambda: client.group_consumer(STREAMS, consumer=name, **options)) as consumer:
            self._begun.add(name)
            while not self.over:
                entry = await consumer.get(timeout=POLL)
                if entry is not None:
                    self._handle(name, entry, draw)

    def _handle(self, name: str, entry: GroupEntry[bytes], draw: random.Random) -> None:
        write = self.notes.handled[name].write
        where = (entry.stream.decode(), entry.raw_id.decode())
        write("H", *where, int(entry["n"]))
        poisonous = entry.get(POISON) is not None
        # A healthy one is given back once at most, so that it never deserves to be a dead letter.
        if poisonous or (draw.random() < NACKS and where not in self._given_back):
            self._given_back.add(where)
            write("N", *where)
            entry.nack(delay=0.0 if poisonous else draw.choice([0.0, 0.3]))
        else:
            write("A", *where)
            entry.ack()

    async def _follow(self, client: Client) -> None:
        """A reader that dies and comes back, again and again; half of its deaths are sudden."""
        draw = self._draw("reader")
        cursor: dict[str, StreamId] = dict.fromkeys(STREAMS, BEGINNING)
        while not self.over:
            reading = Reading(dict(cursor))
            async with self._open(partial(client.consumer, dict(cursor), count=25, block=0.5)) as consumer:
                self.notes.readings.append(reading)
                self._begun.add("reader")
                left = draw.randrange(20, 400)
                while left and not self.over:
                    entry = await consumer.get(timeout=POLL)
                    if entry is not None:
                        reading.seen.append(Seen(entry.stream.decode(), str(entry.id), int(entry["n"])))
                        left -= 1
                        if left % SAVED_EVERY == 0:
                            cursor = saved(consumer)
                if draw.random() < 0.5:
                    cursor = saved(consumer)

    async def _listen(self, client: Client) -> None:
        heard = self.notes.heard
        async with self._open(lambda: client.pubsub([NUMBERS, NOISE], max_idle_seconds=SILENCE)) as pubsub:
            self._begun.add("subscriber")
            async for item in pubsub.with_events():
                if isinstance(item, SubscriptionGap):
                    heard.append(GAP)
                elif isinstance(item, Message) and item.channel == NUMBERS.encode():
                    if (number := int(item.data)) == END:
                        break
                    heard.append(number)
        self.heard_the_end = True

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _ask(self, client: Client, label: str) -> None:
        notes, draw = self.notes, self._draw(label)
        while not self.over:
            nonce = f"{label}-{draw.getrandbits(64):x}"
            try:
                reply = await client.echo(nonce)
            except UNAVAILABLE:
                notes.failed[label] += 1
                await self._runtime.sleep(BREAK)
            else:
                notes.answered[label] += 1
                if reply != nonce.encode():
                    notes.foreign.append(f"{reply!r} for {nonce}")
            await self._runtime.sleep(draw.uniform(0, 0.01))

    async def _push(self, client: Client) -> None:
        """What must not be repeated."""
        pushed = self.notes.pushed
        for number in itertools.count():
            if self.over:
                break
            value = str(number)
            pushed[value] = UNKNOWN
            try:
                await client.rpush(PUSHED, value)
            except ConnectionLost as error:
                pushed[value] = UNKNOWN if error.sent else UNSENT
            except (LoadingError, ReadOnlyError):
                pushed[value] = UNSENT
            else:
                pushed[value] = DONE
            await self._runtime.sleep(0.01)


def saved(consumer: Consumer[bytes]) -> dict[str, StreamId]:
    return {stream.decode(): id_ for stream, id_ in consumer.cursor().items()}
