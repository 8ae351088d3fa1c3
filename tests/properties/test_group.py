"""A consumer group against a model server, a network that breaks, and an application that acknowledges in its own time.

Whatever happens, and in whatever order: in the end every entry was handed over (once, where the group itself was not
destroyed), none was invented, and nothing is left pending.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamcore.entries import GroupBatch, StreamId
from streamcore.errors import LoadingError, ReadOnlyError
from streamcore.events import AckMissed
from streamcore.group import GroupConsumer
from tests.core.model import ZERO, Group, Server
from tests.core.net import Fate, Net

STREAMS = ("s", "t")
MAX_IN_FLIGHT = 20
COUNT = 3


class GroupMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.consumer = GroupConsumer(
            STREAMS,
            group="g",
            consumer="c",
            count=COUNT,
            block=1.0,
            max_in_flight=MAX_IN_FLIGHT,
            claim_idle=30.0,
            random=lambda: 0.5,
        )
        self.net = Net(self.server, self.consumer)
        self.net.advance(0.1)
        self.number = 0
        self.added: set[tuple[str, str]] = set()
        self.deleted: set[tuple[str, str]] = set()
        self.claimed: set[tuple[str, str]] = (
            set()
        )  # from us, by a consumer that died: they come back, to us again perhaps
        self.handed: Counter[tuple[str, str]] = Counter()
        self.held: list[GroupBatch[bytes]] = []
        self.robbed = False
        self.destroyed = False

    # -- what others do -----------------------------------------------------------------------------------------------

    @rule(stream=st.sampled_from(STREAMS), entries=st.integers(1, 8))
    def add(self, stream: str, entries: int) -> None:
        for _ in range(entries):
            self.number += 1
            self.added.add((stream, f"{self.number}-0"))
            self.server.add(stream, f"{self.number}-0", of=f"{stream} {self.number}-0")

    @rule(stream=st.sampled_from(STREAMS))
    def another_consumer_reads_and_dies(self, stream: str) -> None:
        self.server.do("XREADGROUP", "GROUP", "g", "other", "COUNT", 2, "STREAMS", stream, ">")

    @rule(stream=st.sampled_from(STREAMS))
    def another_consumer_claims_from_us_and_dies(self, stream: str) -> None:
        mine = self.server.do("XPENDING", stream, "g", "-", "+", 2, "c")
        for id_, *_ in mine if isinstance(mine, list) else ():
            self.server.do("XCLAIM", stream, "g", "other", 0, id_, "RETRYCOUNT", 5)
            self.claimed.add((stream, id_))

    @rule(stream=st.sampled_from(STREAMS))
    def another_consumer_settles_what_is_ours(self, stream: str) -> None:
        """It may be something that we never saw."""
        mine = self.server.do("XPENDING", stream, "g", "-", "+", 1, "c")
        for id_, *_ in mine if isinstance(mine, list) else ():
            self.server.do("XACK", stream, "g", id_)
            self.deleted.add((stream, id_))
            self.robbed = True

    @rule(stream=st.sampled_from(STREAMS), at=st.integers(0, 50))
    def delete(self, stream: str, at: int) -> None:
        state = self.server.streams.get(stream.encode())
        ids = list(state.entries) if state else []
        if at < len(ids):
            self.server.do("XDEL", stream, ids[at])
            self.deleted.add((stream, str(ids[at])))

    @precondition(lambda self: not self.destroyed)
    @rule(stream=st.sampled_from(STREAMS))
    def destroy_the_group(self, stream: str) -> None:
        self.destroyed = True
        self.server.do("XGROUP", "DESTROY", stream, "g")

    # -- the network and the server -----------------------------------------------------------------------------------

    @rule()
    def serve(self) -> None:
        self.net.serve()

    @rule(seconds=st.sampled_from([0.02, 0.06, 0.5, 1.5, 6.0]))
    def wait(self, seconds: float) -> None:
        self.net.advance(seconds)

    @rule(link=st.sampled_from(["main", "main", "acks"]), fate=st.sampled_from(Fate), after=st.integers(0, 12))
    def cut(self, link: str, fate: Fate, after: int) -> None:
        if link in {each.name for each in self.consumer.links()}:
            self.net.cut(link, fate, after=after)

    @rule(words=st.sampled_from([{b"INFO"}, {b"CLIENT LIST"}, {b"CLIENT KILL"}, set[bytes]()]))
    def forbid(self, words: set[bytes]) -> None:
        self.server.forbidden = words

    @rule(error=st.sampled_from([LoadingError("LOADING", "wait"), ReadOnlyError("READONLY", "replica"), None]))
    def become_unavailable(self, error: Any) -> None:
        self.server.unavailable = error

    # -- the application ----------------------------------------------------------------------------------------------

    @rule()
    def take(self) -> None:
        batch = self.consumer.take()
        if batch is not None:
            self._see(batch)
            self.held.append(batch)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 10), entry=st.integers(0, COUNT))
    def ack_entry(self, which: int, entry: int) -> None:
        batch = self.held[which % len(self.held)]
        batch[entry % len(batch)].ack()

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 10))
    def ack_batch(self, which: int) -> None:
        self.held.pop(which % len(self.held)).ack()

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 10), at=st.integers(0, COUNT))
    def split(self, which: int, at: int) -> None:
        batch = self.held.pop(which % len(self.held))
        rest = self.consumer.split(batch, at)
        self.held += [part for part in (batch, rest) if part]

    @rule()
    def flush(self) -> None:
        self.consumer.flush()

    def _see(self, batch: GroupBatch[bytes]) -> None:
        stream = batch.stream.decode()
        for entry in batch:
            assert entry.fields == {b"of": f"{stream} {entry.id}".encode()}
            self.handed[stream, str(entry.id)] += 1
        assert [entry.id for entry in batch] == sorted({entry.id for entry in batch})

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def what_is_in_flight_is_bounded(self) -> None:
        assert self.consumer.error is None
        assert self.consumer.pending.in_flight <= MAX_IN_FLIGHT + len(STREAMS) * COUNT

    @invariant()
    def nothing_is_invented_and_nothing_doubled(self) -> None:
        assert self.handed.keys() <= self.added
        if not self.destroyed:
            assert all(times == 1 or entry in self.claimed for entry, times in self.handed.items())

    def teardown(self) -> None:
        """The network heals, the application works on; nothing is missing then."""
        self.server.unavailable = None
        for _ in range(40):
            self.net.advance(6.0)
            while self.held:
                self.held.pop().ack()
            while (batch := self.consumer.take()) is not None:
                self._see(batch)
                batch.ack()
                self.net.serve()
            if self._is_done():
                break
        self.nothing_is_invented_and_nothing_doubled()
        assert self.added - self.handed.keys() <= self.deleted
        assert self._is_done()
        if not (self.destroyed or self.robbed or self.deleted):
            assert not [event for event in self.net.pair.events() if isinstance(event, AckMissed)]
        self.consumer.leave()
        self.net.advance(1.0)
        assert self.consumer.settled
        self.consumer.close()
        assert self.consumer.next_timeout() is None

    def _is_done(self) -> bool:
        left = [id_ for name in STREAMS for id_ in self._left(name)]
        return not left and self.consumer.settled and not self.consumer.pending.in_flight

    def _left(self, name: str) -> list[StreamId]:
        """What the group has not delivered, or not settled."""
        stream = self.server.streams[name.encode()]
        assert stream is not None
        group = stream.groups.get(b"g", Group(ZERO))
        return [id_ for id_ in stream.entries if id_ > group.last] + list(group.pending)


GroupMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestGroup = GroupMachine.TestCase
