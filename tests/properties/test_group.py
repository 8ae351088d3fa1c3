"""A consumer group against a model server, a network that breaks, and an application that settles in its own time.

Whatever happens, and in whatever order: in the end every entry was handed over, none was invented, and nothing is left
pending. Nothing is settled unless the application, or a limit, has said so. An entry comes again only for a reason: it was
refused, another member had it, the process was started anew, or the group was destroyed. The server's counter of deliveries
is at most one more than the number of times that somebody was handed the entry, and one for each process that died, or
lost the entry, in the moment between counting and handing over; so nothing is condemned that was not tried often enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamcore.entries import GroupBatch, GroupEntry, StreamId
from streamcore.errors import ConsumerFencedError
from streamcore.events import AckMissed, DeadLettered, Event, PendingEntriesDeleted
from streamcore.group.consumer import GroupConsumer
from streamcore.group.taken import TOO_OFTEN
from streamcore.stream_id import ZERO
from streamcore.testing.model import Session
from streamcore.testing.model.arguments import Id
from streamcore.testing.model.values import Group, Stream
from streamcore.testing.net import Fate, Net
from tests.core.support.entropy import entropy
from tests.core.support.server import Server

STREAMS = ("s", "t")
MAX_IN_FLIGHT = 20
COUNT = 3
MAX_STARTS = 4
FORBIDDEN = ("INFO", "CLIENT LIST", "CLIENT KILL", "CLIENT UNBLOCK")
UNAVAILABLE = ("LOADING wait", "READONLY replica")

Key: TypeAlias = tuple[str, str]  # stream and id


class Process:
    """One that reads as ``c``, and what its application has in hand."""

    def __init__(self, server: Server, number: int, max_deliveries: int | None, streams: list[str]) -> None:
        self.consumer: GroupConsumer[bytes] = GroupConsumer(
            streams,
            group="g",
            consumer="c",
            count=COUNT,
            block=1.0,
            max_in_flight=MAX_IN_FLIGHT,
            claim_idle=30.0,
            max_deliveries=max_deliveries,
            random=lambda: 1 / (number + 2),
            entropy=entropy,
        )
        self.held: list[GroupBatch[bytes]] = []
        self.net = Net(server, self.consumer)

    def counted(self) -> set[Key]:
        """What the server may have counted as handed over, once more, and the application has not got."""
        again = {
            (batch.stream.decode(), str(entry.id))
            for batch, *_ in self.consumer.readers[0].prefetch._ready
            if batch.deliveries > 1
            for entry in batch
        }
        return again | {
            (one.stream.decode(), one.id.decode()) for one in self.consumer.members[0].loop.redelivery._in_doubt
        }


class GroupMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.strangers: list[Session] = []
        self.number = 0
        self.starts = 0
        self.added: set[Key] = set()
        self.deleted: set[Key] = set()
        self.robbed: set[Key] = set()  # settled by another member
        self.said: set[Key] = set()  # the application has acknowledged it, or put it to the dead letters
        self.nacks: Counter[Key] = Counter()
        self.stolen: Counter[Key] = Counter()  # handed over to other members
        self.inherited: Counter[Key] = Counter()  # pending when a process was started anew
        self.slack: Counter[Key] = Counter()  # counted, and never handed over
        self.handed: Counter[Key] = Counter()
        self.condemned: set[Key] = set()
        self.events: list[Event] = []
        self.destroyed = False
        self.left: list[Process] = []  # twins that were replaced

    @initialize(max_deliveries=st.sampled_from([None, 1, 2, 4]), is_wild=st.booleans())
    def start(self, max_deliveries: int | None, is_wild: bool) -> None:
        """In a world that is not wild, nobody destroys the group or starts the process anew."""
        self.max_deliveries = max_deliveries
        self.is_wild = is_wild
        self._start(list(STREAMS))
        for stream in STREAMS:
            self.add(stream, 4, served=True)

    def _start(self, streams: list[str]) -> None:
        self.inherited.update((name, _text(id_)) for name in STREAMS for id_ in self._group(name)[1].pending)
        self.process = Process(self.server, self.starts, self.max_deliveries, streams)
        self.starts += 1

    def _has_entered(self) -> bool:
        joins = self.consumer.members[0].loop.stream_changes
        return self.consumer.is_ready and not self.server.faults.unavailable and not joins

    def _read_by_us(self) -> list[str]:
        return [stream.decode() for stream in self.consumer.members[0].membership.streams] or ["s"]

    @property
    def consumer(self) -> GroupConsumer[bytes]:
        return self.process.consumer

    # -- what others do -----------------------------------------------------------------------------------------------

    @rule(stream=st.sampled_from(STREAMS), entries=st.integers(1, 8), served=st.booleans())
    def somebody_adds(self, stream: str, entries: int, served: bool) -> None:
        self.add(stream, entries, served=served)

    def add(self, stream: str, entries: int, *, served: bool) -> None:
        for _ in range(entries):
            self.number += 1
            self.added.add((stream, f"{self.number}-0"))
            self.server.add(stream, f"{self.number}-0", of=f"{stream} {self.number}-0")
        if served:
            self.process.net.serve()

    @rule(stream=st.sampled_from(STREAMS), what=st.sampled_from(["read", "claim", "settle"]))
    def another_consumer(self, stream: str, what: str) -> None:
        """It reads, or claims from us, and dies; or it settles what is ours, perhaps before we ever saw it."""
        if what == "read":
            found = self.server.do("XREADGROUP", "GROUP", "g", "other", "COUNT", 2, "STREAMS", stream, ">")
            for id_, _ in dict(found).get(stream.encode(), ()) if found and not isinstance(found, Exception) else ():
                self.stolen[stream, id_.decode()] += 1
            return
        mine = self.server.do("XPENDING", stream, "g", "-", "+", 2, "c")
        for id_ in [row[0].decode() for row in mine] if isinstance(mine, list) else ():
            self._lose_one_that_waits(stream, id_)
            if what == "claim":
                self.slack[stream, id_] += self._counted()[stream, id_]
                self.stolen[stream, id_] += 1
                self.server.do("XCLAIM", stream, "g", "other", 0, id_)
            else:
                self.server.do("XACK", stream, "g", id_)
                self.robbed.add((stream, id_))

    def _lose_one_that_waits(self, stream: str, id_: str) -> None:
        """Whoever asks for it is given the next one of ours, which is counted; to be set back, unless the reply is lost."""
        if id_.encode() in self.consumer.members[0].loop.redelivery_queue.ids(stream.encode()):
            mine = self.server.do("XPENDING", stream, "g", f"({id_}", "+", 1000, "c")
            self.slack.update((stream, other.decode()) for other, *_ in mine)

    @rule(stream=st.sampled_from(STREAMS), at=st.integers(0, 50))
    def delete(self, stream: str, at: int) -> None:
        state = self.server.streams.get(stream.encode())
        ids = [_text(id_) for id_ in state.ids] if state is not None else []
        if at < len(ids):
            self.server.do("XDEL", stream, ids[at])
            self.deleted.add((stream, ids[at]))

    @precondition(lambda self: self.is_wild and not self.destroyed)
    @rule(stream=st.sampled_from(STREAMS))
    def destroy_the_group(self, stream: str) -> None:
        self.destroyed = True
        self.server.do("XGROUP", "DESTROY", stream, "g")

    # -- the network, the server and the machine -----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.06, 0.5, 1.5, 6.0]))
    def wait(self, seconds: float) -> None:
        for one in (*self.left, self.process):
            one.net.advance(seconds)

    @rule(link=st.sampled_from(["main", "main", "acks"]), fate=st.sampled_from(Fate), after=st.integers(0, 12))
    def cut(self, link: str, fate: Fate, after: int) -> None:
        if link in {each.name for each in self.consumer.links()}:
            self.process.net.cut(link, fate, after=after)

    @rule(trouble=st.sampled_from([*FORBIDDEN, *UNAVAILABLE, "restart", None, None]))
    def trouble(self, trouble: str | None) -> None:
        """The server refuses something, or everything, or is started again; or all is well."""
        self.server.faults.denied = {word for word in FORBIDDEN if word == trouble}
        self.server.faults.unavailable = trouble if trouble in UNAVAILABLE else None
        if trouble == "restart":  # with its data; ids begin anew, and strangers are the first to come back
            self.server.begin_anew()
            self.strangers = [self.server.connect(self.server.now) for _ in range(3)]

    @precondition(lambda self: self.is_wild and self.starts < MAX_STARTS)
    @rule(provably=st.booleans())
    def crash(self, provably: bool) -> None:
        """The process dies; its connections end, or are half open."""
        streams = self._read_by_us()
        self.slack.update(self.process.counted())
        self.process.net.kill(half_open=not provably)
        self._observe()
        self._start(streams)

    @precondition(lambda self: self.is_wild and self.starts < MAX_STARTS and self._has_entered())
    @rule()
    def start_a_twin(self) -> None:
        """It enters at once; of two that have not entered yet, it is the last one that will have the name."""
        streams = self._read_by_us()
        self.left.append(self.process)
        self._start(streams)

    # -- the application ----------------------------------------------------------------------------------------------

    @rule(batches=st.integers(1, 4), served=st.booleans(), then=st.sampled_from([None, None, "ack", "nack"]))
    def take(self, batches: int, served: bool, then: str | None) -> None:
        for _ in range(batches):
            if (batch := self.consumer.take()) is not None:
                self._see(batch)
                if then is None:
                    self.process.held.append(batch)
                else:
                    self._settle(batch, batch, then, 0.0)
            if served:
                self.process.net.serve()

    @precondition(lambda self: self.process.held)
    @rule(which=st.integers(0, 10), entry=st.integers(0, COUNT), how=st.sampled_from(["ack", "nack", "dead_letter"]))
    def settle_entry(self, which: int, entry: int, how: str) -> None:
        batch = self.process.held[which % len(self.process.held)]
        self._settle(batch, [batch[entry % len(batch)]], how, 1.5)

    @precondition(lambda self: self.process.held)
    @rule(which=st.integers(0, 10), how=st.sampled_from(["ack", "ack", "nack"]), delay=st.sampled_from([0.0, 40.0]))
    def settle_batch(self, which: int, how: str, delay: float) -> None:
        batch = self.process.held.pop(which % len(self.process.held))
        self._settle(batch, batch, how, delay)

    def _settle(self, batch: GroupBatch[bytes], entries: Iterable[GroupEntry[bytes]], how: str, delay: float) -> None:
        keys = {(batch.stream.decode(), str(entry.id)) for entry in entries}
        if how == "nack":
            self.nacks.update(keys)
        else:
            self.said |= keys
        for entry in entries:
            entry.nack(delay) if how == "nack" else getattr(entry, how)()

    @precondition(lambda self: self.process.held)
    @rule(which=st.integers(0, 10), at=st.integers(0, COUNT))
    def split(self, which: int, at: int) -> None:
        batch = self.process.held.pop(which % len(self.process.held))
        rest = self.consumer.split(batch, at)
        self.process.held += [part for part in (batch, rest) if part]

    @precondition(lambda self: self.left)
    @rule()
    def a_replaced_twin_acknowledges_after_all(self) -> None:
        for batch in self.left[-1].held:
            self._settle(batch, batch, "ack", 0.0)

    @rule(fate=st.sampled_from([None, *Fate]), link=st.sampled_from(["main", "acks"]))
    def flush(self, fate: Fate | None, link: str) -> None:
        """And perhaps the connection breaks while what was told is on its way."""
        self.consumer.flush()
        self.process.net.pair.settle()
        if fate is not None and link in {each.name for each in self.consumer.links()}:
            self.process.net.cut_in_flight(link, fate)

    @rule(stream=st.sampled_from(STREAMS), wanted=st.booleans())
    def add_or_remove_stream(self, stream: str, wanted: bool) -> None:
        if wanted:
            self.consumer.add_stream(stream)
        else:
            self.slack.update(entry for entry in self.process.counted() if entry[0] == stream)
            self.consumer.remove_stream(stream)

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
        assert self.consumer.members[0].loop.pending.in_flight <= MAX_IN_FLIGHT + len(STREAMS) * COUNT

    @invariant()
    def nothing_is_invented_and_nothing_comes_again_without_a_reason(self) -> None:
        assert self.handed.keys() <= self.added
        if not self.destroyed:
            for entry, times in self.handed.items():
                assert times <= 1 + self.inherited[entry] + self.nacks[entry] + self.stolen[entry]

    @invariant()
    def the_server_counts_what_was_handed_over(self) -> None:
        counted = self._counted()
        for name in STREAMS:
            for id_, delivery in self._group(name)[1].pending.items():
                entry = (name, _text(id_))
                handed = self.handed[entry] + self.stolen[entry]
                assert delivery.times <= handed + 1 + self.slack[entry] + counted[entry]

    @invariant()
    def nothing_is_settled_unless_somebody_has_said_so(self) -> None:
        self._observe()
        if not self.destroyed:
            for name in STREAMS:
                stream, group = self._group(name)
                settled = {(name, _text(id_)) for id_ in stream.ids if id_ <= group.last and id_ not in group.pending}
                assert settled <= self.said | self.robbed | self.condemned

    @invariant()
    def strangers_live(self) -> None:
        assert all(stranger.is_open for stranger in self.strangers)

    def _observe(self) -> None:
        """What was told, and what became a dead letter, which is not told again where the reply was lost."""
        for one in (*self.left, self.process):
            self.events += one.net.pair.events()
        for name in STREAMS:
            letters = self.server.streams.get(b"{%b}:dead" % name.encode()) or Stream()
            for flat in letters.fields.values():
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                entry = (name, fields[b"dead:id"].decode())
                if entry not in self.condemned:
                    self.condemned.add(entry)
                    self._judge(entry, int(fields[b"dead:attempts"]), fields[b"dead:reason"])
        told = {(one.stream.decode(), one.id.decode()) for one in self.events if isinstance(one, DeadLettered)}
        assert told <= self.condemned

    def _judge(self, entry: Key, deliveries: int, reason: bytes) -> None:
        if entry not in self.said:
            tried = self.handed[entry] + self.stolen[entry]
            assert self.max_deliveries is not None
            assert deliveries >= self.max_deliveries
            unseen = self.slack[entry] + self._counted()[entry]
            assert tried + 1 + unseen >= deliveries
            assert tried + unseen or reason != TOO_OFTEN

    def _counted(self) -> Counter[Key]:
        return Counter(entry for one in (*self.left, self.process) for entry in one.counted())

    def _group(self, name: str) -> tuple[Stream, Group]:
        stream = self.server.streams.get(name.encode()) or Stream()
        return stream, stream.groups.get(b"g", Group(ZERO))

    def teardown(self) -> None:
        """The network heals, the application works on; nothing is missing then."""
        if not self.starts:
            return
        self.server.faults.unavailable = None
        for _ in range(60):
            self.wait(6.0)
            for name in STREAMS:
                self.consumer.add_stream(name)
            while self.process.held:
                held = self.process.held.pop()
                self._settle(held, held, "ack", 0.0)
            while (batch := self.consumer.take()) is not None:
                self._see(batch)
                self._settle(batch, batch, "ack", 0.0)
                self.process.net.serve()
            if self._is_done():
                break
        self.what_is_in_flight_is_bounded()
        self.nothing_is_invented_and_nothing_comes_again_without_a_reason()
        assert self._is_done()
        self._observe()
        assert self.added - self.handed.keys() <= self.deleted | self.robbed | self.condemned
        if not (self.destroyed or self.robbed or self.deleted or self.stolen or self.starts > 1):
            assert not [event for event in self.events if isinstance(event, AckMissed | PendingEntriesDeleted)]
        assert all(isinstance(twin.consumer.error, (ConsumerFencedError, type(None))) for twin in self.left)
        self.consumer.leave()
        self.process.net.advance(1.0)
        assert self.consumer.settled
        self.consumer.close()
        assert self.consumer.next_timeout() is None

    def _is_done(self) -> bool:
        left = [id_ for name in STREAMS for id_ in self._left(name)]
        replaced = all(twin.consumer.closed or not twin.consumer.members[0].membership.streams for twin in self.left)
        return replaced and not left and self.consumer.settled and not self.consumer.members[0].loop.pending.in_flight

    def _left(self, name: str) -> list[Id]:
        """What the group has not delivered, or not settled."""
        stream, group = self._group(name)
        return [id_ for id_ in stream.ids if id_ > group.last] + group.order


def _text(id_: Id) -> str:
    return str(StreamId(*id_))


GroupMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestGroup = GroupMachine.TestCase
