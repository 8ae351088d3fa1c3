"""The embedded cluster: slots that move, primaries that change, nodes that join and leave; and that it heals after each."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from streamcore.commands import Command, asking, set_
from streamcore.errors import InvalidArgument, ReplyError
from tests.support.cluster import KEY, SLOT, another, ask, is_home, moved, wait_until
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedCluster, EmbeddedServerError
from transports.embedded.moves import SlotMove

every_server = pytest.mark.every_server
pytestmark = pytest.mark.timeout(180)  # six servers begin together, or elect a primary

# -- slots --------------------------------------------------------------------------------------------------------------


@every_server
def test_a_classic_move(cluster: EmbeddedCluster) -> None:
    source = cluster.owner(SLOT)
    target = another(cluster, source)
    for number in range(250):
        ask(source, "SET", f"{{orders}}:{number}", number)
    cluster.move_slot(SLOT, target)
    assert cluster.owner(SLOT) is target
    assert ask(target, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 250
    assert all(ask(node, "GET", KEY) == moved(target) for node in cluster.nodes if node is not target)
    cluster.heal()
    assert is_home(cluster)
    assert ask(source, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 250, "keys go where their slot goes"


@every_server
def test_an_atomic_move(cluster: EmbeddedCluster, server_kind: ServerKind) -> None:
    source = cluster.owner(SLOT)
    target = another(cluster, source)
    ask(source, "SET", KEY, "v")
    if server_kind.name == "redis7":
        with pytest.raises(InvalidArgument, match=r"needs servers of Valkey 9.0 or Redis 8.4"):
            cluster.move_slot(SLOT, target, "atomic")
        return
    cluster.move_slot(SLOT, target, "atomic")
    assert cluster.owner(SLOT) is target
    assert ask(target, "GET", KEY) == b"v"
    assert ask(source, "GET", KEY) == moved(target)


def test_a_move_of_an_unknown_kind(cluster: EmbeddedCluster) -> None:
    with pytest.raises(InvalidArgument, match="neither 'classic' nor 'atomic'"):
        cluster.move_slot(SLOT, cluster.nodes[0], "quick")  # type: ignore[arg-type]


@every_server
def test_a_move_step_by_step(cluster: EmbeddedCluster) -> None:
    source = cluster.owner(SLOT)
    target = another(cluster, source)
    for number in range(3):
        ask(source, "SET", f"{{orders}}:{number}", number)
    move = cluster.slot_move(SLOT, target)
    move.begin()
    assert ask(source, "GET", KEY) == b"1"
    assert ask(source, "GET", "{orders}:none") == f"ASK {SLOT} 127.0.0.1:{target.port}"
    assert move.move_keys(2) == 2
    reply = ask(source, "MGET", *(f"{{orders}}:{number}" for number in range(3)))
    assert reply == "TRYAGAIN Multiple keys request during rehashing of slot"
    cluster.heal()  # it finishes what has begun, and brings the slot back
    assert is_home(cluster)
    assert ask(source, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 3


class Hearsay:
    """The end of a move, in the place of a node: what it knows of the other's epoch, and when it is told of the new owner."""

    def __init__(self, name: str, epochs: list[int], told: list[str]) -> None:
        self.id, self.epochs, self.told = name, epochs, told

    def known(self) -> dict[str, Any]:
        epoch = self.epochs.pop(0)
        self.told.append(f"{self.id} knows {epoch}")
        return {"source": SimpleNamespace(config_epoch=epoch)}

    def databases(self) -> range:
        return range(0)

    def ask_all(self, commands: list[Command[Any]]) -> list[bytes]:
        self.told.append(f"{self.id} is told")
        return [b"OK"]


def test_a_slot_goes_on_when_its_target_has_heard_of_the_newest_epoch() -> None:
    told: list[str] = []
    source: Any = Hearsay("source", [8], told)
    target: Any = Hearsay("target", [5, 5, 8], told)
    SlotMove(SLOT, source, target, []).finish()
    assert told == [
        *("source knows 8", "target knows 5", "target knows 5", "target knows 8"),
        *("target is told", "source is told"),
    ]


@every_server
def test_a_slot_goes_there_and_back_without_rest(cluster: EmbeddedCluster) -> None:
    ends = [source := cluster.owner(SLOT), another(cluster, source)]
    for turn in range(24):
        move = SlotMove(SLOT, ends[turn % 2], ends[1 - turn % 2], cluster.nodes[:3])
        move.begin()
        move.finish()
    cluster.wait_ok()
    assert cluster.owner(SLOT) is source


