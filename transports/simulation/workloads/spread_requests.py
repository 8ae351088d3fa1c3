"""A program that asks without waiting in a cluster: single commands, pipelines over several nodes, and transactions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamcore import ConnectionLost
from streamcore.cluster.client import ClusterClient
from streamcore.commands import echo, incr, rpush
from streamcore.testing.model.cluster.keys import slot_of

from ..world.invariants import EventsInOrder, Oracle
from .requests import AnswersBelong, DeadlinesKept, Requester, RunAsTold, SentRequest

if TYPE_CHECKING:
    from streamcore.testing.model import Session
    from streamcore.testing.model.session import Context

    from ..context import Scene
    from ..world.driver import World
    from ..world.plan import Size

TAGS: Final = (b"a", b"b", b"c", b"d")


class WholeTransactions(Oracle):
    """*Any request*: of a transaction everything is executed, or nothing."""

    def __init__(self, world: World, scene: Scene) -> None:
        super().__init__(world)
        self._scene = scene
        self.begun: dict[bytes, None] = {}

    def look(self) -> None:
        store = self._scene.store
        for key in self.begun:
            left, right = (store.value(key + side) for side in (b":left", b":right"))
            if (left is None) is not (right is None):
                self.violated(f"a half of the transaction of {key.decode()} was executed")

    def judge(self) -> None:
        self.look()


class RunInOrder:
    """*Any request*: those of a slot are executed in the order of submission, however the slot moves.

    But for those that a node refuses for now (CLUSTERDOWN, TRYAGAIN), while others are on their way to it, and executes later.
    """

    def __init__(self, runs: RunAsTold) -> None:
        self._runs = runs
        self._seen: set[tuple[Context, bytes, int]] = set()

    def command(self, session: Session, words: list[bytes]) -> None:
        """A node is about to run a command."""
        if words[0] == b"RPUSH" and words[2].isdigit():
            asked = session.server, words[1], int(words[2])
            if asked in self._seen:
                self._runs.loose.add(asked[1:])
            self._seen.add(asked)


class SpreadRequester(Requester):
    """A requester whose keys are of several slots. It appends to a list in each, in which its numbers stand in their order."""

    def __init__(
        self,
        world: World,
        number: int,
        oracles: tuple[AnswersBelong, RunAsTold, DeadlinesKept],
        whole: WholeTransactions,
        events: EventsInOrder,
    ) -> None:
        super().__init__(world, number, oracles, events)
        self._whole = whole

    def client(self) -> ClusterClient:
        return ClusterClient(**self.engine_options())

    def is_up(self) -> bool:
        return any(link.is_up for link in self.engine.links())

    def lists(self) -> list[bytes]:
        return [b"{%b}asker:%b:list" % (tag, self.seeded_label.encode()) for tag in TAGS]

    def key(self, name: bytes) -> bytes:
        return b"{%b}%b" % (self.draw.choice(TAGS), name)

    def ask(self, key: bytes) -> None:
        lot = self.draw.random()
        if lot < 0.2:
            self._transact(key)
        elif lot < 0.5:
            self._append_to_all(key)
        else:
            super().ask(key)

    def _transact(self, key: bytes) -> None:
        left, right = key + b":left", key + b":right"
        asked = self.asked_for(key, lambda answers: self.expect(key, answers, [1, 1]), left, right)
        self._whole.begun[key] = None
        self.begun(asked)
        asked.request = self.engine.transact([incr(left), incr(right)], partial(self.done, asked))

    def _append_to_all(self, key: bytes) -> None:
        lists = self.draw.sample(self.lists(), self.draw.randint(1, len(TAGS)))
        asked = self.asked_for(key, lambda answers: self._check(asked, key, lists, answers))
        self.begun(asked)
        commands: list[Any] = [rpush(one, b"%d" % asked.number) for one in lists]
        commands.insert(1, echo(key))
        asked.request = self.engine.submit(commands, partial(self.done, asked))

    def _check(self, asked: SentRequest, key: bytes, lists: list[bytes], answers: list[Any]) -> None:
        self.expect(key, answers.pop(1), key)
        for name, answer in zip(lists, answers, strict=True):
            if isinstance(answer, ConnectionLost):
                self.runs.loose.add((name, asked.number))

    def expect(self, what: bytes, answer: object, wanted: object) -> None:
        if not isinstance(answer, ConnectionLost):
            super().expect(what, answer, wanted)


def add_spread_requesters(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add requesters to the scene of a cluster."""
    world = scene.world
    runs, whole = RunAsTold(world, scene), WholeTransactions(world, scene)
    oracles = AnswersBelong(world), runs, DeadlinesKept(world)
    scene.oracles += [*oracles, whole]
    scene.running += [runs.tried, RunInOrder(runs).command]
    scene.used += [slot_of(b"{%b}" % tag) for tag in TAGS]
    for number in range(1, size.members + 1):
        scene.enter(SpreadRequester(world, number, oracles, whole, events))
