"""Nodes that die, stand still or refuse: the others go on undisturbed, and what may be repeated goes to the new owners."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import get, incr, ping, set_
from streamcore.errors import (
    ClusterDownError,
    ConnectionLost,
    LoadingError,
    LoginRefused,
    RequestTimeout,
    UnreadableError,
)
from streamcore.events import ConnectAttemptFailed, Disconnected
from streamcore.options import Address, Options
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.topology_events import NodeSuspected, SlotsCovered, SlotsUncovered, TopologyChanged
from tests.core.support.clusters import KEYS, START, Rig, Topologies, address, slot


def warm(rig: Rig) -> None:
    """Open a link to every primary."""
    for key in KEYS:
        assert rig.ask(incr(key)).answer() == 1
    rig.words()


def crash(rig: Rig, node: Node) -> Node:
    replica = rig.model.replica_of(node)
    rig.model.crash(node)
    rig.net.serve()
    return replica


def test_the_slots_of_other_nodes_are_not_disturbed() -> None:
    rig = Rig()
    warm(rig)
    links = {key: rig.link(rig.owner(key)) for key in "bc"}
    crash(rig, rig.owner("a"))
    waits = rig.ask(incr("a"))
    for _ in range(4):
        assert [rig.ask(incr(key)).finished for key in "bc"] == [True, True]
        rig.advance(0.3)
    assert not waits.finished
    lost = {event.address for event in rig.events(Disconnected)}
    assert lost == {"127.0.0.1:7002"}
    assert all(link.is_up for link in links.values())


def test_what_was_not_sent_or_may_be_repeated_goes_to_the_new_owner() -> None:
    rig = Rig()
    warm(rig)
    owner = rig.owner("a")
    rig.model.pause(owner)
    repeated, lost = rig.ask(get("a")), rig.ask(incr("a"))
    replica = crash(rig, owner)
    rig.net.serve()
    unsent = rig.ask(incr("a"))
    assert lost.finished
    with pytest.raises(ConnectionLost) as raised:
        lost.answer()
    assert raised.value.sent
    assert not repeated.finished
    rig.model.failover(replica)
    rig.advance(2.0)
    assert (repeated.answer(), unsent.answer()) == (b"1", 2)
    rig.expect_nothing_left()


def test_a_pipeline_loses_the_part_that_was_sent_there() -> None:
    rig = Rig()
    warm(rig)
    rig.model.pause(rig.owner("a"))
    call = rig.ask(incr("a"), incr("b"), get("{a}2"))
    crash(rig, rig.owner("a"))
    rig.net.serve()
    lost, answer, behind = call.answers()
    assert (type(lost), answer, type(behind)) == (ConnectionLost, 2, ConnectionLost)
    whole = rig.ask(get("a"), get("{a}3"))
    rig.until(whole)
    with pytest.raises(
        ConnectionLost, match=r"the request was not sent: no connection to 127.0.0.1:7002 within 5 s: .*no server"
    ):
        whole.answers()


def test_a_node_that_is_never_replaced_costs_no_room() -> None:
    rig = Rig(options=Options(max_outgoing=1000))
    warm(rig)
    crash(rig, rig.owner("a"))
    for _ in range(14):
        rig.ask(set_("a", "x" * 50))
    rooms = [rig.client.has_room]
    assert "bytes of requests before it are unanswered" in str(rig.client.no_room())
    rig.advance(6.0)
    rooms.append(rig.client.has_room)
    assert rooms == [False, True]
    assert rig.ask(incr("b")).answer() == 2


def test_a_silent_node_is_suspected_and_left_when_its_slots_have_another_owner() -> None:
    rig = Rig()
    warm(rig)
    owner = rig.owner("a")
    rig.model.pause(owner)
    request, write = rig.ask(get("a")), rig.ask(incr("a"))
    rig.advance(0.9)
    assert not rig.events(NodeSuspected)
    rig.advance(0.2)
    assert [event.address for event in rig.events(NodeSuspected)] == ["127.0.0.1:7002"]
    rig.model.failover(rig.model.replica_of(owner))
    rig.advance(1.2)
    assert request.answer() == b"1"
    with pytest.raises(ConnectionLost, match="does not answer, and its slots have another owner"):
        write.answer()
    assert rig.ask(incr("a")).answer() == 2
    rig.advance(1.0)
    assert rig.link(owner) is None
    rig.expect_nothing_left()


def test_a_silent_connection_of_a_node_that_serves_is_waited_for() -> None:
    rig = Rig()
    warm(rig)
    rig.net.silence("127.0.0.1:7002")
    request = rig.ask(incr("a"))
    asked = Topologies(rig.model)
    rig.until(request)
    with pytest.raises(RequestTimeout, match=r"127.0.0.1:7002 did not answer within 5 s"):
        request.answer()
    assert len(rig.events(NodeSuspected)) == 1
    assert 5 <= asked.take() <= 10, "the others are asked 0.1 s after, doubling to 1 s"
    rig.advance(1.0)
    assert rig.ask(incr("a")).answer() == 2
    rig.expect_nothing_left()


def test_a_suspect_that_answers_is_kept() -> None:
    rig = Rig()
    warm(rig)
    owner = rig.owner("a")
    link = rig.link(owner)
    rig.model.pause(owner)
    request = rig.ask(incr("a"))
    rig.advance(1.5)
    rig.model.resume(owner)
    rig.advance(2.0)
    assert request.answer() == 2
    assert rig.link(owner) is link
    assert not rig.router._suspects


def test_a_slot_that_nobody_serves_is_asked_for_until_it_is_served() -> None:
    rig = Rig()
    warm(rig)
    rig.advance(1.0)
    asked = Topologies(rig.model)
    rig.model.uncover(slot("a"))
    request = rig.ask(incr("a"))
    rig.advance(4.0)
    pauses = [round(later - former, 2) for former, later in zip(asked.times, asked.times[1:], strict=False)]
    assert pauses[0] == pytest.approx(0.1, abs=0.03)
    assert pauses == sorted(pauses), "doubling"
    assert pauses[-1] == pytest.approx(1.0, abs=0.1)
    assert rig.events(SlotsUncovered)[0].slots == ((15495, 15495),)
    rig.model.cover(slot("a"), rig.model.nodes[0])
    rig.until(request, 0.9)
    assert request.answer() == 1
    rig.advance(1.1)
    assert len(rig.events(SlotsCovered)) == 1
    rig.advance(1.0)
    asked.take()
    rig.advance(5.0)
    assert asked.take() == 0
    rig.expect_nothing_left()


@pytest.mark.parametrize(
    ("line", "kind"), [("LOADING the data", LoadingError), ("CLUSTERDOWN The cluster is down", ClusterDownError)]
)
def test_a_node_that_cannot_serve_now_is_tried_again(line: str, kind: type[Exception]) -> None:
    rig = Rig()
    warm(rig)
    rig.owner("a").faults.unavailable = line
    requests = [rig.ask(incr("a")) for _ in range(3)]
    rig.advance(1.0)
    assert not any(request.finished for request in requests)
    rig.owner("a").faults.unavailable = None
    rig.advance(0.5)
    assert [request.answer() for request in requests] == [2, 3, 4]
    rig.owner("a").faults.unavailable = line
    late = rig.ask(incr("a"))
    rig.until(late)
    with pytest.raises(kind):
        late.answer()


def test_what_was_refused_for_now_may_be_overtaken_by_what_was_on_its_way() -> None:
    """The limit that the guide tells: the node serves again before it comes to the commands behind."""
    rig = Rig()
    warm(rig)
    owner = rig.owner("a")
    rig.model.pause(owner)
    requests = [rig.ask(incr("a")) for _ in range(3)]
    owner.faults.fail_next("INCR", "CLUSTERDOWN The cluster is down")
    rig.model.resume(owner)
    rig.net.serve()
    requests.append(rig.ask(incr("a")))
    rig.advance(0.5)
    assert [request.answer() for request in requests] == [4, 2, 3, 5]
    rig.expect_nothing_left()


def test_a_demoted_primary_sends_to_its_successor() -> None:
    rig = Rig()
    warm(rig)
    rig.owner("a").faults.unavailable = "READONLY You can't write against a read only replica."
    requests = [rig.ask(incr("a")) for _ in range(2)]
    rig.model.failover(rig.model.replica_of(rig.owner("a")))
    rig.advance(1.0)
    assert [request.answer() for request in requests] == [2, 3]
    assert rig.events(TopologyChanged)
    rig.expect_nothing_left()


def test_all_nodes_die_and_come_back() -> None:
    rig = Rig()
    warm(rig)
    nodes = [*rig.model.nodes]
    for node in nodes:
        rig.model.crash(node)
    rig.advance(3.0)
    requests = [rig.ask(incr(key)) for key in KEYS]
    keyless = rig.ask(ping())
    for node in nodes:
        rig.model.restart(node)
    rig.advance(4.5)
    assert [request.answer() for request in requests] == [2, 2, 2]
    assert keyless.answer() == b"PONG"
    rig.expect_nothing_left()


def test_an_asked_node_that_dies_leaves_its_requests_at_the_gate() -> None:
    """``ASK`` to a node that is down: what was refused goes back to the owner, in order, and on as soon as it can."""
    rig = Rig()
    rig.ask(incr("a"))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys()
    rig.model.crash(move.target)
    requests = [rig.submit(incr("a")) for _ in range(3)]
    rig.advance(1.0)
    requests += [rig.submit(incr("a")) for _ in range(3)]
    rig.advance(0.3)
    assert not any(request.finished for request in requests)
    rig.model.restart(move.target)
    rig.advance(3.0)
    assert [request.answer() for request in requests] == [*range(2, 8)]
    rig.expect_nothing_left()


def test_a_node_that_refuses_the_login_ends_what_it_would_get_and_nothing_else() -> None:
    rig = Rig()
    rig.owner("a").faults.fail_next("HELLO", "WRONGPASS invalid username-password pair", 2)
    first, second = rig.submit(incr("a")), rig.submit(incr("{a}2"), incr("b"))
    rig.net.serve()
    with pytest.raises(ConnectionLost, match="WRONGPASS"):
        first.answer()
    answers = second.answers()
    assert (type(answers[0]), answers[1]) == (ConnectionLost, 1)
    assert [type(event.error) for event in rig.events(ConnectAttemptFailed)] == [LoginRefused]
    with pytest.raises(ConnectionLost):
        rig.ask(incr("a")).answer()
    assert rig.ask(incr("a")).answer() == 1
    rig.expect_nothing_left()


def test_the_first_dial_fails_and_the_replica_takes_over() -> None:
    rig = Rig()
    replica = crash(rig, rig.owner("a"))
    requests: list[Any] = [rig.ask(incr("a")) for _ in range(2)]
    rig.advance(0.5)
    call = rig.ask(incr("a"), incr("b"), incr("{a}2"))
    rig.model.failover(replica)
    rig.advance(2.0)
    assert [request.answer() for request in requests] == [1, 2]
    assert call.answers() == [3, 1, 1]
    assert rig.link(rig.model.nodes[2]) is None
    rig.expect_nothing_left()


def test_commands_without_keys_go_to_another_node_at_once() -> None:
    rig = Rig(seeds=[Address("127.0.0.1", port) for port in (7000, 7001)])
    main = next(link for link in rig.client.links() if link.name == "main")
    assert isinstance(main.address, Address)
    node = rig.model.at("127.0.0.1", main.address.port)
    assert node is not None
    rig.model.crash(node)
    rig.net.serve()
    assert rig.client.is_ready
    assert main.address != address(node)
    assert rig.ask(ping()).finished


def test_a_cluster_of_which_a_node_is_dead_from_the_beginning() -> None:
    model = ModelCluster(now=START)
    dead = model.nodes[0]
    replica = model.replica_of(dead)
    model.crash(dead)
    model.failover(replica)
    rig = Rig(model=model, seeds=[address(node) for node in model.nodes[:2]])
    rig.advance(1.0)
    assert rig.client.is_ready
    assert [rig.ask(incr(key)).answer() for key in KEYS] == [1, 1, 1]


# -- connections that end in the midst ------------------------------------------------------------------------------------

UNREADABLE = b"-ERR Protocol error: invalid bulk length\r\n"
NAME = "127.0.0.1:7002"


def test_behind_a_command_that_was_not_understood_nothing_was_executed() -> None:
    rig = Rig()
    warm(rig)
    rig.net.silence(NAME)
    culprit, behind = rig.ask(incr("a")), rig.ask(incr("a"))
    peer = rig.net.pair.peer(NAME)
    peer.reply(UNREADABLE)
    peer.close()
    rig.advance(0.5)
    assert behind.answer() == 2
    with pytest.raises(UnreadableError):
        culprit.answer()
    rig.expect_nothing_left()


def test_a_part_is_cut_short_by_a_command_that_was_not_understood() -> None:
    rig = Rig()
    warm(rig)
    rig.net.silence(NAME)
    call, behind = rig.ask(incr("a"), incr("d"), incr("b")), rig.ask(incr("a"))
    peer = rig.net.pair.peer(NAME)
    peer.reply(UNREADABLE)
    peer.close()
    rig.advance(0.5)
    assert [type(answer) for answer in call.answers()] == [UnreadableError, UnreadableError, int]
    assert behind.answer() == 2
    rig.expect_nothing_left()


def test_a_part_of_several_slots_is_divided_where_one_has_moved_meanwhile() -> None:
    rig = Rig()
    warm(rig)
    rig.advance(1.0)
    rig.net.silence(NAME)
    call = rig.ask(get("a"), get("d"), get("b"))
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    rig.router._refresher.want()
    rig.client.on_wakeup()
    rig.advance(0.2)
    behind = rig.ask(incr("a"))
    assert not behind.finished, "the node may still answer what was asked before"
    rig.net.pair.peer(NAME).close()
    rig.advance(1.0)
    assert call.answers() == [b"1", None, b"1"]
    assert behind.answer() == 2
    rig.expect_nothing_left()


def test_what_waits_for_a_dial_moves_with_its_slot() -> None:
    rig = Rig()
    rig.advance(1.0)
    rig.net.pair.dials = False
    requests = [rig.ask(incr("a")) for _ in range(3)]
    call = rig.ask(incr("a"), incr("d"), incr("{a}2"))
    requests[1].finished = True
    behind = rig.ask(incr("d"))
    rig.model.move_slot(slot("a"), rig.model.nodes[1])
    rig.router._refresher.want()
    rig.client.on_wakeup()
    rig.advance(0.2)
    rig.net.pair.dials = True
    rig.advance(0.5)
    assert [request.answer() for request in (requests[0], requests[2])] == [1, 2]
    assert call.answers() == [3, 1, 1]
    assert behind.answer() == 2
    rig.expect_nothing_left()


def test_what_was_refused_for_now_moves_in_front_of_what_waits() -> None:
    rig = Rig()
    warm(rig)
    owner = rig.owner("a")
    owner.faults.unavailable = "CLUSTERDOWN The cluster is down"
    requests = [rig.ask(incr("a")) for _ in range(2)]
    replica = crash(rig, owner)
    rig.net.pair.dials = False
    rig.advance(0.3)
    requests += [rig.ask(incr("a")) for _ in range(2)]
    rig.model.failover(replica)
    rig.router._refresher.want()
    rig.client.on_wakeup()
    rig.advance(1.5)
    rig.net.pair.dials = True
    rig.advance(2.0)
    assert [request.answer() for request in requests] == [2, 3, 4, 5]
    rig.expect_nothing_left()


def test_a_driver_that_was_held_up_reads_before_it_gives_up() -> None:
    rig = Rig()
    warm(rig)
    rig.net.silence(NAME)
    request, call = rig.ask(incr("a")), rig.ask(incr("b"), incr("a"))
    rig.client.handle_timeout(rig.net.pair.now + 5.2)
    assert not request.finished
    assert not call.finished
    rig.net.pair.now += 5.2
    rig.advance(0.2)
    assert request.finished
    assert call.finished
