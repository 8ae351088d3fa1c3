"""The router of a cluster: overlays, redirects that may not be followed, and links of each route."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.cluster.overlays import OVERLAY
from streamcore.commands import get, incr, ping
from streamcore.connection.exchange import Exchange
from streamcore.connection.link import Link
from streamcore.engine.router import ANYWHERE, Beside, Slot
from streamcore.errors import ConnectionLost, MovedError, RedirectRefusedError, ReplyError, reply_error
from streamcore.options import Address
from streamcore.topology_events import RedirectRefused
from tests.core.support.clusters import Rig, Topologies, address, slot

NODES = [Address("127.0.0.1", port) for port in range(7000, 7006)]
A = slot("a")


def moved(to: int, number: int = A) -> MovedError:
    error = reply_error(f"MOVED {number} 127.0.0.1:{to}")
    assert isinstance(error, MovedError)
    return error


# -- overlays ---------------------------------------------------------------------------------------------------------


def test_a_moved_counts_at_once() -> None:
    router = Rig().router
    assert router.owner(A) == NODES[2]
    assert router.moved(moved(7000), NODES[2]) == NODES[0]
    assert router.owner(A) == NODES[0]


def test_it_holds_against_other_nodes_until_it_is_old() -> None:
    """The named node has stood still since, and the others have not heard of the move."""
    rig = Rig(refresh_interval=1.0)
    rig.model.pause(rig.model.nodes[0])
    rig.router.moved(moved(7000), NODES[2])
    rig.advance(OVERLAY - 0.5)
    snapshot = rig.router.snapshot
    assert snapshot is not None
    assert snapshot.asked_of != NODES[0]
    assert rig.router.owner(A) == NODES[0]
    rig.advance(1.6)
    assert rig.router.owner(A) == NODES[2]


def test_it_ends_when_the_named_node_knows_better() -> None:
    rig = Rig()
    rig.router.moved(moved(7000), NODES[2])
    rig.advance(0.3)
    assert rig.router.owner(A) == NODES[2]
    assert rig.router._overlays.by_slot == {}


def test_it_ends_when_a_topology_agrees() -> None:
    rig = Rig()
    rig.model.move_slot(A, rig.model.nodes[0])
    rig.ask(incr("a"))
    rig.advance(0.3)
    assert rig.router._overlays.by_slot == {}
    assert rig.router.owner(A) == NODES[0]


def test_it_ends_when_its_node_is_no_primary_any_more() -> None:
    rig = Rig(refresh_interval=1.0)
    rig.model.pause(rig.model.nodes[0])
    rig.router.moved(moved(7000), NODES[2])
    rig.model.failover(rig.model.replica_of(rig.model.nodes[0]))
    rig.advance(2.5)
    assert rig.router.owner(A) == NODES[2]
    assert rig.router._overlays.by_slot == {}


def test_the_named_node_is_asked_first() -> None:
    rig = Rig(engine={"random": lambda: 0.99})
    asked = Topologies(rig.model)
    rig.advance(1.0)
    rig.router.moved(moved(7001), NODES[2])
    rig.client.on_wakeup()
    rig.advance(0.01)
    assert asked.by_node == {7001: 1}


# -- redirects that may not be followed -------------------------------------------------------------------------------


def but_the_first(host: str, port: int) -> bool:
    return port != 7000


def careful() -> Rig:
    """A client that may not follow redirects to the first node."""
    rig = Rig(follow=but_the_first, seeds=NODES[1:2])
    assert [event.address for event in rig.events(RedirectRefused)] == ["127.0.0.1:7000"], "it is not dialled at all"
    return rig


@pytest.mark.parametrize("way", ["moved", "asked"])
def test_a_refused_redirect_is_told_once_and_ends_at_the_deadline(way: str) -> None:
    rig = careful()
    rig.ask(incr("a"))
    move = rig.model.begin_move(A, rig.model.nodes[0])
    move.move_keys()
    if way == "moved":
        for node in rig.model.nodes:
            node.view.assign([A], None)  # so that no topology tells the owner
        rig.advance(1.0)
        rig.model.nodes[2].view.assign([A], rig.model.nodes[0].id)
    asked = Topologies(rig.model)
    request = rig.ask(incr("a"))
    rig.until(request)
    why = r"127.0.0.1:7002 announces 127.0.0.1:7000, which may not be followed: pass address_map= or follow="
    with pytest.raises(RedirectRefusedError, match=why):
        request.answer()
    [event] = rig.events(RedirectRefused)
    assert (event.address, event.announced_by) == ("127.0.0.1:7000", "127.0.0.1:7002")
    assert asked.take() < 12, "questions back off"


def test_hosts_of_seeds_are_followed_where_they_alone_may_be() -> None:
    rig = Rig(follow="seeds")
    rig.ask(incr("a"))
    rig.model.move_slot(A, rig.model.nodes[0])
    assert rig.ask(incr("a")).answer() == 2


def test_an_address_that_no_topology_names_is_refused() -> None:
    rig = Rig()
    wrong = Address("10.0.0.7", 6379)
    error = reply_error(f"MOVED {A} 10.0.0.7:6379")
    assert isinstance(error, MovedError)
    assert rig.router.moved(error, NODES[2]) is None
    assert not rig.events(RedirectRefused), "it may have joined a moment ago"
    rig.router._refresher.want()
    rig.advance(1.0)
    assert rig.router.moved(error, NODES[2]) is None
    assert [event.address for event in rig.events(RedirectRefused)] == [str(wrong)]


@pytest.mark.parametrize("text", ["MOVED 15495 ?:7000", "MOVED 15495 :0", "MOVED", "MOVED nonsense"])
def test_a_redirect_to_no_address_is_refused(text: str) -> None:
    error = reply_error(text)
    assert isinstance(error, MovedError)
    assert Rig().router.moved(error, NODES[2]) is None


def test_an_address_map_applies_to_redirects() -> None:
    ports = {("127.0.0.1", port): ("localhost", port) for port in range(7000, 7006)}
    rig = Rig(address_map=ports, seeds=[Address("localhost", 7000)])
    for node in rig.model.nodes:
        node.view.myself.hostname = b"localhost"
    rig.net.advance(3.0)
    rig.ask(incr("a"))
    rig.model.move_slot(A, rig.model.nodes[0])
    assert rig.ask(incr("a")).answer() == 2
    assert {link.address.host for link in rig.client.links()} == {"localhost"}  # type: ignore[union-attr]


# -- links ------------------------------------------------------------------------------------------------------------


class Holder:
    """An owner that notes the losses of its link."""

    def __init__(self) -> None:
        self.ups = 0
        self.losses: list[Exception] = []

    def link_up(self, link: Link) -> None:
        self.ups += 1

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        link.succeeded()
        reply = exchange.replies[0]
        if isinstance(reply, ReplyError):
            link.drop(reply)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        self.losses.append(error)


def held(rig: Rig, number: int = A) -> tuple[Holder, Link]:
    holder = Holder()
    link = rig.router.link(holder, "held", Slot(number))
    link.open()
    rig.client.on_wakeup()
    rig.net.serve()
    return holder, link


def test_the_route_of_a_key_is_its_slot() -> None:
    rig = Rig()
    assert rig.client.route(b"a") == Slot(A)
    holder, link = held(rig)
    assert link.address == NODES[2]
    assert holder.ups == 1


def test_a_link_to_a_slot_is_dialled_when_its_owner_is_known() -> None:
    rig = Rig(starts=False)
    holder = Holder()
    link = rig.router.link(holder, "held", Slot(A))
    beside = rig.router.link(Holder(), "beside", Beside(link))
    link.open()
    beside.open()
    assert not link.wants_connection
    rig.start()
    assert link.address == NODES[2]
    assert holder.ups == 1
    assert beside.is_up


def test_a_link_follows_its_slot_by_the_word_of_its_loss() -> None:
    rig = Rig()
    holder, link = held(rig)
    beside = rig.router.link(Holder(), "beside", Beside(link))
    assert beside.address == NODES[2]
    rig.model.move_slot(A, rig.model.nodes[0])
    link.send(Exchange([("GET", "a")]))
    rig.net.serve()
    assert link.is_up
    assert link.address == beside.address == NODES[0]
    assert (holder.ups, len(holder.losses)) == (2, 1)
    link.drop(moved(7000))
    rig.client.on_wakeup()
    rig.net.serve()
    assert link.address == beside.address == NODES[0]


def test_a_link_is_redirected_when_a_topology_tells() -> None:
    rig = Rig(refresh_interval=5.0)
    holder, link = held(rig)
    rig.model.move_slot(A, rig.model.nodes[0])
    rig.advance(7.0)
    assert link.address == NODES[0]
    assert [str(error) for error in holder.losses] == ["the connection goes to 127.0.0.1:7000 now"]


def test_a_link_that_is_sent_around_in_vain_backs_off() -> None:
    rig = Rig()
    _, link = held(rig)
    dials = rig.net.pair.peer("held").dials

    def refuse(to: int) -> None:
        rig.router._overlays.by_slot.clear()
        link.drop(moved(to))
        rig.client.on_wakeup()
        rig.net.serve()

    for to in (7000, 7001, 7000, 7001, 7000):
        refuse(to)
    assert rig.net.pair.peer("held").dials - dials <= 3
    rig.advance(1.0)
    assert link.is_up


class Asker(Holder):
    """An owner that asks for a key, on each connection, and begins anew where that is refused."""

    def link_up(self, link: Link) -> None:
        super().link_up(link)
        link.send(Exchange([("GET", "a")]))

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        reply = exchange.replies[0]
        if isinstance(reply, ReplyError):
            link.drop(reply)
        else:
            link.succeeded()


def test_a_link_between_nodes_that_name_each_other_dials_now_and_then_until_they_agree() -> None:
    """The topologies that are asked for meanwhile differ as well: they cause no dial before the back-off is over."""
    rig = Rig()
    first, second = rig.model.nodes[2], rig.model.nodes[0]
    rig.model.bus._delay = lambda source, target: None
    first.view.assign([A], second.id)
    first.settle(rig.model.now)
    asked = Topologies(rig.model)
    asker = Asker()
    link = rig.router.link(asker, "held", Slot(A))
    link.open()
    rig.client.on_wakeup()
    rig.advance(10.0)
    assert asked.take() >= 8
    assert MovedError in map(type, asker.losses)
    assert 12 < rig.net.pair.peer("held").dials < 40
    second.view.assign([A], second.id)
    second.settle(rig.model.now)
    rig.advance(1.0)
    assert link.is_up
    assert link.address == NODES[0]


def test_a_link_that_dials_in_vain_drops_its_dial_for_another_node() -> None:
    """Else the socket would lead to the former node, by the name of the other."""
    rig = Rig()
    rig.net.pair.dials = False
    link = rig.router.link(Holder(), "held", Slot(A))
    link.open()
    rig.client.on_wakeup()
    rig.net.serve()
    link.attempts = 5
    rig.router.aim(link, Slot(slot("b")))
    assert not link.wants_connection
    rig.net.pair.dials = True
    rig.net.serve()
    assert link.is_up
    assert link.address == rig.router.owner(slot("b")) != NODES[2]


def test_a_link_whose_redirect_may_not_be_followed_stays() -> None:
    rig = careful()
    _, link = held(rig)
    link.drop(moved(7000))
    rig.advance(1.0)
    assert link.is_up
    assert link.address == NODES[2]


def test_a_moved_of_another_slot_redirects_no_link() -> None:
    rig = Rig()
    _, link = held(rig)
    link.drop(moved(7000, 5))
    rig.advance(1.0)
    assert link.address == NODES[2]


def test_a_link_to_a_dead_node_waits_for_its_successor() -> None:
    rig = Rig()
    _, link = held(rig)
    replica = rig.model.replica_of(rig.model.nodes[2])
    rig.model.crash(rig.model.nodes[2])
    rig.advance(1.0)
    asked = Topologies(rig.model)
    rig.advance(3.0)
    assert asked.take() >= 3, "the others are asked again and again"
    rig.model.failover(replica)
    rig.advance(1.1)
    assert link.is_up
    assert link.address == address(replica)


def test_a_node_that_cannot_be_reached_is_noticed() -> None:
    """Dialling it neither succeeds nor fails for long; the slots have another owner meanwhile."""
    rig = Rig(refresh_interval=60.0)
    rig.ask(ping())
    rig.advance(1.5)
    node = rig.model.nodes[2]
    rig.model.failover(rig.model.replica_of(node))
    rig.net.pair.dials = False
    request = rig.submit(incr("a"))
    rig.advance(2.5)
    rig.net.pair.dials = True
    rig.advance(1.0)
    assert request.answer() == 1


def test_links_without_a_purpose_cost_no_questions() -> None:
    rig = Rig()
    _, link = held(rig)
    rig.advance(0.5)
    asked = Topologies(rig.model)
    link.close()
    rig.advance(2.0)
    assert asked.take() == 0


def test_a_main_link_goes_to_a_node_that_is_left() -> None:
    rig = Rig()
    main = rig.router.link(Holder(), "any", ANYWHERE)
    assert main.address in NODES[:3]
    for node in rig.model.nodes:
        rig.model.crash(node)
    rig.net.serve()
    request = rig.ask(get("a"))
    rig.until(request)
    with pytest.raises(ConnectionLost):
        request.answer()


def test_a_link_to_a_slot_goes_nowhere_else() -> None:
    rig = Rig()
    link = rig.router.link(Holder(), "main", Slot(A))
    assert not rig.router.may_go_elsewhere(link)
