"""Channels, with the async face: speakers that publish, and listeners that join with a history, resume, leave, and are slow.

A listener is one subscriber of a hub. Where it is in each of its channels is checked against the ``Ledger`` with each message:
what lies between two messages that it is handed must be gone from the stream, and a ``Gap`` must have told so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

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
from ...world.invariants import Oracle
from ...world.stream_log import ZERO, Id
from ..application import Faced
from ..consumer.removals import Ledger
from .strange_channel import ROOM, disturb, sit_there

if TYPE_CHECKING:
    from ...context import Scene
    from ...world.driver import World
    from ...world.invariants import EventsInOrder
    from ...world.plan import Size

PREFIX: Final = "c"
CHANNELS: Final = ("x", "y")
BUSY: Final = 0.04
"""Seconds that a slow listener takes for a message when nothing goes wrong: speakers are faster then."""


def _pair(id_: StreamId) -> Id:
    return id_.ms, id_.seq


@dataclass
class Seat:
    """Where one listener is in one channel. ``first``: nothing was handed over yet, and ``history`` of what is before may be."""

    position: Id
    before: Id = ZERO  # the end of the channel when joining began
    history: int = 0
    first: bool = True
    excused: Id = ZERO  # of another era,
    since: int = 0  # unless it was there in this one, and is still
    rewinds: int = 0  # of which nothing was heard
    passed: set[Id] = field(default_factory=set)  # gone when it was told that the channel began anew
    gaps: list[Gap] = field(default_factory=list)
    untold: list[Id] = field(default_factory=list)  # trimmed away before the last messages, and no gap has told it yet

    def resume(self, ledger: Ledger, stream: bytes, last: Id) -> None:
        """It goes on behind a message, which may be of another era."""
        self.position, self.first = last, False
        era = ledger.note(stream)
        if last not in era.names:
            self.excused, self.since = era.ended, max(0, ledger.number(stream) - 1)


class PublishedOnce(Oracle):
    """*Channels*: a message is in each of its channels once, however often its request was repeated; an id means that it is."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        super().__init__(world)
        self.ledger = ledger

    def published(self, label: str, stream: bytes, id_: StreamId, data: bytes) -> None:
        """Somebody was given the id of a message."""
        era = self.ledger.note(stream)
        if (stream, _pair(id_), data) not in self.ledger.ever and _pair(id_) > era.ended:
            self.violated(f"{label} was told that {data!r} is {id_} of {stream.decode()}, and it never was")

    def look(self) -> None:
        for stream in self.ledger.eras:
            era = self.ledger.note(stream)
            if len(set(era.names.values())) == len(era.names):
                continue
            places: dict[bytes, int] = {}
            for place, id_ in enumerate(era.ids):
                name = era.names[id_]
                if place - places.get(name, place) in range(1, self.world.notes["retention"] + 1):
                    self.violated(f"{name!r} is in {stream.decode()} more than once")
                places[name] = place

    def judge(self) -> None:
        self.look()


class NoHoleNoDuplicate(Oracle):
    """*Channels*: history, then live, with no hole and no duplicate; what was trimmed away shows as a ``Gap``.

    Before the message behind it, or at the latest behind the batch with which that has come.
    """

    def __init__(self, world: World, ledger: Ledger) -> None:
        super().__init__(world)
        self.ledger = ledger

    def handed(self, label: str, stream: bytes, seat: Seat, id_: Id, data: bytes) -> None:
        """A listener is handed a message."""
        era = self.ledger.note(stream)
        what = f"{label} is handed {id_[0]}-{id_[1]} ({data.decode()}) of {stream.decode()}"
        if (stream, id_, data) not in self.ledger.ever:
            self.violated(f"{what}, which never was")
        if seat.first and id_ <= seat.position:
            there = self.ledger.there(stream)
            old = [one for one in era.ids if id_ <= one <= seat.before and one in there]
            if len(old) > seat.history and not seat.rewinds:
                self.violated(
                    f"{what}, and asked for {seat.history} messages of history, and that is the last but {len(old) - 1}"
                )
        else:
            if id_ <= seat.position and not seat.rewinds:
                self.violated(f"{what} behind {seat.position[0]}-{seat.position[1]}")
            self._check_between(what, stream, seat, id_)
        seat.first, seat.position = False, id_

    def _check_between(self, what: str, stream: bytes, seat: Seat, id_: Id) -> None:
        era, there = self.ledger.eras[stream], self.ledger.there(stream)
        for one in era.between(seat.position, id_):
            is_over = one <= seat.excused and not self.ledger.survived(stream, one, seat.since)
            if one == id_ or one in seat.passed or is_over:
                continue
            if one in there:
                self.violated(
                    f"{what} after {seat.position[0]}-{seat.position[1]}, without {one[0]}-{one[1]} in between"
                )
            if one > seat.excused and not any(_covers(gap, one) for gap in seat.gaps):
                seat.untold.append(one)  # the proof comes with the next read

    def owed(self, stream: bytes, seat: Seat) -> Id | None:
        """What is in a channel and must still come to a listener."""
        era, there = self.ledger.note(stream), self.ledger.there(stream)
        for one in era.ids:
            is_owed = one > seat.excused or self.ledger.survived(stream, one, seat.since)
            if one > seat.position and one in there and is_owed:
                return one
        return None


def _covers(gap: Gap, id_: Id) -> bool:
    return _pair(gap.after) < id_ and (gap.before is None or id_ < _pair(gap.before))


class Speaker(Faced):
    """Publishes, in one channel or both."""

    kind: ClassVar[str] = "speaker"

    def __init__(self, world: World, name: str, judge: PublishedOnce, messages: int, seconds: float) -> None:
        super().__init__(world, name)
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
                data = b"%b:%d" % (self.name.encode(), self._left)
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


