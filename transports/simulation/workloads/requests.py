"""A program that asks without waiting: many requests at a time, submitted to the engine itself, each with a deadline of its own.

Where ``ClientProgram`` uses the face, a request at a time, the requester keeps the link full, so that replies could go
astray, and knows to the millisecond when each request was submitted and has ended. Nothing but the engine's ``on_wakeup`` tells its driver to look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamcore import ClosedError, ConnectionLost, Multiplexer, ReplyError, StreamcoreError
from streamcore.commands import echo, incr, rpush
from streamcore.errors import RequestTimeout
from streamcore.events import Connected, Disconnected, Reconnected

from ..world.actor import OPTIONS, RECOVERY, Program
from ..world.invariants import EventsInOrder, Oracle

if TYPE_CHECKING:
    from streamcore.requests import Request

    from ..context import Scene
    from ..world.driver import World
    from ..world.plan import Size

SLACK: Final = 0.01
"""Seconds that a timer may be late in a world without delays of its own."""


class DeadlinesKept(Oracle):
    """*Any request*: followed within the deadline: it ends when that has passed, and not before; and at once where all is well."""

    PROMPT: Final = 0.2

    def check(self, requester: Requester, asked: SentRequest, error: StreamcoreError | None) -> None:
        """A request has ended."""
        seconds = self.world.now - asked.at
        what = f"{requester.label}: {asked.key.decode()} has ended after {seconds:.3f} s"
        if seconds > OPTIONS.request_timeout + SLACK and asked.pauses == requester.pauses:
            self.violated(f"{what}: too late")
        waits = isinstance(error, RequestTimeout) or (isinstance(error, ConnectionLost) and not error.sent)
        if waits and seconds < OPTIONS.request_timeout - SLACK:
            self.violated(f"{what}: {error}")
        healthy = not self.world.faulty and asked.at > self.world.healed_at + RECOVERY + 1.0
        if healthy and error is None and seconds > self.PROMPT:
            self.violated(f"{what}, and nothing was wrong")


class AnswersBelong(Oracle):
    """*Any request*: its own reply; a link with unread replies is never handed on."""


class RunAsTold(Oracle):
    """*Any request*: sent or not sent; a request that was not sent, or given up before, is never executed, and none is twice.

    And in the order of submission; and a server that cannot serve is asked again now and then only.
    """

    TRIES: Final = 40

    def __init__(self, world: World, scene: Scene) -> None:
        super().__init__(world)
        self._scene = scene
        self.never: dict[bytes, str] = {}
        self.asked: list[bytes] = []
        self.lists: list[bytes] = []
        # On their way when the connection was lost: they may come late, or again.
        self.loose: set[tuple[bytes, int]] = set()
        self._tries: Counter[bytes] = Counter()

    def _value(self, key: bytes) -> Any:
        return self._scene.store.value(key)

    def tried(self, _: object, words: list[bytes]) -> None:
        """The server is asked for something."""
        if words[0] == b"INCR":
            self._tries[words[1]] += 1
            if self._tries[words[1]] > self.TRIES:
                self.violated(f"{words[1].decode()} was sent {self._tries[words[1]]} times")

    def look(self) -> None:
        for key in self.asked:
            times = int(bytes(self._value(key) or b"0"))
            if times > 1:
                self.violated(f"{key.decode()} was executed {times} times")
            if times and key in self.never:
                self.violated(f"{key.decode()} was executed, and its caller was told: {self.never[key]}")
        for name in self.lists:
            numbers = [int(number) for number in self._value(name) or () if (name, int(number)) not in self.loose]
            if numbers != sorted(set(numbers)):
                self.violated(f"the requests of {name.decode()} were executed in the order {numbers}")

    def judge(self) -> None:
        self.look()


@dataclass
class SentRequest:
    """A request. ``ups``: how often the link had come up when it was submitted."""

    key: bytes
    number: int
    at: float
    pauses: int
    ups: int
    was_up: bool
    check: Callable[[list[Any]], None]
    writes: tuple[bytes, ...] = ()
    request: Request | None = None


class Requester(Program):
    """A program that keeps its link full."""

    def __init__(
        self, world: World, number: int, oracles: tuple[AnswersBelong, RunAsTold, DeadlinesKept], events: EventsInOrder
    ) -> None:
        super().__init__(world, f"requester-{number}", f"asker-{number}")
        self.pauses = 0
        self.rests = False  # asks nothing of itself
        self.answers, self.runs, self._deadlines = oracles
        self._events = events
        self._open: dict[bytes, SentRequest] = {}
        self._ups = self._number = self._served = 0

    def begin(self) -> Multiplexer:
        engine = self.client()
        engine.on_event = self._heard
        self._events.listen(self.label, engine)
        self.runs.lists += self.lists()
        self._soon()
        return engine

    def client(self) -> Multiplexer:
        """A client's engine."""
        return Multiplexer(**self.engine_options())

    def is_up(self) -> bool:
        """Whether a request could leave now."""
        return bool(self.engine.is_ready)

    def lists(self) -> list[bytes]:
        """The lists to which it appends."""
        return [b"asker:%b:list" % self.seeded_label.encode()]

    def _list(self) -> bytes:
        return self.lists()[0]

    def _heard(self, event: object) -> None:
        self._ups += isinstance(event, (Connected, Reconnected))
        if isinstance(event, Disconnected):
            self.runs.loose.update((one, asked.number) for one in self.lists() for asked in self._open.values())
        if self.world.tells:
            self.world.tell(self.label, f"hears of {event!r}")

    def forget(self) -> None:
        self._open.clear()
        self._served = 0

    def look(self) -> bool:
        if self.node is not None:
            self._events.take(self.node)
        return False

    def paused(self) -> None:
        self.pauses += 1

    # -- what it asks -------------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        incarnation = self.incarnation

        def act() -> None:
            if self.node is not None and self.incarnation == incarnation:
                if not (self.node.paused or self.rests):
                    for _ in range(self.draw.choice([1, 1, 2, 5])):
                        self._ask()
                self._soon()

        self.world.after(0.06 * self.draw.random(), act)

    def _ask(self) -> None:
        self._number += 1
        self.ask(self.key(b"asker:%b:%d" % (self.seeded_label.encode(), self._number)))

    def key(self, name: bytes) -> bytes:
        """The key of a request."""
        return name

    def ask(self, key: bytes) -> None:
        """Ask for something, about a key."""
        way = self.draw.choice((self._echo, self._count, self._append, self._several))
        commands, asked = way(key)
        self.begun(asked)
        asked.request = self.engine.submit(commands, partial(self.done, asked))

    def begun(self, asked: SentRequest) -> None:
        """A request is about to be submitted."""
        asked.was_up = self.is_up()
        self._open[asked.key] = asked
        self.runs.asked += asked.writes
        self.world.tell(self.label, f"asks {asked.key.decode()}")

    def asked_for(self, key: bytes, check: Callable[[list[Any]], None], *writes: bytes) -> SentRequest:
        return SentRequest(key, self._number, self.world.now, self.pauses, self._ups, False, check, writes)

    def expect(self, what: bytes, answer: object, wanted: object) -> None:
        if answer != wanted and not isinstance(answer, ReplyError):
            self.answers.violated(f"{self.label} expects {wanted!r} for {what.decode()}, and gets {answer!r}")

    def _echo(self, key: bytes) -> tuple[list[Any], SentRequest]:
        return [echo(key)], self.asked_for(key, lambda answers: self.expect(key, answers[0], key))

    def _count(self, key: bytes) -> tuple[list[Any], SentRequest]:
        return [incr(key)], self.asked_for(key, lambda answers: self.expect(key, answers[0], 1), key)

    def _append(self, key: bytes) -> tuple[list[Any], SentRequest]:
        return [rpush(self._list(), b"%d" % self._number)], self.asked_for(key, lambda _: None)

    def _several(self, key: bytes) -> tuple[list[Any], SentRequest]:
        one, other = key + b":1", key + b":2"

        def check(answers: list[Any]) -> None:
            for answer, wanted in zip(answers, (1, key, 1), strict=True):
                self.expect(key, answer, wanted)

        return [incr(one), echo(key), rpush(other, key)], self.asked_for(key, check, one)

    def done(self, asked: SentRequest, request: Request) -> None:
        if self._open.pop(asked.key, None) is None:
            return
        error: StreamcoreError | None = None
        try:
            answers = request.answers()
        except ClosedError:
            return
        except ReplyError as refusal:
            error = refusal
            self._never(asked, refusal)
        except ConnectionLost as lost:
            error = lost
            if self.engine.closed:
                return
            if not lost.sent:
                self._never(asked, lost)
            self.runs.loose.add((self._list(), asked.number))
        else:
            asked.check(answers)
            self._served += not self.world.faulty
        self._deadlines.check(self, asked, error)

    def _never(self, asked: SentRequest, why: Exception) -> None:
        self.runs.never.update(dict.fromkeys(asked.writes, str(why)))

    # -- what is done to it -------------------------------------------------------------------------------------------

    def cancel(self, lot: float) -> str | None:
        if self.node is None or self.node.paused or not self._open:
            return None
        asked = self._open.pop(list(self._open)[int(lot * len(self._open))])
        if asked.request is not None:
            asked.request.finished = True
            self.runs.loose.add((self._list(), asked.number))
            if not (asked.was_up or self.is_up()) and asked.ups == self._ups:
                self._never(asked, StreamcoreError("it was given up before there was a connection"))
        return f"its wait for {asked.key.decode()}"

    def missing(self) -> str:
        return "" if self.node is not None and self._served > 5 else f"{self.label} was not served"


def add_requesters(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add requesters to the scene."""
    world = scene.world
    runs = RunAsTold(world, scene)
    oracles = AnswersBelong(world), runs, DeadlinesKept(world)
    scene.oracles += oracles
    scene.running.append(runs.tried)
    for number in range(1, size.members + 1):
        requester = Requester(world, number, oracles, events)
        scene.enter(requester)
