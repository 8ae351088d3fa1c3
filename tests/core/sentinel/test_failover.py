"""The primary of a service changes: how it is found, and what becomes of requests, members, readers, producers and subscribers."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import Consumer, GroupConsumer, Producer, PubSub
from streamcore.commands import get, incr, set_, xadd
from streamcore.engine.engine import Engine
from streamcore.engine.router import ANYWHERE
from streamcore.errors import ConnectFailed, ConnectionLost
from streamcore.events import ConnectAttemptFailed, Disconnected, Reconnected
from streamcore.testing.cluster_net import ClusterNet
from streamcore.topology_events import PrimaryChanged
from tests.core.support.sentinels import FIRST, SECOND, Rig, sentinel

CHANGED = PrimaryChanged("orders", str(FIRST), str(SECOND))


def test_a_client_is_ready_at_the_primary() -> None:
    rig = Rig()
    assert rig.client.is_ready
    assert rig.known.address == FIRST
    assert rig.ask(incr("n")).answer() == 1
    assert rig.take_asked() == [0]
    assert [node.address for node in rig.client.nodes()] == [FIRST]


def test_what_was_not_sent_or_may_be_repeated_goes_to_the_new_primary() -> None:
    rig = Rig()
    rig.ask(set_("a", "1"))
    rig.advance(1.1)
    rig.pause(rig.primary)
    repeated, lost = rig.ask(get("a")), rig.ask(incr("n"))
    rig.crash(rig.primary)
    unsent = rig.ask(incr("n"))
    rig.advance(1.0)
    with pytest.raises(ConnectionLost) as raised:
        lost.answer()
    assert raised.value.sent
    assert not repeated.finished
    assert not unsent.finished
    rig.model.failover(rig.replica)
    assert rig.until(repeated) <= 0.2, "it is heard of, and asked for at once"
    assert (repeated.answer(), unsent.answer()) == (b"1", 1)
    taken = rig.net.pair.events()
    assert taken.count(CHANGED) == 1
    assert isinstance(taken[-1], Reconnected)


def test_requests_wait_no_longer_than_their_time() -> None:
    rig = Rig()
    rig.crash(rig.primary)
    request = rig.ask(incr("n"))
    assert 4.9 < rig.until(request) < 5.1
    with pytest.raises(ConnectionLost, match=r"not sent: no connection to 127.0.0.1:6379 within 5 s"):
        request.answer()


def test_without_a_hint_they_are_asked_until_they_know() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.crash(rig.primary)
    rig.advance(0.75)
    pauses = [at for at, _ in rig.asked]
    assert len(pauses) >= 6, "two Sentinels after 0, 0.1, 0.3 and 0.7 s"
    request = rig.ask(incr("n"))
    rig.model.failover(rig.replica, hints=(None, None, None))
    assert rig.until(request) <= 1.1
    rig.take_asked()
    rig.advance(5.0)
    assert len(rig.take_asked()) <= 2, "all is well, and they are left alone"


def test_a_primary_that_is_still_a_replica_is_refused_and_asked_for_again() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.crash(rig.primary)
    rig.model.switch(rig.replica)
    request = rig.ask(incr("n"))
    rig.advance(1.0)
    failed = [event for event in rig.events(ConnectAttemptFailed) if event.address == str(SECOND)]
    assert len(failed) >= 3
    assert isinstance(failed[0].error, ConnectFailed)
    assert "it is a replica, and no primary yet" in str(failed[0].error)
    assert not request.finished
    rig.model.failover(rig.replica)
    assert rig.until(request) <= 1.1
    assert request.answer() == 1


def test_a_primary_that_was_demoted_behind_our_back_is_left() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.replica.promote(rig.model.now)
    rig.primary.follow(rig.replica, rig.model.now)
    request = rig.ask(incr("n"))  # READONLY, and the Sentinels do not know yet
    rig.advance(0.5)
    assert not request.finished
    assert rig.take_asked().count(0) >= 3
    rig.model.failover(rig.replica, hints=(None, None, None))
    assert rig.until(request) <= 1.1
    assert request.answer() == 1


def test_a_primary_that_stands_still_is_left_at_the_hint() -> None:
    rig = Rig()
    rig.ask(set_("a", "1"))
    rig.advance(1.1)
    rig.pause(rig.primary)
    repeated, lost = rig.ask(get("a")), rig.ask(incr("n"))
    rig.model.failover(rig.replica)
    assert rig.until(repeated) <= 0.2
    assert repeated.answer() == b"1"
    with pytest.raises(ConnectionLost, match=r"goes to 127.0.0.1:6380 now"):
        lost.answer()
    [left] = rig.events(Disconnected)
    assert left.address == str(FIRST), "the server that was left, and not the next"


def test_without_a_hint_a_primary_that_stands_still_is_left_when_they_are_compared() -> None:
    rig = Rig(refresh_interval=3.0)
    rig.advance(1.1)
    rig.pause(rig.primary)
    rig.model.failover(rig.replica, hints=(None, None, None))
    request = rig.ask(get("a"))
    assert rig.until(request) <= 3.7
    assert request.answer() is None


def test_a_former_primary_that_comes_back_as_a_primary_is_not_dialled() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.crash(rig.primary)
    rig.model.failover(rig.replica)
    rig.primary.promote(rig.model.now)
    rig.net.hidden.clear()
    rig.advance(20.0)
    assert rig.link().address == SECOND
    assert rig.ask(incr("n")).answer() == 1
    rig.model.failover(rig.primary)
    rig.advance(1.0)
    assert rig.link().address == FIRST


# -- all engines of a client --------------------------------------------------------------------------------------------


def engines(rig: Rig) -> dict[str, Engine]:
    given: dict[str, Any] = rig.keywords
    return {
        "group": GroupConsumer("s", group="g", consumer="c", start="0", exclusive=False, **given),
        "consumer": Consumer({"s": "0"}, **given),
        "producer": Producer("s", **given),
        "pubsub": PubSub(channels=["news"], **given),
    }


def main_links(net: ClusterNet) -> list[Any]:
    """The links with sockets, but for those to Sentinels."""
    links = [link for link in net.pair.engine.links() if link.wants_connection]
    return [link for link in links if not link.name.startswith("sentinel")]


def listens(net: ClusterNet) -> bool:
    return net.pair.peer("sentinel events").link.is_up


@pytest.mark.parametrize("kind", ["group", "consumer", "producer", "pubsub"])
@pytest.mark.parametrize("how", ["crash", "demoted", "stopped"])
def test_every_engine_follows(kind: str, how: str) -> None:
    rig = Rig()
    rig.ask(xadd("s", {"n": "1"}))
    engine: Any = engines(rig)[kind]
    net = rig.join(engine)
    for each in (rig.net, net):
        each.advance(1.1)
    if how == "stopped":
        rig.pause(rig.primary)
    rig.model.failover(rig.replica)
    if how == "crash":
        for session in [*rig.primary.sessions.values()]:
            session.lost()
        for each in (rig.net, net):
            each.hidden.add(rig.primary)
    if kind == "producer":
        engine.submit([xadd("s", {"n": "2"})], lambda request: None)
    for _ in range(30):  # in turn, since each net has its own time
        rig.net.advance(0.1)
        net.advance(0.1)
    links = main_links(net)
    assert links
    assert all(link.is_up and link.address == SECOND for link in links)
    assert not rig.primary.sessions or how == "stopped"


def test_what_one_engine_knows_the_others_need_not_ask() -> None:
    rig = Rig()
    engine = Producer("s", **rig.keywords)
    other = rig.join(engine)
    assert engine.is_ready
    assert rig.take_asked() == [0]
    rig.advance(1.1)
    other.advance(1.1)
    assert [listens(net) for net in (rig.net, other)] == [True, False], "a single engine listens"


def test_another_engine_listens_where_the_first_has_gone() -> None:
    rig = Rig()
    rig.advance(1.1)
    other = rig.join(Producer("s", **rig.keywords))
    assert not listens(other)
    rig.client.close()
    rig.net.serve()
    other.advance(1.1)
    assert listens(other)
    rig.model.failover(rig.replica)
    other.advance(0.2)
    assert main_links(other)[0].address == SECOND


def test_another_engine_listens_where_the_first_stands_still() -> None:
    rig = Rig()
    rig.advance(1.1)
    other = rig.join(Producer("s", **rig.keywords))
    other.advance(1.5)
    assert not listens(other)
    other.advance(3.0)
    assert listens(other)
    rig.advance(1.5)
    assert not listens(rig.net)


def test_seeds_are_asked_in_turn() -> None:
    rig = Rig(seeds=[sentinel(7), sentinel(1)])
    assert rig.client.is_ready
    assert [event.address for event in rig.events(ConnectAttemptFailed)] == ["127.0.0.1:26386"]
    assert rig.service.board.order() == [sentinel(1), sentinel(7), sentinel(0), sentinel(2)]


def test_there_is_a_single_primary() -> None:
    rig = Rig()
    [link] = [link for link in rig.client.links() if link.name == "main"]
    assert not rig.client._router.may_go_elsewhere(link)
    rig.client.aim(link, ANYWHERE)
    assert link.address == FIRST
