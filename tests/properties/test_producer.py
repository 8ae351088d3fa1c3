"""Entries over a network that breaks anywhere: what was answered is there once, what is in doubt at most once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from streamcore.entries import StreamId
from streamcore.errors import ConnectionLost, ReplyError
from streamcore.producer.durability import NotDurable, Replicas
from streamcore.producer.producer import Producer
from streamcore.requests import Request
from streamcore.testing.model import REDIS8, VALKEY9
from streamcore.testing.model.commands.all import COMMANDS
from streamcore.testing.model.registry import Command
from streamcore.testing.model.values import Stream
from streamcore.testing.net import Fate, Net
from tests.core.support.entropy import entropy
from tests.core.support.server import Server

WINDOW = 4  # of the IDMP server, so that it matters


class Store(Server):
    """A server that remembers few messages, and has a replica now and then."""

    def __init__(self, *, native: bool) -> None:
        super().__init__(REDIS8 if native else VALKEY9)
        self.replicas = 1
        self.config |= {b"stream-idmp-maxsize": b"%d" % WINDOW} if native else {}
        self._commands = {**COMMANDS, b"WAIT": Command(lambda session, args: self.replicas, 3)}

    def entries(self) -> dict[StreamId, int]:
        """The number in each entry, in the order of the stream."""
        stream = self.streams.get(b"s", Stream())
        return {StreamId(*id_): int(fields[-1]) for id_, fields in stream.fields.items()}


class Machine(RuleBasedStateMachine):
    """Entries that are numbered, and what became of each."""

    native = False
    options: dict[str, Any] = {}  # noqa: RUF012  # of a class that is never changed

    def __init__(self) -> None:
        super().__init__()
        self.server = Store(native=self.native)
        draws = iter(range(1, 1_000_000))
        self.producer = Producer("s", random=lambda: next(draws) % 1000 / 1000, entropy=entropy, **self.options)
        self.net = Net(self.server, self.producer)
        self.sent: list[Request] = []
        self.cancelled: set[int] = set()
        # A connection that we have given up may still bring entries, behind newer ones; and where a server refuses an
        # entry and takes the next one, because it has changed its mind in between, the first one comes later.
        self.in_order = True

    @rule(entries=st.integers(1, 12))
    def send(self, entries: int) -> None:
        for _ in range(entries):
            self.sent.append(self.producer.send({"n": len(self.sent)}, lambda request: None))

    @rule(entries=st.integers(1, 12))
    def send_and_be_served(self, entries: int) -> None:
        self.send(entries)
        self.net.serve()

    @rule(fate=st.sampled_from(Fate), after=st.integers(0, 6))
    def cut(self, fate: Fate, after: int) -> None:
        self.in_order &= fate is not Fate.HALF_OPEN
        self.net.cut("main", fate, after=after)

    @rule(budget=st.sampled_from([0, 30, 100, 300, None]))
    def clog(self, budget: int | None) -> None:
        self.net.pair.budget = budget

    @rule(seconds=st.sampled_from([0.02, 0.5, 6.0]))
    def wait(self, seconds: float) -> None:
        self.net.advance(seconds)

    @rule(error=st.sampled_from([None, "LOADING wait", "READONLY no"]))
    def become_unavailable(self, error: str | None) -> None:
        self.in_order &= error is None
        self.server.faults.unavailable = error

    @rule(replicas=st.integers(0, 1))
    def have_replicas(self, replicas: int) -> None:
        self.server.replicas = replicas

    @rule()
    def forget_scripts(self) -> None:
        self.server.scripts.clear()

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.sent) - 1))
        if not self.sent[number].finished:
            self.sent[number].finished = True
            self.cancelled.add(number)

    def teardown(self) -> None:
        self.server.faults.unavailable, self.net.pair.budget = None, None
        self.producer.hurry()
        for _ in range(6):
            self.net.advance(4.0)
        entries = self.server.entries()
        numbers = [*entries.values()]
        assert not self.in_order or numbers == sorted(numbers)
        copies = Counter(numbers)
        for number, request in enumerate(self.sent):
            assert copies[number] <= 1
            assert request.finished
            if number not in self.cancelled:
                there = self.judge(request)
                if isinstance(there, StreamId):
                    assert entries[there] == number
                    assert copies[number] == 1
                elif not there:
                    assert not copies[number]
        assert self.producer._main.queued == 0
        assert self.producer._accumulator is None or self.producer._accumulator.queued == 0

    def judge(self, request: Request) -> StreamId | bool:
        """The id under which it must be there; else whether it may be."""
        try:
            answer = request.answer()
        except NotDurable as error:
            return error.id
        except ConnectionLost as error:
            return error.sent
        except ReplyError:
            return False
        assert isinstance(answer, StreamId)
        return answer


class Lingering(Machine):
    options = {"linger": 0.1, "batch_count": 5}  # noqa: RUF012


class Durable(Machine):
    options = {"durability": Replicas(1, timeout=1)}  # noqa: RUF012


class ByScript(Machine):
    options = {"idempotent": True}  # noqa: RUF012


class ByServer(Machine):
    native = True
    options = {"idempotent": True}  # noqa: RUF012


class ByScriptAndDurable(Machine):
    options = {"producer_id": "p", "durability": Replicas(1, timeout=1), "linger": 0.01}  # noqa: RUF012


MANY = settings(max_examples=60, stateful_step_count=30, deadline=None)

TestPlain = Machine.TestCase
TestLingering = Lingering.TestCase
TestDurable = Durable.TestCase
TestByScript = ByScript.TestCase
TestByServer = ByServer.TestCase
TestByScriptAndDurable = ByScriptAndDurable.TestCase
for machine in (Machine, Lingering, Durable, ByScript, ByServer, ByScriptAndDurable):
    machine.TestCase.settings = MANY
