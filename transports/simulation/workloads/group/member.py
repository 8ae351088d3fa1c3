"""A member of a consumer group: reads, handles quickly or slowly, settles or refuses, leaves and comes back.

Its habits are drawn once for the role; the handling of an entry is drawn when it begins. An error of the engine ends
the process, as it would end a program, and is judged.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamcore import ConsumerFencedError, GroupBatch, GroupConsumer, GroupEntry, ReplyError, StreamcoreError, StreamId
from streamcore.errors import UNAVAILABLE
from streamcore.events import AcksConfirmed, DeadLettered, Event, Gap, OwnershipLost

from ...world.actor import OPTIONS, RECOVERY, Program
from ...world.engine_state import arrivals_of, awaits, batch_of, may_give, reader_of, row_of, watched
from ...world.stream_log import BURIED, HELD, LATER, REFUSED, STUBBORN, Key, is_poison
from .habits import Habits, Hands

if TYPE_CHECKING:
    from ...world.driver import Node, World
    from ...world.engine_state import Watch
    from ...world.invariants import EventsInOrder
    from .delivery_log import DeliveryLog
    from .invariants import GroupOracle, InOrder, LettersDeserved

CLAIM_IDLE: Final = 1.2
HOLD_SECONDS: Final = 2.2 * CLAIM_IDLE
LATER_SECONDS: Final = 2 * CLAIM_IDLE


class Member(Program):
    """A member; ``consumer`` is its name in the group."""

    def __init__(
        self, world: World, name: str, log: DeliveryLog, habits: Habits, watch: list[GroupOracle], events: EventsInOrder
    ) -> None:
        super().__init__(world, name)
        self.log = log
        self.habits = habits
        self.consumer = name.encode()
        log.members.append(self)
        self.hands = Hands()
        self.leaving_since: float | None = None
        self.is_twin = False  # started now and then, under a name that another member has
        self._watch = watch
        self._events = events
        by_name: dict[str, Any] = {one.name: one for one in watch}
        self._order: InOrder = by_name["InOrder"]
        self._letters: LettersDeserved = by_name["LettersDeserved"]

    # -- a life -------------------------------------------------------------------------------------------------------

    def begin(self) -> GroupConsumer[bytes]:
        self.log.changed()
        habits = self.habits
        engine: GroupConsumer[bytes] = GroupConsumer(
            habits.streams,
            group=self.log.group,
            consumer=self.consumer,
            **self.named_engine_options(),
            count=habits.count,
            prefetch=habits.prefetch,
            block=0.8,
            max_in_flight=habits.max_in_flight,
            max_deliveries=habits.max_deliveries,
            claim_idle=CLAIM_IDLE,
            audit_interval=1.0,
            fenced=habits.fenced,
            detect_gaps=habits.detect_gaps,
            remove_on_leaving=habits.remove_on_leaving,
            remove_idle_consumers=5.0,
            ack_delay=habits.ack_delay,
            report_acks=True,
        )
        engine.on_event = self._heard
        self._events.listen(self.label, engine)
        return engine

    def forget(self) -> None:
        self.hands = Hands(in_place=self.draw.random() < 0.5)
        self.leaving_since = None

    def come_back(self, seconds: float) -> None:
        if not self.is_twin:
            super().come_back(seconds)

    def ends(self, node: Node) -> None:
        self.log.ends(node.label, self.consumer)

    def heal(self) -> None:
        if self.is_twin:
            self.retires = True
            if not self.leave(0.0) and self.node is not None:
                self.crash(silently=False, away=0.0)
        habits = self.habits
        habits.slow = habits.very_slow = habits.refuses = habits.buries = habits.lazy = habits.by_batch = 0.0
        self.hands.resting_until = 0.0

    def may_claim(self, handed_at: float) -> bool:
        """Whether an entry that a living member was handed then may count as idle by now, because it could not be renewed."""
        return self.world.faulty or handed_at < self.world.healed_at + RECOVERY

    @property
    def holds(self) -> bool:
        """Whether the present process is at work on something that takes long."""
        return bool(self.hands.begun)

    def knows(self, stream: bytes) -> bool:
        """Whether the present process has seen the entries of a stream, and will miss any that go."""
        return self.watch(stream) is not None and not self.awaits(stream)

    def watch(self, stream: bytes) -> Watch | None:
        """What the present process knows of a stream, if it has looked."""
        return watched(self.engine, stream)

    def awaits(self, stream: bytes) -> bool:
        """Whether the present process waits for a stream that was not there, and sees nothing but entries."""
        return awaits(self.engine, stream)

    # -- what it does -------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        node, hands = self.node, self.hands
        if node is None:
            return False
        engine: GroupConsumer[bytes] = self.engine
        self._events.take(node)
        if hands.in_place and len(engine.readers) == 1:  # of several, each has an order of its own
            self._events.take_in_place(node)
        for reader, arrived in enumerate(arrivals_of(engine)):
            while hands.arrived[reader] < arrived:  # the oracles want to know when it came
                hands.arrived[reader] += 1
                hands.arrivals[reader].append(node.told_at)
        if self.leaving_since is not None:
            return self._go(engine)
        if self.world.now < hands.resting_until:
            return False
        did = False
        while len(hands.begun) < self.habits.at_once:
            if hands.batch is None:
                if not (may_give(engine) or engine.closed):
                    return did
                try:
                    hands.batch = engine.take()
                except StreamcoreError as error:
                    self._over(error)
                    return True
                if hands.batch is None:
                    return did
                did = True
                hands.at = 0
                arrivals = hands.arrivals[reader_of(engine, hands.batch.key)]
                hands.since = arrivals.popleft() if arrivals else self.world.now
                if self.draw.random() < self.habits.by_batch:
                    self._hand(hands.batch, hands.batch.raw)
                    self._handle_batch(hands.batch)
                    hands.batch = None
                    continue
            entry = hands.batch[hands.at]
            self._hand(hands.batch, hands.batch.raw[hands.at : hands.at + 1])
            hands.at += 1
            if hands.at == len(hands.batch):
                hands.batch = None
            self._begin(entry)
            did = True
            if self.draw.random() < self.habits.lazy:
                self._rest(self.draw.random() * 0.3)
                return True
        return did

    def _rest(self, seconds: float) -> None:
        self.hands.resting_until = self.world.now + seconds
        self.later(seconds, _nothing)

    def _over(self, error: StreamcoreError) -> None:
        """The engine has ended, and says why."""
        self.world.tell(self.label, f"is told: {type(error).__name__}: {error}")
        expected = isinstance(error, ConsumerFencedError) or (
            isinstance(error, ReplyError) and error.code not in UNAVAILABLE
        )
        if not expected:
            self.world.violated("NoCrash", f"{self.label} was ended by {error!r}")
        self.ended(0.3 + self.draw.random())

    def _key(self, entry: GroupEntry[bytes]) -> Key:
        row = row_of(entry)
        return Key(batch_of(entry).key, row[0], row[1][1])

    def _hand(self, batch: GroupBatch[bytes], entries: list[Any]) -> None:
        """The application is handed some entries of a batch."""
        log, stream = self.log, batch.key
        keys = [Key(stream, id_, fields[1]) for id_, fields in entries]
        for oracle in self._watch:
            oracle.handed(self, batch, entries, keys)
        era = log.resets.get(stream, 0)
        for key in keys:
            fate = log.fate(key)
            if fate.times and fate.holder != self.label:
                fate.doubts += 1
                fate.earlier = 0
            elif fate.acked and not fate.settled and fate.era != era:
                fate.earlier += 1
            log.handed += 1
            log.again += bool(fate.times)
            fate.times += 1
            log.tenures.handed(key, self.label)
            fate.holder, fate.at, fate.era = self.label, self.world.now, era
            fate.deliveries = batch.deliveries
            fate.settled, fate.refused, fate.passed = 0.0, False, False
            fate.since = self.delivered_at(key, batch.deliveries)
            log.asked.pop((self.consumer, stream, bytes(StreamId.parse(key.id).before())), None)
            fate.excused = (stream, key.id) in self.hands.lost or self._was_robbed(key)
        if self.world.tells:
            ids = " ".join(f"{key.id.decode()} ({key.name.decode()})" for key in keys)
            self.world.tell(self.label, f"is handed {stream.decode()} {ids}, delivery {batch.deliveries}")

    def delivered_at(self, key: Key, deliveries: int) -> float:
        """When the server has read the entries that are handed over now: an entry that comes again is read by itself, and may wait for others."""
        behind = bytes(StreamId.parse(key.id).before())
        asked = self.log.asked.get((self.consumer, key.stream, behind), self.hands.since)
        return min(asked, self.hands.since) if deliveries > 1 else self.hands.since

    def _was_robbed(self, key: Key) -> bool:
        """Whether another consumer has it by now, which this process does not know yet."""
        group = self.log.of(key.stream)
        delivery = None if group is None else group.pending.get(key.number)
        return delivery is not None and delivery.consumer != self.consumer

    def _handle_batch(self, batch: GroupBatch[bytes]) -> None:
        """The fast lane: all at once; some may be refused."""
        for entry in batch:
            key = self._key(entry)
            if is_poison(key.name) or self.draw.random() < self.habits.refuses:
                self._settle(entry, key)
        for entry in batch:
            key = self._key(entry)
            fate = self.log.fate(key)
            if not fate.refused:
                fate.acked = True
                entry.ack()

    def _begin(self, entry: GroupEntry[bytes]) -> None:
        key, lot, habits = self._key(entry), self.draw.random(), self.habits
        if key.name.startswith({1: HELD, 2: STUBBORN}.get(self.log.fate(key).times, b"-")):
            seconds = HOLD_SECONDS
        elif lot < habits.very_slow:
            seconds = 2 * CLAIM_IDLE * self.draw.random()
        elif lot < habits.very_slow + habits.slow:
            seconds = 0.15 * self.draw.random()
        else:
            self._settle(entry, key)
            return
        handling = (key, entry)
        self.hands.begun.append(handling)
        self.later(seconds, partial(self._finish, handling))

    def _finish(self, handling: tuple[Key, GroupEntry[bytes]]) -> None:
        if handling in self.hands.begun:  # else it was cancelled
            self.hands.begun.remove(handling)
            if self.leaving_since is None:
                self._settle(handling[1], handling[0])

    def _settle(self, entry: GroupEntry[bytes], key: Key) -> None:
        """The handler has done with it, or has failed."""
        draw, habits, fate = self.draw, self.habits, self.log.fate(key)
        fails = is_poison(key.name) and (habits.max_deliveries is not None or fate.times < 3)
        if key.name.startswith((LATER, REFUSED, STUBBORN)) and fate.times == 1:
            fate.excused = fate.refused = True
            fate.nacked_at = self.world.now
            entry.nack(LATER_SECONDS if key.name.startswith(LATER) else 0.0)
        elif key.name.startswith(BURIED):
            fate.buried = True
            entry.dead_letter("calm-unwanted")
        elif fails or draw.random() < habits.refuses:
            delay = draw.choice([0.0, 0.0, 0.1, 2 * CLAIM_IDLE]) if self.world.faulty else 0.0
            fate.excused = fate.refused = True
            self.world.tell(self.label, f"refuses {key.name.decode()} for {delay:g} s")
            entry.nack(delay)
        elif draw.random() < habits.buries:
            fate.buried = fate.refused = True
            self.world.tell(self.label, f"buries {key.name.decode()}")
            entry.dead_letter("unwanted")
        else:
            fate.acked = True
            if self.world.tells:
                self.world.tell(self.label, f"acknowledges {key.name.decode()}")
            entry.ack()

    # -- what is done to it -------------------------------------------------------------------------------------------

    def cancel(self, lot: float) -> str | None:
        """A wait for a batch, a handler, or the leaving."""
        node, hands = self.node, self.hands
        if node is None or node.paused:
            return None
        engine: GroupConsumer[bytes] = self.engine
        if self.leaving_since is not None:
            self._close(engine)
            return "while it left"
        if hands.begun:
            key, entry = hands.begun.pop(int(lot * len(hands.begun)))
            if hands.batch is not None:
                hands.arrivals[reader_of(engine, hands.batch.key)].appendleft(hands.since)
                engine.put_back(engine.split(hands.batch, hands.at))
                hands.batch = None
            self.log.fate(key).excused = True
            entry.nack()
            self._rest(0.05 * lot)
            return f"its handler of {key.name.decode()}"
        self._rest(0.2 * lot)
        return "its wait for a batch"

    def leave(self, lot: float) -> bool:
        node, hands = self.node, self.hands
        if node is None or node.paused or self.leaving_since is not None:
            return False
        self.leaving_since = self.world.now
        self.world.tell(self.label, "leaves")
        engine: GroupConsumer[bytes] = self.engine
        begun, at, hands.batch = hands.batch, hands.at, None
        for key, _ in hands.begun:
            self.log.fate(key).excused = True
        engine.leave(begun, at)
        self.later(OPTIONS.request_timeout, _nothing)
        return True

    def _go(self, engine: GroupConsumer[bytes]) -> bool:
        assert self.leaving_since is not None
        if engine.settled or engine.closed or self.world.now >= self.leaving_since + OPTIONS.request_timeout:
            self._close(engine)
            return True
        return False

    def _close(self, engine: GroupConsumer[bytes]) -> None:
        engine.give_up_settling()
        engine.close()
        self.ended(0.1 + 0.5 * self.draw.random())

    def missing(self) -> str:
        node = self.node
        if node is None:
            return "" if self.is_twin else f"{self.name} has not started"
        engine: GroupConsumer[bytes] = self.engine
        if not engine.is_ready or self.hands.begun or not engine.settled:
            return f"{self.label} has not settled what it holds"
        return ""

    # -- what it hears ------------------------------------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
        log = self.log
        self._order.heard(self.label, event)
        if isinstance(event, AcksConfirmed):
            for _, fate in log.named(event.stream, event.ids):
                if fate.holder == self.label and fate.earlier:
                    fate.earlier -= 1
                elif fate.holder == self.label:
                    fate.settled = self.world.now
        elif isinstance(event, OwnershipLost):
            log.excuse(event.stream, event.ids)
            self.hands.lost.update((event.stream, id_) for id_ in event.ids)
        elif isinstance(event, DeadLettered):
            self._letters.heard(self, event)
        elif isinstance(event, Gap):
            log.hears(self.label, event)
        if self.world.tells:
            self.world.tell(self.label, f"hears of {event!r}")


def _nothing() -> None:
    """It is looked at afterwards."""
