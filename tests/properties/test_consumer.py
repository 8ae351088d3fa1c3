"""Following streams without a group, over a network that breaks: each entry once, in order, and a cursor to go on from."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from streamcore.consumer.consumer import Consumer
from streamcore.consumer.start import Starts
from streamcore.entries import StreamId
from streamcore.testing.net import Fate, Net
from tests.core.support.server import Server


class ConsumerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.number = 0
        self.expected: dict[bytes, list[StreamId]] = {b"all": [], b"new": []}
        self.taken: dict[bytes, list[StreamId]] = {b"all": [], b"new": []}
        for stream in ("all", "new"):
            self.append(stream, 3)
        self.expected[b"new"] = []  # it starts at "$"
        self.start({"all": "0", "new": "$"})

    def start(self, streams: Starts) -> None:
        self.consumer = Consumer(streams, count=3, block=1.0, prefetch=2, random=lambda: 0.5)
        self.net = Net(self.server, self.consumer)

    def append(self, stream: str, entries: int) -> None:
        for _ in range(entries):
            self.number += 1
            self.server.add(stream, f"{self.number}-0")
            self.expected[stream.encode()].append(StreamId(self.number))

    @rule(stream=st.sampled_from(["all", "new"]), entries=st.integers(1, 8))
    def add(self, stream: str, entries: int) -> None:
        self.append(stream, entries)
        self.net.serve()

    @rule(fate=st.sampled_from(Fate), after=st.integers(0, 5))
    def cut(self, fate: Fate, after: int) -> None:
        self.net.cut("main", fate, after=after)

    @rule(seconds=st.sampled_from([0.02, 0.5, 6.0]))
    def wait(self, seconds: float) -> None:
        self.net.advance(seconds)

    @rule(error=st.none() | st.just("LOADING wait"))
    def become_unavailable(self, error: str | None) -> None:
        self.server.faults.unavailable = error

    @rule()
    def take(self) -> None:
        batch = self.consumer.take()
        if batch is not None:
            self.taken[batch.stream] += [entry.id for entry in batch]
            assert self.consumer.cursor()[batch.stream] == self.taken[batch.stream][-1]

    @rule()
    def go_on_in_another_process(self) -> None:
        if self.consumer.is_ready:
            self.consumer.close()
            self.start(self.consumer.cursor())

    def teardown(self) -> None:
        self.server.faults.unavailable = None
        for _ in range(5):
            self.net.advance(6.0)
            while self.consumer.has_batch:
                self.take()
                self.net.serve()
        assert self.taken == self.expected


ConsumerMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestConsumer = ConsumerMachine.TestCase