class Listeners(Faced):
    """A process with one hub, and two subscribers of it."""

    kind: ClassVar[str] = "listeners"

    def __init__(self, world: World, name: str, oracle: NoHoleNoDuplicate, events: EventsInOrder) -> None:
        super().__init__(world, name)
        self.oracle = oracle
        self.seats: dict[tuple[str, bytes], Seat] = {}
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
        self.seats.clear()
        self._ready = 0

    def rewinding(self, stream: bytes) -> None:
        """A channel is about to begin anew, or to go back."""
        for (_, key), seat in self.seats.items():
            if key == stream:
                if seat.excused == ZERO or not seat.rewinds:
                    seat.since = self.oracle.ledger.number(stream) - 1
                seat.excused = self.oracle.ledger.eras[stream].ended
                seat.rewinds += 1
                seat.untold.clear()
        self._last.clear()

    def missing(self) -> str:
        if self.process is None or self._ready < 2:  # both of them
            return f"{self.name} does not listen"
        for (who, stream), seat in self.seats.items():
            owed = self.oracle.owed(stream, seat)
            if owed is not None:
                return f"{self.label}/{who} was not handed {owed[0]}-{owed[1]} of {stream.decode()}"
            if seat.untold:
                return f"{self.label}/{who} was not told of {seat.untold} of {stream.decode()}, which was trimmed away"
        return ""

    async def live(self, process: Process) -> None:
        async with self.connect(process) as client:
            hub: Any = client.channels(
                prefix=PREFIX,
                history=1,
                retention=self.world.notes["retention"],
                queue_size=self.draw.choice([1, 2, 10, 1000]),
            )
            engine = hub._running.engine  # noqa: SLF001  # events are judged when they happen
            hub._running._journal.note = _say_nothing  # noqa: SLF001
            self._events.listen(self.label, engine)
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
            for place in [place for place in self.seats if place[0] == "second"]:
                del self.seats[place]

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
        ledger = self.oracle.ledger
        while not self.leaving:
            history = self.draw.choice([0, 1, 5, 100])
            last = self._last.get(room) if who == "first" else None
            seat = self.seats[who, stream] = Seat(ZERO, ledger.last(stream), history)
            try:
                if last is not None:
                    seat.resume(ledger, stream, _pair(last))
                    await subscriber.subscribe(room, after=last)
                else:
                    await subscriber.subscribe(room, history=history)
            except (RequestTimeout, ConnectionLost, ReplyError):
                del self.seats[who, stream]
                await process.sleep(0.05)
                continue
            except ClosedError:
                return False
            ledger.note(stream)
            if last is None:
                seat.position = ledger.last(stream)
            self.world.tell(self.label, f"{who} has joined {room} with {history if last is None else last}")
            return True
        return False

    async def _leave(self, hub: Any, subscriber: Any, who: str, room: str) -> None:
        """Leave a channel, of which much may have come that was not handed over yet."""
        await subscriber.unsubscribe(room)
        self.seats.pop((who, hub.key(room)), None)
        self.world.tell(self.label, f"{who} has left {room}")
        self._last.pop(room, None)

    def _heard(self, hub: Any, who: str, item: Any) -> None:
        if isinstance(item, Gap | StreamReset):
            self.world.tell(self.label, f"{who} hears of {item!r}" if self.world.tells else "")
            seat = self.seats.get((who, item.stream))
            if seat is not None and isinstance(item, Gap):
                seat.gaps.append(item)
                seat.untold = [one for one in seat.untold if not _covers(item, one)]
                seat.rewinds += item.before is None  # it is gone, and whatever comes is new
            elif seat is not None:
                seat.position, seat.rewinds, seat.first = ZERO, 0, False
                seat.passed = set(self.oracle.ledger.note(item.stream).ids).difference(
                    self.oracle.ledger.there(item.stream)
                )
            return
        if not hasattr(item, "data"):
            return
        stream = hub.key(item.channel)
        seat = self.seats.get((who, stream))
        if seat is None:
            self.oracle.violated(f"{self.label}/{who} is handed a message of {item.channel}, where it is not")
            return
        self.world.notes["handed"] += 1
        if self.world.tells:
            self.world.tell(self.label, f"{who} is handed {item.channel.decode()} {item.id} ({item.data.decode()})")
        self.oracle.handed(f"{self.label}/{who}", stream, seat, _pair(item.id), item.data)
        if who == "first":
            self._last[item.channel.decode()] = item.id


async def _next(items: Any) -> Any:
    return await anext(items)


def cast_audience(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Put speakers and listeners on the stage."""
    world = scene.world
    world.notes["retention"] = world.lots("cast of the audience").choice([2, 5, 20, 10_000])
    streams = [f"{PREFIX}_{channel}".encode() for channel in CHANNELS]
    scene.streams += streams
    ledger = Ledger(scene.history, streams)
    scene.removing.append(ledger.removing)
    scene.dropping.append(ledger.dropping)
    scene.rewinding.append(ledger.rewinding)
    scene.running.append(ledger.before_command)
    if world.lots("is there a strange channel").random() < 0.3:
        world.notes["strange"] = 1
        disturb(scene, f"{PREFIX}_{ROOM}".encode())
    once, holes = PublishedOnce(world, ledger), NoHoleNoDuplicate(world, ledger)
    scene.oracles += [once, holes]
    for number in range(1, size.senders + 1):
        speaker = Speaker(world, f"speaker-{number}", once, size.entries // size.senders // 2, size.seconds)
        scene.enter(speaker)
    for number in range(1, size.members):
        listeners = Listeners(world, f"listeners-{number}", holes, events)
        scene.rewinding.append(listeners.rewinding)
        scene.enter(listeners)


def _say_nothing(*_: object) -> None:
    """No log."""
