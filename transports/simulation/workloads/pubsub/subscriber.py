"""A subscriber: channels, patterns and shard channels, some with handlers, subscribed to and given up as it goes.

One change
of the subscriptions is under way at a time; its wait may be cancelled.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from streamcore import PubSub, StreamcoreError
from streamcore.events import MessagesDropped, SubscriptionGap
from streamcore.pubsub import Kind

from ...world.actor import OPTIONS, Program
from .records import CHANNELS, Name, Publisher, SubscriberHabits, SubscriptionRecord

if TYPE_CHECKING:
    from streamcore.pubsub import Message, SubscriptionChange

    from ...world.driver import World
    from ...world.invariants import EventsInOrder
    from .invariants import SubscriberInvariants

PATTERNS: Final = (b"a*", b"?", b"*")
KIND_OF: Final = {"message": Kind.CHANNEL, "pmessage": Kind.PATTERN, "smessage": Kind.SHARD}
PATIENCE: Final = 1.0
"""Seconds that one waits for the end of a subscription."""


class Subscriber(Program):
    """A subscriber. ``records`` are of the names that it wants, or has wanted."""

    def __init__(
        self,
        world: World,
        number: int,
        publisher: Publisher,
        habits: SubscriberHabits,
        oracles: SubscriberInvariants,
        events: EventsInOrder,
    ) -> None:
        super().__init__(world, f"subscriber-{number}", f"listener-{number}")
        self.publisher = publisher
        self.habits = habits
        self.oracles = oracles
        self.wanted: dict[Name, bool] = {}  # with a handler?
        self.records: dict[Name, SubscriptionRecord] = {}
        self._events = events
        self._nodes: list[tuple[float, str]] = []  # of a cluster, where it hears channels and patterns, and since when
        self._change: tuple[SubscriptionChange, list[Name]] | None = None
        self._busy = False
        self._is_settled = False  # since the inbox was empty, all subscriptions are confirmed

    # -- a life -------------------------------------------------------------------------------------------------------

    def begin(self) -> PubSub[bytes]:
        engine = PubSub(
            queue_size=self.habits.queue_size,
            when_full=self.habits.when_full,
            max_idle_seconds=OPTIONS.keepalive_idle + OPTIONS.keepalive_answer,
            **self.engine_options(),
        )
        engine.on_event = lambda event: self.world.tell(self.label, f"hears of {event!r}" if self.world.tells else "")
        self._events.listen(self.label, engine)
        self.world.after(0.0, self._begin_to_want)
        return engine

    def _begin_to_want(self) -> None:
        if self.node is not None and not self.node.paused:
            self._subscribe([self._drawn() for _ in range(3)])
            self._soon()

    def _drawn(self) -> Name:
        kind = self.draw.choice([Kind.CHANNEL, Kind.CHANNEL, Kind.PATTERN, Kind.SHARD])
        return kind, self.draw.choice(PATTERNS if kind is Kind.PATTERN else CHANNELS)

    def forget(self) -> None:
        self.wanted.clear()
        self.records.clear()
        self._change = None
        self._busy = self._is_settled = False
        self._nodes.clear()

    # -- changes of mind ----------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        """SubscriptionChange its mind later, and leave it to the engine to ask for its driver."""
        node = self.node

        def act() -> None:
            if node is self.node and node is not None and not node.paused:
                self._change_mind()

        if self.world.faulty:
            self.world.after(self.draw.random(), act)

    def _change_mind(self) -> None:
        self._is_settled = False
        if self._change is None:
            if self.wanted and self.draw.random() < 0.4:
                self._unsubscribe(self.draw.choice(list(self.wanted)))
            else:
                self._subscribe([self._drawn()])
        self._soon()

    def _subscribe(self, drawn: list[Name]) -> None:
        kind = drawn[0][0]
        names = [name for name in dict.fromkeys(drawn) if name[0] is kind and name not in self.wanted]
        if names:
            handled = self.draw.random() < self.habits.handled
            handler = partial(self._call, kind) if handled else None
            self.world.tell(self.label, f"subscribes to {kind.what} {[name.decode() for _, name in names]}")
            for name in names:
                self.wanted[name] = handled
                former = self.records.get(name)
                before = frozenset[bool]() if former is None else former.before | {former.has_handler}
                self.records[name] = SubscriptionRecord(handled, Counter(self.publisher.published), before)
            change = self.engine.subscribe(kind, {name: handler for _, name in names})
            self._wait_for(change, names)

    def _unsubscribe(self, name: Name) -> None:
        kind, text = name
        self.world.tell(self.label, f"unsubscribes from {kind.what} {text.decode()}")
        del self.wanted[name]
        self._wait_for(self.engine.unsubscribe(kind, [text]), [name])

    def _wait_for(self, change: SubscriptionChange, names: list[Name]) -> None:
        self._change = change, names
        self.later(PATIENCE, partial(self._patience_ends, change))

    def _patience_ends(self, change: SubscriptionChange) -> None:
        if self._change is not None and self._change[0] is change and not change.wanted:
            self._give_up()  # the server refuses, now; what still comes reaches nobody

    def _call(self, kind: Kind, message: Message[bytes]) -> None:
        """A handler."""
        self._hear(message, kind, handled=True)

    # -- what it does -------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        node = self.node
        if node is None:
            return False
        self._note_node()
        self._take_events()
        self._follow_change()
        moved, taken = False, 0
        try:
            while not self._busy and self.node is node and (messages := self.engine.take()):
                self._take_events()  # they have stood before these messages
                taken += len(messages)
                for message in messages:
                    self._hear(message, KIND_OF[message.kind], handled=False)
                self._rest()
                moved = True
            while not self._busy and self.habits.handled and self.node is node and (calls := self.engine.take_calls()):
                self._take_events()
                for call in calls:
                    call.handler(call.argument)
                moved = True
        except StreamcoreError as error:
            self.world.violated("NoCrash", f"{self.label} was ended by {error!r}")
        self._take_events()
        if self._is_settled:  # while the server's word is due, the socket is read however full the inbox is
            self.oracles.bounded.taken(self, taken)
        self._note_confirmed()
        if not self._busy:
            self._is_settled = self._change is None and self.wanted.keys() <= self._confirmed()
        return moved

    def _note_node(self) -> None:
        for link in self.engine.links() if self.world.seeds else ():
            address = str(link.address)
            if link.name == "main" and (not self._nodes or self._nodes[-1][1] != address):
                self._nodes.append((self.world.now, address))

    def node_at(self, moment: float) -> str:
        """The address of the node whose channels and patterns it heard at a moment."""
        return next((address for since, address in reversed(self._nodes) if since <= moment), "")

    def _take_events(self) -> None:
        assert self.node is not None
        for event in self._events.take(self.node):
            if isinstance(event, SubscriptionGap):
                for (_, text), record in self.records.items():
                    if event.names is None or text in event.names:
                        record.excused = set()
            elif isinstance(event, MessagesDropped):
                for record in self.records.values():
                    record.excused = set()

    def _follow_change(self) -> None:
        if self._change is None:
            return
        change, names = self._change
        try:
            done = change.poll()
        except StreamcoreError as error:
            self.world.tell(self.label, f"is refused: {error}")
            self._give_up()
            return
        if done:
            self._change = None
            self.engine.give_up(change)
            for name in names:
                if name not in self.wanted:
                    self.records[name].ended = Counter(self.publisher.published)

    def _give_up(self) -> str:
        assert self._change is not None
        change, names = self._change
        self._change = None
        self.engine.give_up(change)
        for name in names:
            if change.wanted:
                del self.wanted[name]
        return f"its wait for {names[0][0].what} {names[0][1].decode()}"

    def _note_confirmed(self) -> None:
        """From now on each published message must come."""
        fresh = [name for name in self.wanted if self.records[name].since is None]
        if fresh and self.node is not None:
            confirmed = self._confirmed()
            for name in fresh:
                if name in confirmed:
                    self.records[name].since = Counter(self.publisher.published)

    def _confirmed(self) -> set[Name]:
        channels, patterns, shards = self.engine.subscriptions
        stand = {Kind.CHANNEL: channels, Kind.PATTERN: patterns, Kind.SHARD: shards}
        return {(kind, name) for kind, one in stand.items() for name in one.confirmed}

    def _hear(self, message: Message[bytes], kind: Kind, *, handled: bool) -> None:
        name = kind, message.channel if message.pattern is None else message.pattern
        self.world.notes["handed"] += 1
        if self.world.tells:
            self.world.tell(self.label, f"gets {message.kind} {message.channel.decode()} {message.data[:9].decode()}")
        self.oracles.silent.heard(self, name, message, handled=handled)

    def _rest(self) -> None:
        if self.world.faulty and self.draw.random() < self.habits.slow:
            self._busy = True
            self.later(0.4 * self.draw.random() ** 2, self._done)

    def _done(self) -> None:
        self._busy = False

    # -- what is done to it -------------------------------------------------------------------------------------------

    def cancel(self, lot: float) -> str | None:
        if self.node is None or self.node.paused or self._change is None:
            return None
        return self._give_up()

    def missing(self) -> str:
        if self.node is None or not self.records:
            return f"{self.name} has not started"
        if self._change is not None:
            return f"{self.label} waits for {[name[1].decode() for name in self._change[1]]}"
        left = self.wanted.keys() - self._confirmed()
        if left:
            return f"{self.label} has no {sorted(name.decode() for _, name in left)}"
        return self.oracles.silent.owed(self)
