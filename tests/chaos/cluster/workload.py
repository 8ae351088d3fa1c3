"""All that a program does with a cluster, at the same time, on one runtime.

Producers that wait for a replica fill streams of many slots; the members of a group, each with a client of its own, acknowledge and
give back; a reader follows by XREAD; a subscriber hears shard channels; pipelines push numbers to lists, in order; and probes ask
for a key of each node, so that the length of an outage is known.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Final

from streamcore import ConnectionLost, GroupEntry, NotDurable, Replicas, StreamId
from streamcore.commands import rpush
from streamcore.errors import (
    ClusterDownError,
    DeliveryUnknown,
    LoadingError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    ReplyError,
    StreamResetError,
    TryAgainError,
)
from streamcore.events import SubscriptionGap
from streamcore.pubsub import Message
from streamcore.pubsub.replaced_primaries import SETTLING
from tests.chaos.notes import DONE, GAP, UNKNOWN, UNSENT, Heard, Notes, Reading, Seen
from tests.chaos.workload import BEGINNING, BREAK, POLL, SAVED_EVERY, SILENCE, Workload, saved
from tests.soak.settings import GROUP, UNTOUCHED, Settings
from tests.transports.runtimes import Runtime
from transports.anyio import Client, Producer

MEMBERS: Final = ("steady", "careful", "third")
AWAY: Final = (
    ConnectionLost,
    ClusterDownError,
    LoadingError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    TryAgainError,
)
ON_A_REPLICA: Final = Replicas(1, timeout=1.0)
PUSHED_AT_ONCE: Final = 5
PROBE_PAUSE: Final = 0.005  # seconds
NACKS: Final = 0.01
END: Final = "end"
AGAIN: Final = "the gap is told again"


@dataclass
class ClusterNotes(Notes):
    """``shards``: what was heard of each channel. ``published``: numbers of which a primary has said that it took them.

    ``lists``: what became of each number pushed to each list. ``probes``: when each probe was answered.
    """

    shards: dict[str, list[Heard]] = field(default_factory=lambda: defaultdict(list))
    published: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    lists: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    probes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    resets: int = 0
    slowest: float = 0.0  # seconds of a request


@dataclass(frozen=True)
class Names:
    """The keys of a run."""

    streams: tuple[str, ...]
    channels: tuple[str, ...]
    lists: tuple[str, ...]
    probes: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.streams, *self.channels, *self.lists, *self.probes)


def names(streams: int) -> Names:
    """So many streams, a channel, a list and a probe for each few of them."""
    others = range(max(6, streams // 8))
    return Names(
        (UNTOUCHED, *(f"stream-{number}" for number in range(1, streams))),
        tuple(f"channel-{number}" for number in others),
        tuple(f"list-{number}" for number in others),
        tuple(f"probe-{number}" for number in range(6)),
    )


class GivenUp(Exception):
    """The run is over before its end: the director has failed."""


class ClusterWorkload(Workload):
    """``entries``: what each producer sends at most; None: until ``producing`` is False."""

    notes: ClusterNotes

    def __init__(self, runtime: Runtime, url: str, settings: Settings, keys: Names, entries: int | None) -> None:
        self.notes = ClusterNotes()
        self.producing = True
        self.over = False
        self.joined = threading.Event()
        self.publishing = True
        self.silent: set[str] = set()  # channels whose end was heard
        self._runtime = runtime
        self._settings = settings
        self._numbers = itertools.count()
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._given_back: set[tuple[str, str]] = set()
        self._url = url
        self._keys = keys
        self._entries = entries

    @property
    def late(self) -> set[str]:
        """The parts that have not begun."""
        return {*MEMBERS, "reader", "subscriber", *self._keys.streams} - self._begun

    @property
    def produced(self) -> bool:
        return self._ended == set(self._keys.streams)

    @property
    def heard(self) -> bool:
        return self.silent == set(self._keys.channels)

    async def run(self) -> None:
        """Run until it is over, or a part fails."""
        async with (
            self._open(self._connect) as client,
            self._open(self._connect) as first,
            self._open(self._connect) as second,
            self._open(self._connect) as third,
            self._runtime.tasks() as tasks,
        ):
            for name, own in zip(MEMBERS, (first, second, third), strict=True):
                tasks.start(self._belong, own, name)
            tasks.start(self._follow, client)
            tasks.start(self._listen, client)
            await self._until(tasks, lambda: self.over or self._begun >= {*MEMBERS, "reader", "subscriber"})
            for stream in self._keys.streams:
                tasks.start(self._produce, client, stream)
            for channel in self._keys.channels:
                tasks.start(self._publish, client, channel)
            for key in self._keys.lists:
                tasks.start(self._push_in_order, client, key)
            for key in self._keys.probes:
                tasks.start(self._probe, client, key)
            await self._until(tasks, lambda: self.over or not self.late)
            self.joined.set()
            await self._until(tasks, lambda: self.over)
            if not self.heard:
                raise GivenUp
            await self._until(tasks, lambda: all(task.finished for task in tasks.all))

    def _connect(self) -> Client:
        return self._runtime.connect(self._url, on_event=self.notes.event, request_timeout=5.0, connect_timeout=10.0)

    # -- producers -----------------------------------------------------------------------------------------------------

    async def _produce(self, client: Client, stream: str) -> None:
        draw = self._draw(stream)
        pause = 2 * len(self._keys.streams) / self._settings.rate
        idempotent = stream == UNTOUCHED
        left = self._entries
        options: dict[str, Any] = {"idempotent": idempotent, "durability": ON_A_REPLICA}
        async with self._open(lambda: client.producer(stream, **options)) as producer:
            self._begun.add(stream)
            with suppress(NotDurable, *AWAY):  # raised again on leaving
                while self.producing and not self.over and left != 0:
                    count = draw.choice((1, 1, 2, 10)) if left is None else min(left, draw.choice((1, 1, 2, 10)))
                    if idempotent:
                        count = 1
                        await self._send_once(producer, stream)
                    else:
                        await self._send(producer, stream, count)
                    left = None if left is None else left - count
                    await self._runtime.sleep(draw.uniform(0, pause))
        self._ended.add(stream)

    async def _send(self, producer: Producer, stream: str, count: int) -> None:
        write = self.notes.sent.write
        sent = []
        for _ in range(count):
            number, fields = self._next(stream)
            sent.append((number, await producer.send_nowait(fields)))
        for number, entry in sent:
            try:
                write("I", number, await entry.wait())
            except (DeliveryUnknown, NotDurable):
                write("U", number)
            except AWAY as error:
                write("F", number, repr(error))

    async def _send_once(self, producer: Producer, stream: str) -> None:
        number, fields = self._next(stream)
        write = self.notes.sent.write
        while not self.over:
            try:
                write("I", number, await producer.send(fields, message_id=str(number)))
            except NotDurable:
                write("U", number)
                return
            except AWAY:
                await self._runtime.sleep(BREAK)
            else:
                return
        write("U", number)

    # -- consumers -----------------------------------------------------------------------------------------------------

    async def _belong(self, client: Client, name: str) -> None:
        draw = self._draw(name)
        options: dict[str, Any] = {**self._settings.group(), "group": GROUP, "fenced": name == "careful"}
        streams = self._keys.streams
        async with self._open(lambda: client.group_consumer(streams, consumer=name, **options)) as consumer:
            self._begun.add(name)
            while not self.over:
                entry = await consumer.get(timeout=POLL)
                if entry is not None:
                    self._handle(name, entry, draw)

    def _handle(self, name: str, entry: GroupEntry[bytes], draw: random.Random) -> None:
        super()._handle(name, entry, draw)

    async def _follow(self, client: Client) -> None:
        draw = self._draw("reader")
        cursor: dict[str, StreamId] = dict.fromkeys(self._keys.streams, BEGINNING)
        while not self.over:
            reading = Reading(dict(cursor))
            async with self._open(partial(client.consumer, dict(cursor), count=25, block=0.5)) as consumer:
                self.notes.readings.append(reading)
                self._begun.add("reader")
                left = draw.randrange(200, 4000)
                try:
                    while left and not self.over:
                        entry = await consumer.get(timeout=POLL)
                        if entry is not None:
                            reading.seen.append(Seen(entry.stream.decode(), str(entry.id), int(entry["n"])))
                            left -= 1
                            if left % SAVED_EVERY == 0:
                                cursor = saved(consumer)
                    if draw.random() < 0.5:
                        cursor = saved(consumer)
                except StreamResetError:  # a primary was lost, and an entry with it that no replica had
                    self.notes.resets += 1
                    cursor = dict.fromkeys(self._keys.streams, BEGINNING)

    # -- shard channels ------------------------------------------------------------------------------------------------

    async def _listen(self, client: Client) -> None:
        channels, shards = self._keys.channels, self.notes.shards
        told_at = dict.fromkeys(channels, -inf)
        async with self._open(lambda: client.sharded_pubsub(channels, max_idle_seconds=SILENCE)) as pubsub:
            self._begun.add("subscriber")
            async for item in pubsub.with_events():
                if isinstance(item, SubscriptionGap):
                    told = channels if item.names is None else [name.decode() for name in item.names]
                    for channel in told:
                        shards[channel].append(AGAIN if time.monotonic() < told_at[channel] + 2 * SETTLING else GAP)
                        told_at[channel] = time.monotonic()
                elif isinstance(item, Message):
                    channel, data = item.channel.decode(), item.data.decode()
                    if data != END:
                        shards[channel].append(int(data))
                        continue
                    self.silent.add(channel)
                    if self.heard:
                        break

    async def _publish(self, client: Client, channel: str) -> None:
        for number in itertools.count():
            if self.over or channel in self.silent:
                break
            try:
                await client.spublish(channel, str(number) if self.publishing else END)
            except AWAY:
                await self._runtime.sleep(BREAK)
            else:
                if self.publishing:
                    self.notes.published[channel].add(number)
            await self._runtime.sleep(0.02)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _push_in_order(self, client: Client, key: str) -> None:
        """Push numbers that rise; a push must not be repeated."""
        notes = self.notes.lists[key]
        for number in itertools.count(step=PUSHED_AT_ONCE):
            if self.over or not self.producing:
                break
            numbers = range(number, number + PUSHED_AT_ONCE)
            notes.update(dict.fromkeys(numbers, UNKNOWN))
            try:
                answers = await client.pipeline([rpush(key, str(each)) for each in numbers])
            except AWAY as error:
                answers = [error] * PUSHED_AT_ONCE
            for each, answer in zip(numbers, answers, strict=True):
                if isinstance(answer, ConnectionLost):
                    notes[each] = UNKNOWN if answer.sent else UNSENT
                elif isinstance(answer, AWAY):
                    notes[each] = UNSENT
                elif isinstance(answer, ReplyError):
                    raise answer
                else:
                    notes[each] = DONE
            await self._runtime.sleep(0.02)

    async def _probe(self, client: Client, key: str) -> None:
        answered = self.notes.probes[key]
        value: Callable[[], str] = itertools.count().__next__  # type: ignore[assignment]
        while not self.over:
            asked = time.monotonic()
            try:
                await client.set(key, str(value()))
            except AWAY:
                self.notes.failed[key] += 1
                await self._runtime.sleep(BREAK)
            else:
                self.notes.answered[key] += 1
                answered.append(time.monotonic())
            self.notes.slowest = max(self.notes.slowest, time.monotonic() - asked)
            await self._runtime.sleep(PROBE_PAUSE)