def test_a_key_at_both_ends_of_a_move(cluster: EmbeddedCluster) -> None:
    source = cluster.owner(SLOT)
    target = another(cluster, source)
    ask(source, "SET", KEY, "there")
    cluster.slot_move(SLOT, target).begin()
    target.ask_all([asking(), set_(KEY, "here")])
    with pytest.raises(ReplyError, match="BUSYKEY"):
        cluster.slot_move(SLOT, target).move_keys()
    cluster.heal()
    assert is_home(cluster)


@every_server
def test_a_slot_without_an_owner(cluster: EmbeddedCluster) -> None:
    owner = cluster.owner(SLOT)
    ask(owner, "SET", KEY, "v")
    cluster.uncover(SLOT)
    assert all(ask(node, "GET", KEY) == "CLUSTERDOWN Hash slot not served" for node in cluster.nodes[:3])
    with pytest.raises(EmbeddedServerError, match=f"no node has slot {SLOT}"):
        cluster.owner(KEY)
    cluster.cover(SLOT)
    cluster.wait_ok()
    assert cluster.owner(SLOT) is owner
    assert ask(owner, "GET", KEY) == b"v", "it has kept the keys"


@every_server
@pytest.mark.parametrize("end", ["source", "target"])
def test_it_heals_when_an_end_of_a_move_dies(cluster: EmbeddedCluster, end: str) -> None:
    source = cluster.owner(SLOT)
    target = another(cluster, source)
    for number in range(4):
        ask(source, "SET", f"{{orders}}:{number}", number)
    move = cluster.slot_move(SLOT, target)
    move.begin()
    move.move_keys(2)
    cluster.wait_replicated()
    cluster.crash(source if end == "source" else target)
    cluster.heal()
    assert is_home(cluster)
    assert ask(source, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 4


def test_it_heals_when_a_single_node_has_lost_a_slot(cluster: EmbeddedCluster) -> None:
    ask(cluster.owner(SLOT), "CLUSTER", "DELSLOTS", SLOT)  # no other node hears of it
    cluster.heal()
    assert is_home(cluster)


def test_it_heals_when_slots_were_deleted_and_their_owner_has_died(cluster: EmbeddedCluster) -> None:
    owner = cluster.owner(SLOT)
    cluster.uncover(SLOT)
    cluster.crash(owner)
    cluster.heal()
    assert is_home(cluster)


# -- primaries ----------------------------------------------------------------------------------------------------------


@every_server
def test_a_planned_failover(cluster: EmbeddedCluster) -> None:
    old = cluster.owner(KEY)
    ask(old, "SET", KEY, "v")
    new = cluster.failover(old)
    assert new is cluster.owner(KEY) is not old
    assert cluster.replica_of(new) is old
    assert ask(new, "GET", KEY) == b"v"
    assert ask(old, "GET", KEY) == moved(new)
    cluster.heal()
    assert is_home(cluster)
    assert ask(old, "GET", KEY) == b"v"


@every_server
def test_a_crash(cluster: EmbeddedCluster) -> None:
    old = cluster.owner(KEY)
    replica = cluster.replica_of(old)
    new = cluster.crash(old)
    assert new is replica
    assert not old.is_running()
    assert cluster.owner(KEY) is new
    cluster.wait_ok()
    assert ask(new, "SET", KEY, "v") == b"OK"
    with pytest.raises(EmbeddedServerError, match="no replica that can answer"):
        cluster.failover(new)
    cluster.heal()
    assert is_home(cluster)
    assert ask(old, "GET", KEY) == b"v"


@every_server
def test_a_stopped_node(cluster: EmbeddedCluster) -> None:
    node = cluster.owner(KEY)
    with Raw(node.port) as raw:
        cluster.pause(node)
        assert not node.is_up()
        raw.send("PING")
        assert raw.is_silent(0.2)
        cluster.resume(node)
        assert raw.read() == b"PONG"
    assert node.is_up()


@every_server
def test_it_heals_after_an_election(cluster: EmbeddedCluster) -> None:
    node = cluster.owner(KEY)
    replica = cluster.replica_of(node)
    cluster.pause(node)
    wait_until(lambda: cluster.owner(KEY) is replica)
    cluster.heal()
    assert is_home(cluster)


@every_server
def test_it_heals_when_every_node_was_killed(cluster: EmbeddedCluster) -> None:
    for node in cluster.nodes:
        node.kill()
    with pytest.raises(EmbeddedServerError, match="no node of the embedded cluster can answer"):
        cluster.owner(KEY)
    cluster.heal()
    assert is_home(cluster)


@every_server
def test_the_data_of_a_killed_primary(cluster: EmbeddedCluster) -> None:
    owner = cluster.owner(KEY)
    ask(owner, "SET", KEY, "v")
    cluster.wait_replicated()
    owner.kill()
    cluster.heal()
    assert is_home(cluster)
    assert ask(owner, "GET", KEY) == b"v", "its replica has kept it"


def test_a_process_that_was_stopped_by_other_means(cluster: EmbeddedCluster) -> None:
    os.kill(cluster.nodes[0].pid, signal.SIGSTOP)
    cluster.heal()
    assert is_home(cluster)


def test_a_node_that_was_stopped_in_order(cluster: EmbeddedCluster) -> None:
    cluster.owner(KEY).stop()
    cluster.heal()
    assert is_home(cluster)


@every_server
def test_failovers_there_and_back_without_rest(cluster: EmbeddedCluster) -> None:
    first = cluster.owner(KEY)
    ask(first, "SET", KEY, "v")
    for _ in range(3):  # Redis refuses votes about the same primary for four seconds
        second = cluster.failover(first)
        assert cluster.failover(second) is first
    assert ask(first, "GET", KEY) == b"v"


def test_a_primary_that_follows_the_primary_of_another_shard(cluster: EmbeddedCluster) -> None:
    first, second = cluster.nodes[:2]
    heir = cluster.crash(first)
    first.restart()
    wait_until(lambda: ask(first, "ROLE")[0] == b"slave")
    ask(first, "CLUSTER", "REPLICATE", second.id)
    cluster.wait_ok()
    assert cluster.owner(0) is heir
    cluster.heal()
    assert is_home(cluster)


# -- nodes that join and leave ------------------------------------------------------------------------------------------


@every_server
def test_nodes_that_join(cluster: EmbeddedCluster) -> None:
    first = cluster.owner(SLOT)
    ask(first, "SET", KEY, "v")
    node = cluster.add_node()
    assert cluster.nodes[6:] == (node,)
    assert f"127.0.0.1:{node.port}" in cluster.url
    cluster.move_slot(SLOT, node)
    replica = cluster.add_node(replica_of=node)
    assert cluster.replica_of(node) is replica
    assert ask(replica, "GET", KEY, readonly=True) == b"v"

    cluster.remove_node(replica)
    with pytest.raises(EmbeddedServerError, match="no replica"):
        cluster.replica_of(node)
    assert not replica.is_started()
    cluster.heal()
    assert is_home(cluster)
    assert len(cluster.nodes) == 6
    assert ask(first, "GET", KEY) == b"v"


@every_server
def test_a_primary_that_leaves(cluster: EmbeddedCluster) -> None:
    leaving = cluster.owner(SLOT)
    orphan = cluster.replica_of(leaving)
    ask(leaving, "SET", KEY, "v")
    before = leaving.id
    cluster.remove_node(leaving)
    assert leaving not in cluster.nodes
    assert not leaving.is_running()
    owner = cluster.owner(SLOT)
    assert ask(owner, "GET", KEY) == b"v", "keys go where their slot goes"
    assert ask(orphan, "ROLE")[0] == b"slave"
    assert before.encode() not in ask(owner, "CLUSTER", "NODES")
    cluster.wait_ok()
    with pytest.raises(EmbeddedServerError, match="does not belong"):
        cluster.remove_node(leaving)
    cluster.heal()
    assert is_home(cluster)
    assert leaving.id != before
    assert ask(leaving, "GET", KEY) == b"v"


@every_server
def test_messages_are_passed_on_when_it_is_in_order_again(cluster: EmbeddedCluster) -> None:
    """A former primary passes nothing on for some tenths of a second."""
    former = cluster.owner(SLOT)
    for restore in (cluster.wait_ok, cluster.heal):
        cluster.failover(cluster.owner(SLOT))
        restore()
        for speaker in cluster.nodes:
            with ExitStack() as stack:
                ears = [stack.enter_context(node.listen("news")) for node in cluster.nodes]
                assert [ear.messages(5.0) for ear in ears] == [[]] * len(ears), "only that they have subscribed"
                ask(speaker, "PUBLISH", "news", "hello")
                assert [ear.messages(5.0) for ear in ears] == [[b"hello"]] * len(ears)
    assert cluster.owner(SLOT) is former
