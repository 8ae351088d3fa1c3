"""A subscriber over a network that breaks anywhere: in order, at most once, and whatever is missing was told before."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from streamcore.errors import ReplyError
from streamcore.events import MessagesDropped, SubscriptionGap
from streamcore.pubsub import Kind, Message, PubSub
from tests.core.support.subscribers import NOPERM, Broker, pushed

CHANNELS = st.sampled_from([b"a", b"a", b"b"])
BUFFER = 20  # pieces that the server keeps for us before it closes the connection


class Server(Broker):
    """Numbers the messages of each channel. What it sends lies in the socket until it is read, or gets lost."""

    def __init__(self, engine: PubSub[Any]) -> None:
        super().__init__(engine)
        self.socket: deque[bytes] = deque()
        self.published: Counter[bytes] = Counter()
        self.deaf = False  # half-open: nothing passes, and nobody says so

    def answer(self, command: list[bytes]) -> bytes:
        """The server's word; the rights to channels bar nobody's way out of them."""
        if not command[0].startswith(b"UN"):
            return super().answer(command)
        refused, self.refused = self.refused, {}
        try:
            return super().answer(command)
        finally:
            self.refused = refused

    def move(self) -> None:
        """Answer what was asked, and pass on what is read."""
        pair = self.pair
        pair.settle()
        while pair.server.commands and not self.deaf:
            self.socket.append(self.answer(pair.server.commands.popleft()))
        while self.socket and pair.server.connected and pair.server.link.wants_data:
            pair.server.reply(self.socket.popleft())
            while pair.server.commands and not self.deaf:
                self.socket.append(self.answer(pair.server.commands.popleft()))

    def send(self, channel: bytes, count: int) -> None:
        for _ in range(count):
            number, self.published[channel] = self.published[channel], self.published[channel] + 1
            if ("subscribe", channel) in self.subscribed and not self.deaf:
                self.socket.append(pushed("message", channel, str(number)))
        if len(self.socket) > BUFFER:
            self.lose()

    def lose(self) -> None:
        self.socket.clear()
        self.subscribed.clear()
        self.deaf = False
        self.pair.server.close()

    def wait(self, seconds: float) -> None:
        dials = self.pair.server.dials
        self.pair.advance(seconds)
        if self.pair.server.dials != dials:  # we have given the connection up
            self.socket.clear()
            self.subscribed.clear()
            self.deaf = False


class Machine(RuleBasedStateMachine):
    """Publishes, breaks and takes; ``excused`` are the channels of which a message may be missing before the next one."""

    options: dict[str, Any] = {}  # noqa: RUF012  # of a class that is never changed

    def __init__(self) -> None:
        super().__init__()
        self.engine: PubSub[Any] = PubSub(queue_size=5, **self.options)
        self.server = Server(self.engine)
        self.server.move()
        self.wanted: set[bytes] = set()
        self.last: dict[bytes, int] = {}
        self.excused: set[bytes] = set()
        self.joined: list[tuple[bytes, int]] = []  # where a channel was wanted anew: what was before need not have come
        self.got = self.told = 0
        for channel in (b"a", b"b"):
            self.subscribe(channel)
        self.publish_and_take(b"a", 1)

    @rule(channel=CHANNELS)
    def subscribe(self, channel: bytes) -> None:
        if channel not in self.wanted:
            self.wanted.add(channel)
            self.excused.add(channel)
            self.joined.append((channel, self.server.published[channel]))
        self.engine.keep(self.engine.subscribe(Kind.CHANNEL, {channel: None}))

    @rule(channel=CHANNELS)
    def unsubscribe(self, channel: bytes) -> None:
        self.wanted.discard(channel)
        self.excused.add(channel)
        self.engine.keep(self.engine.unsubscribe(Kind.CHANNEL, [channel]))

    @rule(channel=CHANNELS, count=st.integers(1, 8))
    def publish(self, channel: bytes, count: int) -> None:
        self.server.send(channel, count)

    @rule(channel=CHANNELS, count=st.integers(1, 3))
    def publish_and_take(self, channel: bytes, count: int) -> None:
        self.server.move()
        self.server.send(channel, count)
        self.take()

    @rule(channel=CHANNELS, count=st.integers(1, 3))
    def lose_something(self, channel: bytes, count: int) -> None:
        self.server.lose()
        self.server.send(channel, count)
        self.server.wait(6.0)
        self.publish_and_take(channel, 1)

    @rule(channel=CHANNELS)
    def publish_too_much(self, channel: bytes) -> None:
        self.server.send(channel, 8)
        self.server.move()

    @rule()
    def lose(self) -> None:
        self.server.lose()

    @rule()
    def go_deaf(self) -> None:
        self.server.deaf = True

    @rule(seconds=st.sampled_from([0.02, 0.5, 6.0, 16.0]))
    def wait(self, seconds: float) -> None:
        self.server.wait(seconds)

    @rule(refused=st.dictionaries(CHANNELS, st.just(NOPERM), max_size=1))
    def refuse(self, refused: dict[bytes, ReplyError]) -> None:
        self.server.refused = refused

    @rule()
    def take(self) -> None:
        self.server.move()
        messages = self.engine.take()
        for event in self.server.pair.events():
            if isinstance(event, MessagesDropped):
                self.told += event.messages
                self.excused.update(self.last, self.wanted)
            elif isinstance(event, SubscriptionGap):
                self.excused.update(event.names if event.names is not None else {*self.last, *self.wanted})
        for message in messages:
            self.judge(message)

    def judge(self, message: Message[bytes]) -> None:
        self.got += 1
        number, last = int(message.data), self.last.get(message.channel, -1)
        assert number > last
        joined = any(channel == message.channel and last < at <= number for channel, at in self.joined)
        assert number == last + 1 or joined or message.channel in self.excused, (
            f"{message} came after {last} without a word"
        )
        self.last[message.channel] = number
        self.excused.discard(message.channel)

    def teardown(self) -> None:
        self.server.refused = {}
        for _ in range(8):
            self.take()
            self.server.wait(4.0)
        while len(self.engine._buffer):
            self.take()
        assert self.told == self.engine.dropped
        assert self.engine.subscriptions.confirmed == self.wanted
        assert {name for _, name in self.server.subscribed} == self.wanted
        for channel in self.wanted:
            self.server.send(channel, 1)
            self.take()
            self.take()
            assert self.last[channel] == self.server.published[channel] - 1


class DropOldest(Machine):
    options = {"when_full": "drop_oldest"}  # noqa: RUF012


class DropNewest(Machine):
    options = {"when_full": "drop_newest"}  # noqa: RUF012


MANY = settings(max_examples=60, stateful_step_count=30, deadline=None)

TestBlock = Machine.TestCase
TestDropOldest = DropOldest.TestCase
TestDropNewest = DropNewest.TestCase
for machine in (Machine, DropOldest, DropNewest):
    machine.TestCase.settings = MANY
