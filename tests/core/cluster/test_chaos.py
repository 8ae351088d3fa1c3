"""Slots move, nodes fail over, stand still and die, in any order: the account of every request is balanced."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from streamcore.commands import get, lrange, rpush, set_
from streamcore.errors import ConnectionLost, ReplyError
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9
from streamcore.testing.model.cluster import SlotMove
from tests.core.support.clusters import Rig, slot

KEYS = ("a", "{a}2", "b", "{b}2", "c", "d")


class Chaos:
    """A rig, and what may befall it; ``sent``: the values of each key, with their requests, in the order of submission."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.rig = Rig([VALKEY9, REDIS8, REDIS7][seed % 3])
        self.sent: dict[str, list[tuple[int, Any, int]]] = {key: [] for key in KEYS}
        self.submitted: list[tuple[Any, float]] = []
        self.late: list[Any] = []
        self._moves: dict[int, SlotMove] = {}
        self._number = 0
        for key in KEYS:
            self.rig.ask(rpush(key, 0))

    def run(self, steps: int) -> None:
        """Let something happen, again and again, and the rest at the end."""
        acts: list[Callable[[], None]] = [self.push] * 4 + [self.pipeline] * 3 + [self.transact, self.read]
        acts += [self.move] * 3 + [self.move_keys, self.finish, self.fail_over, self.kill, self.stop, self.give_up]
        for _ in range(steps):
            self.random.choice(acts)()
            if self.random.random() < 0.6:
                self.rig.advance(self.random.choice((0.0, 0.001, 0.02, 0.3)))
        self.finish()
        for node in self.rig.model.nodes:
            if node.is_paused:
                self.rig.model.resume(node)
            if not node.is_up:
                self.rig.model.restart(node)
        self.rig.model.gossip_all()
        self.rig.advance(7.0)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _value(self) -> int:
        self._number += 1
        return self._number

    def _note(self, request: Any, *pushed: tuple[str, int]) -> None:
        self.submitted.append((request, self.rig.net.pair.now))
        for place, (key, value) in enumerate(pushed):
            self.sent[key].append((value, request, place))

    def push(self) -> None:
        key, value = self.random.choice(KEYS), self._value()
        self._note(self.rig.submit(rpush(key, value)), (key, value))

    def pipeline(self) -> None:
        pushed = [(self.random.choice(KEYS), self._value()) for _ in range(self.random.randint(2, 6))]
        self._note(self.rig.submit(*[rpush(key, value) for key, value in pushed]), *pushed)

    def transact(self) -> None:
        pushed = [(key, self._value()) for key in ("a", "{a}2")]
        commands = [rpush(key, value) for key, value in pushed]
        self._note(self.rig.client.transact(commands, self.rig.ended.append), *pushed)

    def read(self) -> None:
        self._note(self.rig.submit(get("{a}text"), get("{c}text"), set_("{d}text", "x")))

    def give_up(self) -> None:
        if self.submitted:
            self.random.choice(self.submitted[-5:])[0].finished = True

    # -- the cluster --------------------------------------------------------------------------------------------------

    def move(self) -> None:
        if any(node.is_paused for node in self.rig.model.nodes):
            return  # it would not hear of the move, nor the others of what it hears
        number = slot(self.random.choice(KEYS))
        move = self._moves.pop(number, None)
        if move is not None:
            self._finish(move)
        elif (target := self._target(number)) is not None:
            self._moves[number] = self.rig.model.begin_move(number, target)

    def _target(self, number: int) -> Any:
        model = self.rig.model
        try:
            others = [node for node in model.primaries() if node is not model.owner(number)]
        except LookupError:
            return None
        return self.random.choice(others) if others else None

    def move_keys(self) -> None:
        for move in self._moves.values():
            move.move_keys(1)

    def finish(self) -> None:
        for number in [*self._moves]:
            self._finish(self._moves.pop(number))

    def _finish(self, move: SlotMove) -> None:
        """Finish a move, by an epoch above all others."""
        self.rig.model.gossip_all()
        move.finish()

    def fail_over(self) -> None:
        self.finish()
        replica = self._replica()
        if replica is not None:
            self.rig.model.failover(replica)

    def _replica(self) -> Any:
        """A replica that has all that its primary has answered; a primary that stands still may answer more when it goes on."""
        model = self.rig.model
        if any(node.is_paused for node in model.nodes):
            return None
        try:
            return model.replica_of(model.owner(self.random.choice(KEYS)))
        except LookupError:
            return None

    def kill(self) -> None:
        self.finish()
        replica = self._replica()
        if replica is not None:
            self.rig.model.crash(self.rig.model.bus.nodes[replica.view.myself.primary])
            if self.random.random() < 0.5:
                self.rig.advance(self.random.choice((0.01, 0.5)))
            self.rig.model.failover(replica)

    def stop(self) -> None:
        node = self.random.choice(self.rig.model.nodes)
        if node.is_up and not node.is_paused:
            self.rig.model.pause(node)
        elif node.is_paused:
            self.rig.model.resume(node)

    # -- the account --------------------------------------------------------------------------------------------------

    def outcome(self, request: Any, place: int) -> bool | None:
        """Whether a pushed value is in its list; None: it may be."""
        if request not in self.rig.ended:
            return None  # given up
        try:
            answer = request.answers()[place]
        except (ConnectionLost, ReplyError) as error:
            answer = error
        if isinstance(answer, ConnectionLost):
            return None if answer.sent else False
        return not isinstance(answer, ReplyError)


@pytest.mark.parametrize("seed", range(10))
def test_the_account_is_balanced(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.run(40)
    rig = chaos.rig
    assert all(request.finished for request, _ in chaos.submitted)
    for key, sent in chaos.sent.items():
        answer = rig.ask(lrange(key, 0, -1))
        rig.until(answer)
        stored = [int(value) for value in answer.answer()]
        assert stored == sorted(set(stored)), f"{key}: in order, and each once"
        for value, request, place in sent:
            is_in = chaos.outcome(request, place)
            assert is_in is None or is_in is (value in stored), (key, value, is_in)
    rig.advance(1.0)
    rig.expect_nothing_left()
