"""Publishers of channels, and subscribers that join with a history, resume, leave, and are slow; with the async face."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamcore import (
    ClosedError,
    ConnectionLost,
    ReplyError,
    RequestTimeout,
    StreamcoreError,
    StreamId,
    WrongTypeError,
)
from streamcore.events import Gap, StreamReset

from ...world.async_runtime import Process, Task
from ...world.engine_state import engine_of, silence
from ...world.stream_log import ZERO
from ..application import Faced
from .invariants import Membership, NoHoleNoDuplicate, PublishedOnce, covers, pair
from .strange_channel import sit_there

if TYPE_CHECKING:
    from ...world.driver import World
    from ...world.invariants import EventsInOrder

PREFIX: Final = "c"
BUSY: Final = 0.04
"""Seconds that a slow subscriber takes for a message when nothing goes wrong: publishers are faster then."""


class ChannelPublisher(Faced):
    """Publishes, in a channel or both."""

    def __init__(self, world: World, number: int, judge: PublishedOnce, messages: int, seconds: float) -> None:
        super().__init__(world, f"publisher-{number}", f"speaker-{number}")
        self._judge = judge
        self._left = messages
        self._pace = 2 * seconds / messages

    def expects(self, error: StreamcoreError) -> bool:
        return isinstance(error, ConnectionLost | ReplyError)

    def missing(self) -> str:
        return f"{self.name} has {self._left} messages to publish" if self._left else ""

    async def live(self, process: Process) -> None:
        async with self.connect(process) as client:
            channels: Any = client.channels(prefix=PREFIX, history=1, retention=self.world.notes["retention"])
            while self._left and not self.leaving:
                self._left -= 1
                data = b"%b:%d" % (self.seeded_as.encode(), self._left)
                rooms = self.draw.choice([["x"], ["y"], ["x", "y"]])
                try:
                    ids = await self.interruptibly(process, partial(channels.publish, data, rooms), fuse=self.fuse())
                except (ConnectionLost, ReplyError) as error:
                    self.world.tell(self.label, f"is told of {data.decode()}: {type(error).__name__}: {error}")
                else:
                    for room, id_ in zip(rooms, ids or (), strict=False):
                        self.world.tell(self.label, f"has published {data.decode()} in {room} as {id_}")
                        self._judge.published(self.label, channels.key(room), id_, data)
                await process.sleep(self._pace * self.draw.random() if self.world.faulty else 0.01)
            while not self.leaving:
                await process.sleep(0.5)


class ChannelSubscribers(Faced):
    """A process with a hub, and two subscribers of it."""

    def __init__(self, world: World, number: int, oracle: NoHoleNoDuplicate, events: EventsInOrder) -> None:
        super().__init__(world, f"subscribers-{number}", f"listeners-{number}")
        self.oracle = oracle
        self.memberships: dict[tuple[str, bytes], Membership] = {}
        self._events = events
        self._last: dict[str, StreamId] = {}  # what the first one has seen, kept somewhere safe
        self._ready = 0
        self._hub: Any = None

    def expects(self, error: StreamcoreError) -> bool:
        if isinstance(error, WrongTypeError):  # of the strange channel, where it has not ended up here
            self.world.violated("OneBadChannel", f"{self.label} was ended by another channel's key: {error}")
        return isinstance(error, ConnectionLost | ReplyError)

    def ask_to_leave(self, main: Task, lot: float) -> None:
        if self._hub is None or self.process is None or lot > 0.5:
            main.cancel()
        else:
            self.process.start(self._hub.aclose)

    def forget(self) -> None:
        self._hub = None
        self.memberships.clear()
        self._ready = 0

    def rewinding(self, stream: bytes) -> None:
        """A channel is about to begin anew, or to go back."""
        for (_, key), membership in self.memberships.items():
            if key == stream:
                if membership.excused == ZERO or not membership.rewinds:
                    membership.since = self.oracle.id_log.number(stream) - 1
                membership.excused = self.oracle.id_log.eras[stream].ended
                membership.rewinds += 1
                membership.untold.clear()
        self._last.clear()

    def missing(self) -> str:
        if self.process is None or self._ready < 2:  # both of them
            return f"{self.name} does not listen"
        for (who, stream), membership in self.memberships.items():
            owed = self.oracle.owed(stream, membership)
            if owed is not None:
                return f"{self.label}/{who} was not handed {owed[0]}-{owed[1]} of {stream.decode()}"
            if membership.untold:
                return f"{self.label}/{who} was not told of {membership.untold} of {stream.decode()}, which was trimmed away"
        return ""

    async def live(self, process: Process) -> None:
        async with self.connect(process) as client:
            hub: Any = client.channels(
                prefix=PREFIX,
                history=1,
                retention=self.world.notes["retention"],
                queue_size=self.draw.choice([1, 2, 10, 1000]),
            )
            silence(hub)
            self._events.listen(self.label, engine_of(hub))
            async with hub:
                self._hub = hub
                first = partial(self._listen, process, hub, hub, "first")
                works = [first, partial(self._second, process, hub)]
                if self.world.notes["strange"]:
                    works.append(partial(sit_there, self, process, hub))
                await self.all_of(process, *works)

    async def _second(self, process: Process, hub: Any) -> None:
        """Comes and goes."""
        while not self.leaving:
            async with hub.subscriber() as subscriber:
                await self._listen(process, hub, subscriber, "second")
            for place in [place for place in self.memberships if place[0] == "second"]:
                del self.memberships[place]

    async def _listen(self, process: Process, hub: Any, subscriber: Any, who: str) -> None:
        lots = self.draw
        slow = lots.choice([0.0, 0.0, 0.1, 1.0])
        wanted = lots.choice([["x"], ["y"], ["x", "y"], ["x", "y"]])
        for room in wanted:
            if not await self._join(process, hub, subscriber, who, room):
                return
        self._ready += 1
        items = aiter(subscriber.with_events())
        left = ""
        until = self.world.now + (3.0 * lots.random() if who == "second" else 1e9)
        try:
            while not self.leaving and (self.world.now < until or not self.world.faulty):
                task = process.start(partial(_next, items), self.fuse() or (30 if self.world.faulty else None))
                try:
                    item = await process.join(task)
                except BaseException:
                    if not task.cancelled or self.main is None or self.main.cancelled:
                        raise
                    self.world.fault("cancelled wait", f"{self.label}/{who} is cancelled in its wait for a message")
                    continue
                self._heard(hub, who, item)
                if left and lots.random() < 0.3:
                    await self._join(process, hub, subscriber, who, left)
                    left = ""
                elif not left and len(wanted) > 1 and lots.random() < 0.05:
                    left = lots.choice(wanted)
                    await self._leave(hub, subscriber, who, left)
                if slow:
                    await process.sleep((slow if self.world.faulty else BUSY) * lots.random())
        except ClosedError:
            if not self.leaving:
                raise
        finally:
            self._ready -= 1

    async def _join(self, process: Process, hub: Any, subscriber: Any, who: str, room: str) -> bool:
        """Subscribe to a channel, again until it works; False: it is time to leave."""
        stream: bytes = hub.key(room)
        id_log = self.oracle.id_log
        while not self.leaving:
            history = self.draw.choice([0, 1, 5, 100])
            last = self._last.get(room) if who == "first" else None
            membership = self.memberships[who, stream] = Membership(ZERO, id_log.last(stream), history)
            try:
                if last is not None:
                    membership.resume(id_log, stream, pair(last))
                    await subscriber.subscribe(room, after=last)
                else:
                    await subscriber.subscribe(room, history=history)
            except (RequestTimeout, ConnectionLost, ReplyError):
                del self.memberships[who, stream]
                await process.sleep(0.05)
                continue
            except ClosedError:
                return False
            id_log.note(stream)
            if last is None:
                membership.position = id_log.last(stream)
            self.world.tell(self.label, f"{who} has joined {room} with {history if last is None else last}")
            return True
        return False

    async def _leave(self, hub: Any, subscriber: Any, who: str, room: str) -> None:
        """Leave a channel, of which much may have come that was not handed over yet."""
        await subscriber.unsubscribe(room)
        self.memberships.pop((who, hub.key(room)), None)
        self.world.tell(self.label, f"{who} has left {room}")
        self._last.pop(room, None)

    def _heard(self, hub: Any, who: str, item: Any) -> None:
        if isinstance(item, Gap | StreamReset):
            self.world.tell(self.label, f"{who} hears of {item!r}" if self.world.tells else "")
            membership = self.memberships.get((who, item.stream))
            if membership is not None and isinstance(item, Gap):
                membership.gaps.append(item)
                membership.untold = [one for one in membership.untold if not covers(item, one)]
                membership.rewinds += item.before is None  # it is gone, and whatever comes is new
            elif membership is not None:
                membership.position, membership.rewinds, membership.first = ZERO, 0, False
                membership.passed = set(self.oracle.id_log.note(item.stream).ids).difference(
                    self.oracle.id_log.there(item.stream)
                )
            return
        if not hasattr(item, "data"):
            return
        stream = hub.key(item.channel)
        membership = self.memberships.get((who, stream))
        if membership is None:
            self.oracle.violated(f"{self.label}/{who} is handed a message of {item.channel}, where it is not")
            return
        self.world.notes["handed"] += 1
        if self.world.tells:
            self.world.tell(self.label, f"{who} is handed {item.channel.decode()} {item.id} ({item.data.decode()})")
        self.oracle.handed(f"{self.label}/{who}", stream, membership, pair(item.id), item.data)
        if who == "first":
            self._last[item.channel.decode()] = item.id


async def _next(items: Any) -> Any:
    return await anext(items)
