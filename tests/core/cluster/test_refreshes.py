"""The questions for the topology: of whom, how often, and what is made of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.cluster.board import Board
from streamcore.cluster.multiplexer import ClusterMultiplexer
from streamcore.commands import get, incr, ping
from streamcore.errors import ConnectionLost, InvalidArgument, LoginRefused, NoPermissionError
from streamcore.events import ConnectAttemptFailed
from streamcore.options import Address
from streamcore.requests import Multiplexer
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model import Server
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.net import Net
from streamcore.topology_events import SlotsCovered, SlotsUncovered, TopologyChanged
from tests.core.support.clusters import KEYS, START, Rig, Topologies, address, slot

SEEDS = [Address("127.0.0.1", port) for port in (7000, 7001, 7002)]
NO_SUCH = Address("127.0.0.1", 6999)


def test_a_client_is_ready_when_it_knows_the_topology() -> None:
    rig = Rig(starts=False)
    asked = Topologies(rig.model)
    rig.start()
    assert rig.client.is_ready
    assert asked.take() == 1
    assert rig.router.snapshot is not None
    assert rig.router.snapshot.asked_of == SEEDS[0]
    rig.advance(10.0)
    assert asked.take() == 0


def test_it_is_asked_for_now_and_then_of_changing_nodes() -> None:
    numbers = iter(range(10**6))
    rig = Rig(engine={"random": lambda: next(numbers) * 0.37 % 1}, refresh_interval=10.0)
    asked = Topologies(rig.model)
    rig.advance(100.0)
    pauses = [later - former for former, later in zip(asked.times, asked.times[1:], strict=False)]
    assert 8 <= len(asked.times) <= 12
    assert all(8.0 <= pause <= 12.2 for pause in pauses)
    assert len({round(pause, 3) for pause in pauses}) > 3, "jitter"
    assert len(asked.by_node) >= 3
    assert not rig.events(TopologyChanged), "equal answers change nothing"


def test_its_link_is_closed_when_it_is_idle() -> None:
    rig = Rig(refresh_interval=50.0)
    link = rig.client.links()[0]
    wanted = [link.wants_connection]
    for seconds in (9.0, 2.0, 55.0):
        rig.advance(seconds)
        wanted.append(link.wants_connection)
    assert wanted == [True, True, False, True]
    assert rig.ask(incr("a")).answer() == 1


def test_a_seed_that_is_down_is_passed_over() -> None:
    rig = Rig(seeds=[NO_SUCH, SEEDS[1]])
    assert rig.client.is_ready
    assert rig.ask(incr("a")).answer() == 1
    assert [event.address for event in rig.events(ConnectAttemptFailed)] == ["127.0.0.1:6999"]


def test_a_seed_that_stands_still_is_passed_over_after_a_second() -> None:
    rig = Rig(seeds=SEEDS, starts=False)
    rig.model.pause(rig.model.nodes[0])
    rig.start()
    rig.advance(0.9)
    assert not rig.client.is_ready
    rig.advance(0.2)
    assert rig.ask(incr("c")).answer() == 1


def test_seeds_that_are_down_are_tried_again() -> None:
    rig = Rig(seeds=[NO_SUCH])
    request = rig.ask(incr("a"))
    keyless = rig.ask(ping())
    call = rig.ask(incr("a"), incr("b"))
    rig.advance(6.0)
    for ended in (request, call):
        with pytest.raises(ConnectionLost, match=r"not sent: no node was known for its slot within 5 s: .*6999"):
            ended.answers()
    with pytest.raises(ConnectionLost, match="no connection to any node"):
        keyless.answer()
    failed = rig.events(ConnectAttemptFailed)
    assert 7 <= len(failed) <= 10, "0.1 s, doubling to 1 s"
    rig.expect_nothing_left()


def test_an_answer_that_does_not_come_is_a_trouble() -> None:
    rig = Rig(starts=False)
    rig.model.pause(rig.model.nodes[0])
    request = rig.submit(incr("a"))
    rig.start()
    rig.until(request)
    with pytest.raises(ConnectionLost, match=r"127.0.0.1:7000"):
        request.answer()


def test_a_standalone_server_is_no_seed() -> None:
    rig = Rig(starts=False)
    client = rig.client
    net = Net(Server(now=START), client)
    net.advance(0.1)
    assert isinstance(client.error, InvalidArgument)
    assert str(client.error) == "127.0.0.1:7000 is a standalone server, and no node of a cluster"
    with pytest.raises(InvalidArgument):
        client.submit([get("a")], print)


def test_a_user_who_may_not_ask_is_told_so() -> None:
    rig = Rig(starts=False)
    rig.model.nodes[0].faults.denied.add("CLUSTER")
    rig.start()
    assert isinstance(rig.client.error, NoPermissionError)
    assert "cluster" in str(rig.client.error)
    assert rig.client.next_timeout() is None


def test_a_node_that_may_not_be_asked_later_is_passed_over() -> None:
    rig = Rig(refresh_interval=10.0, seeds=SEEDS)
    for node in rig.model.nodes[1:]:
        node.faults.denied.add("CLUSTER")
    rig.advance(30.0)
    assert rig.client.error is None
    snapshot = rig.router.snapshot
    assert snapshot is not None
    assert snapshot.asked_at > START + 10.0


def test_a_login_that_all_seeds_refuse_ends_the_client() -> None:
    rig = Rig(starts=False, seeds=[SEEDS[0], NO_SUCH])
    rig.model.nodes[0].faults.fail_next("HELLO", "WRONGPASS invalid username-password pair")
    rig.start()
    assert isinstance(rig.client.error, LoginRefused)


def test_a_login_that_a_single_seed_refuses_ends_nothing() -> None:
    rig = Rig(starts=False, seeds=SEEDS[:2])
    rig.model.nodes[0].faults.fail_next("HELLO", "WRONGPASS invalid username-password pair")
    rig.start()
    assert rig.client.error is None
    assert rig.ask(incr("c")).answer() == 1


def test_answers_that_make_no_sense_are_passed_over() -> None:
    rig = Rig(starts=False, seeds=SEEDS[:2])
    rig.model.nodes[0].faults.fail_next("CLUSTER SLOTS", "ERR This instance has cluster support disabled")
    rig.model.nodes[0].faults.fail_next("CLUSTER", "ERR unknown command")
    rig.start()
    assert rig.ask(incr("a")).answer() == 1


def test_a_node_that_has_forgotten_the_cluster_is_not_believed() -> None:
    rig = Rig(seeds=SEEDS[:1], refresh_interval=10.0)
    rig.ask(incr("a"))
    rig.model.crash(rig.model.nodes[0])
    rig.advance(1.0)
    rig.model.restart(rig.model.nodes[0], forgets=True)
    for node in rig.model.nodes[1:]:
        rig.model.pause(node)
    rig.advance(20.0)
    assert rig.router.snapshot is not None
    assert len(rig.router.primaries) == 3
    for node in rig.model.nodes[1:]:
        rig.model.resume(node)
    rig.advance(2.0)
    assert rig.ask(incr("a")).answer() == 2


def test_a_whole_new_cluster_at_the_seeds_is_taken() -> None:
    rig = Rig(refresh_interval=10.0)
    rig.ask(incr("a"))
    for node in rig.model.nodes:
        rig.model.crash(node)
    rig.net.serve()
    new = ModelCluster(2, 0, now=rig.model.now, host="127.0.0.2", node_timeout=60.0)
    for node in new.nodes:
        node.view.myself.hostname = b"127.0.0.1"
    rig.net.cluster = rig.net._clock = new
    rig.advance(3.0)
    assert len(rig.router.primaries) == 2
    assert rig.ask(incr("a")).answer() == 1


def test_slots_without_a_node_are_told_once() -> None:
    rig = Rig(refresh_interval=10.0)
    rig.events(SlotsUncovered)
    rig.model.uncover(slot("a"))
    rig.advance(30.0)
    assert [event.slots for event in rig.events(SlotsUncovered)] == [((15495, 15495),)]
    rig.model.cover(slot("a"), rig.model.nodes[2])
    rig.advance(13.0)
    assert len(rig.events(SlotsCovered)) == 1


def test_a_node_that_joins_is_told_and_reached() -> None:
    rig = Rig(refresh_interval=10.0)
    rig.ask(incr("a"))
    joined = rig.model.join()
    rig.watch(joined)
    rig.model.move_slot(slot("a"), joined)
    assert not rig.ask(incr("a")).finished, "its address was named by no topology"
    rig.advance(0.5)
    assert rig.ask(incr("a")).answer() == 3
    [event] = rig.events(TopologyChanged)
    assert (event.joined, event.left, event.moved) == (("127.0.0.1:7006",), (), ((15495, 15495),))


def test_a_node_that_leaves_loses_its_link() -> None:
    rig = Rig(refresh_interval=10.0)
    rig.ask(incr("a"), incr("b"), incr("c"))
    leaving = rig.model.nodes[2]
    mine = [number for number in range(16384) if leaving.view.owners[number] == leaving.id]
    for node in rig.model.nodes:
        node.view.assign(mine, rig.model.nodes[0].id)
    replica = rig.model.nodes[5]
    link = rig.link(leaving)
    assert link.is_up
    rig.model.leave(replica)
    rig.model.leave(leaving)
    rig.advance(13.0)
    assert rig.link(leaving) is None
    assert not link.wants_connection
    dials = link.attempts
    rig.advance(30.0)
    assert link.attempts == dials
    assert address(leaving) not in rig.router.primaries


def test_an_interruption_is_none_of_its_errors() -> None:
    def interrupted(host: str, port: int) -> tuple[str, int]:
        raise OSError("a signal handler")

    with pytest.raises(OSError, match="a signal handler"):
        Rig(address_map=interrupted)


# -- two engines ----------------------------------------------------------------------------------------------------------


def second(rig: Rig) -> tuple[ClusterMultiplexer, ClusterNet]:
    client = ClusterMultiplexer(router=rig.cluster.router)
    return client, ClusterNet(rig.model, client)


def test_a_second_engine_knows_what_the_first_has_learned() -> None:
    rig = Rig()
    asked = Topologies(rig.model)
    client, net = second(rig)
    done: list[Any] = []
    client.submit([incr("a")], done.append)
    net.serve()
    assert done[0].answer() == 1
    assert not asked.take()


def test_one_asks_and_the_other_learns() -> None:
    rig = Rig(refresh_interval=60.0)
    client, net = second(rig)
    done: list[Any] = []
    for key in KEYS:
        client.submit([incr(key)], done.append)
    net.advance(0.1)
    asked = Topologies(rig.model)
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    assert rig.ask(incr("a")).answer() == 2
    rig.advance(1.0)
    assert asked.take() == 1
    for node in rig.model.nodes:
        node.on_command = None
    rig.watch(rig.model.nodes[2])
    rig.words()
    net.advance(3.0)
    client.submit([incr("a")], done.append)
    net.serve()
    assert done[-1].answer() == 3
    assert rig.words() == [], "it was not asked of the former owner"


def test_what_one_has_asked_for_answers_the_other() -> None:
    rig = Rig()
    client, net = second(rig)
    net.advance(0.2)
    rig.advance(0.2)
    asked = Topologies(rig.model)
    for router in (rig.router, client._router):
        router._refresher.want()  # type: ignore[attr-defined]
    rig.advance(0.05)
    net.advance(0.3)
    rig.advance(0.3)
    assert asked.take() <= 2


def test_a_turn_that_was_left_unused_passes_on() -> None:
    rig = Rig(starts=False)
    assert rig.cluster.board.take_turn(START)
    rig.start()
    request = rig.ask(incr("a"))
    rig.advance(1.9)
    assert not request.finished
    rig.advance(0.2)
    assert request.answer() == 1


def test_the_turns_of_a_board() -> None:
    board = Board()
    assert board.take_turn(10.0)
    assert not board.take_turn(11.9)
    board.keep_turn(11.0)
    assert not board.take_turn(12.9)
    board.end_turn(12.0)
    assert not board.take_turn(12.05)
    assert board.take_turn(12.1)
    assert not board.is_newer(0.0)


def test_a_multiplexer_alone_is_not_disturbed_by_clusters() -> None:
    assert Multiplexer().label == "Client"
    assert ClusterMultiplexer(router=Rig(starts=False).cluster.router).label == "Client"

    class Own(ClusterMultiplexer):
        """A subclass of an application."""

    assert Own(router=Rig(starts=False).cluster.router).label == "Own"
