"""The faults of the simulator's cluster, and what its logs know of them: moved slots, and primaries that were replaced meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamcore import Batch, StreamResetError
from streamcore.testing.model import VALKEY9
from streamcore.testing.model.cluster import ModelCluster, SlotMove
from streamcore.testing.model.cluster.keys import slot_of
from streamcore.testing.model.cluster.node import Node
from transports.simulation.context import Scene
from transports.simulation.faults.cluster import (
    NODE_TIMEOUT,
    add_node,
    fail_over,
    go_on,
    join,
    kill,
    lose_data,
    part,
    promote,
    stop,
)
from transports.simulation.faults.slots import finish_move, move_slot, move_slot_at_once, owners, replica
from transports.simulation.workloads.consumer.habits import ReaderHabits
from transports.simulation.workloads.consumer.reader import Reader
from transports.simulation.workloads.consumer.workload import judged
from transports.simulation.world.cluster_invariants import RefreshesBounded
from transports.simulation.world.cluster_site import ClusterSite
from transports.simulation.world.driver import World
from transports.simulation.world.plan import Fault
from transports.simulation.world.scheduler import Violation
from transports.simulation.world.stream_log import StreamLog, fields_of

A, C = b"{a}s", b"{c}v"
FAULT = Fault(0, 0.0, "", 0.0, 0.0, 0.9)


class Stage:
    """A cluster whose nodes hear of each other only where somebody sees to it, with two streams, and the log of their readers."""

    def __init__(self) -> None:
        self.world = World(1)
        self.cluster = ModelCluster(
            flavour=VALKEY9, now=self.world.now, gossip_delay=lambda *_: None, node_timeout=NODE_TIMEOUT
        )
        self.site = ClusterSite(self.world, self.cluster)
        self.scene = Scene(self.world, self.site, StreamLog(self.site), [])
        self.id_log, self.oracles = judged(self.scene, [A, C])
        for stream in (A, C):
            self.append(stream, 1)

    def append(self, stream: bytes, number: int) -> None:
        self.site.do(b"XADD", stream, b"%d-0" % number, *fields_of(b"%b:%d" % (stream, number)))

    def owner(self, stream: bytes) -> Node:
        found = self.site.owner(slot_of(stream))
        assert found is not None
        return found

    def ids(self, stream: bytes) -> list[int]:
        return [ms for ms, _ in self.id_log.note(stream).ids]


def finished(scene: Scene, fault: Fault) -> str | None:
    """Move a slot key by key, to its end."""
    said = move_slot(scene, fault)
    [move] = scene.site.moves.values()
    finish_move(scene, move)
    return said


@pytest.mark.parametrize("moves", [finished, move_slot_at_once, add_node])
def test_the_replicas_of_both_shards_hear_of_a_slot_that_has_moved(moves: Callable[[Scene, Fault], str | None]) -> None:
    """Otherwise the replica of the former owner claims it, without its keys, when it is promoted."""
    stage = Stage()
    source = stage.owner(A)
    assert moves(stage.scene, FAULT) is not None
    target = stage.owner(A)
    assert target is not source
    for node in stage.cluster.nodes:
        if node.view.primary in (source.id, target.id):
            assert node.view.owners[slot_of(A)] == target.id
    heir = replica(stage.site, source)
    assert heir is not None
    stage.site.kill(source)
    promote(stage.scene, source, heir)
    assert stage.owner(A) is target
    assert stage.ids(A) == [1]


@pytest.mark.parametrize("trouble", [fail_over, kill, lose_data, part, stop])
def test_a_primary_whose_last_slot_is_on_its_way_is_a_replica_before_it_is_in_trouble(
    trouble: Callable[[Scene, Fault], str | None],
) -> None:
    stage = Stage()
    joined = stage.cluster.join()
    stage.site.add(joined)
    stage.cluster.gossip_all()
    stage.cluster.move_slot(slot_of(A), joined)
    stage.cluster.gossip_all()
    place = next(number for number, node in enumerate(owners(stage.site)) if node is joined)
    move = stage.site.moves[slot_of(A)] = SlotMove(slot_of(A), joined, stage.owner(C), stage.cluster.nodes)
    move.begin()
    assert trouble(stage.scene, replace(FAULT, a=(place + 0.5) / 4, c=0.0)) is None
    assert stage.owner(A) is move.target
    assert joined.view.myself.primary == move.target.id
    assert not stage.site.busy
    assert stage.ids(A) == [1]


def test_a_former_primary_hears_of_its_heir_before_it_serves_again() -> None:
    """The heir has told of itself before it was killed in its turn."""
    stage = Stage()
    primary = stage.owner(A)
    heir = replica(stage.site, primary)
    assert heir is not None
    stage.site.kill(primary)
    promote(stage.scene, primary, heir)
    stage.site.kill(heir)
    stage.site.restart(primary)
    assert primary.view.owners[slot_of(A)] == heir.id
    assert primary.view.myself.primary == heir.id


def test_a_primary_hears_of_its_heir_when_a_partition_ends() -> None:
    stage = Stage()
    primary = stage.owner(A)
    heir = replica(stage.site, primary)
    assert heir is not None
    stage.site.part(primary)
    promote(stage.scene, primary, heir)
    join(stage.scene, primary)
    assert primary.view.myself.primary == heir.id


def test_the_streams_of_a_primary_that_was_replaced_go_back_when_it_goes_on_and_no_others() -> None:
    """Entries of its successor come behind that, in an era of their own."""
    stage = Stage()
    primary = stage.owner(A)
    heir = replica(stage.site, primary)
    assert heir is not None
    stage.site.pause(primary)
    promote(stage.scene, primary, heir)
    stage.append(A, 2)
    assert stage.ids(A) == [1, 2]
    go_on(stage.scene, primary)
    stage.append(A, 3)
    assert stage.id_log.number(A) == 1
    assert stage.ids(A) == [1, 2, 3]
    assert stage.id_log.number(C) == 0
    assert stage.owner(C) is not heir


def test_a_reader_whose_entering_fails_ends_by_its_error_and_is_handed_nothing() -> None:
    """In a cluster, entries of a slot come before the places in all others are known."""
    stage = Stage()
    habits = ReaderHabits((A, C), "0", None, 1, 1, "raise", 1.0, 0.0, seeks=False)
    reader = Reader(stage.world, "reader-1", stage.id_log, habits, stage.oracles, nothing())
    error = StreamResetError("it began anew")
    batches: list[Any] = [Batch(A, [[b"1-0", fields_of(b"x")]])]

    def take() -> Any:
        if batches:
            return batches.pop()
        raise error

    engine = SimpleNamespace(is_ready=False, closed=False, take=take)
    reader.node = cast("Any", SimpleNamespace(engine=engine))
    reader.cluster = cast("Any", object())
    ends = list[Exception]()
    reader._end = ends.append  # type: ignore[method-assign, assignment]  # it would close a node
    assert not reader.look()
    assert len(batches) == 1
    engine.closed = True
    assert reader.look()
    assert ends == [error]
    assert stage.world.notes["handed"] == 0


def nothing() -> Any:
    return SimpleNamespace(take=lambda node: None)


def test_questions_behind_an_answer_without_hosts_belong_to_a_turn() -> None:
    stage = Stage()
    oracle = RefreshesBounded(stage.world, stage.site)
    hosts = list(stage.site.hosts.values())
    program = SimpleNamespace(label="reader-1.1/topology")

    def ask(place: int) -> None:
        session: Any = object()
        wire: Any = SimpleNamespace(
            node=program, host=hosts[place], up=SimpleNamespace(left_at=0.0), label="reader-1.1"
        )
        hosts[place].wires[session] = wire
        oracle.command(session, [b"CLUSTER", b"SLOTS"])

    hosts[0].node.config[b"cluster-preferred-endpoint-type"] = b"hostname"
    for _ in range(RefreshesBounded.MOST):
        ask(0)
        ask(1)
    stage.world.run(stage.world.now + 0.1)
    ask(1)
    with pytest.raises(Violation, match="13 times"):
        stage.world.run(stage.world.now + 0.1)
    oracle = RefreshesBounded(stage.world, stage.site)
    for _ in range(RefreshesBounded.MOST + 1):
        ask(0)
    with pytest.raises(Violation, match="13 times"):
        stage.world.run(stage.world.now + 0.1)
