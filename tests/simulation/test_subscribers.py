"""The invariants of subscribers, of pub/sub and of channels."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

import pytest

from streamcore import StreamId
from streamcore.events import StreamReset
from streamcore.pubsub import Kind, Message
from streamcore.testing.model import Server
from streamcore.testing.model.cluster import ModelCluster
from transports.simulation.context import Scene
from transports.simulation.workloads.channels.invariants import Membership
from transports.simulation.workloads.channels.programs import ChannelSubscribers
from transports.simulation.workloads.channels.workload import add_channels
from transports.simulation.workloads.pubsub.invariants import HandlersKept, NeverSilent
from transports.simulation.workloads.pubsub.records import (
    UNNOTICED,
    Channel,
    Name,
    Publisher,
    SubscriptionRecord,
    Unheard,
)
from transports.simulation.workloads.pubsub.subscriber import Subscriber
from transports.simulation.workloads.pubsub.workload import add_subscribers
from transports.simulation.world.actor import ADDRESS
from transports.simulation.world.cluster_site import ClusterSite
from transports.simulation.world.driver import World
from transports.simulation.world.invariants import EventsInOrder
from transports.simulation.world.plan import Size
from transports.simulation.world.scheduler import Violation
from transports.simulation.world.server_host import Host
from transports.simulation.world.stream_log import ZERO, StreamLog, fields_of

B = Kind.CHANNEL, b"b"


def hear(
    record: SubscriptionRecord,
    number: int,
    *,
    handled: bool,
    unheard: dict[tuple[Channel, int], Unheard] | None = None,
    node: str = "",
) -> None:
    """A message of channel b, of which 22 were published, is handed over to a subscriber at a node."""
    world = World(0)
    subscriber = SimpleNamespace(
        label="subscriber-1.1",
        records={B: record},
        oracles=SimpleNamespace(handlers=HandlersKept(world)),
        publisher=SimpleNamespace(published=Counter({(False, b"b"): 22}), unheard=unheard or {}),
        node_at=lambda _: node,
        habits=SimpleNamespace(handled=0.5),
    )
    message = Message("message", b"b", None, b"%d " % number)
    NeverSilent(world).heard(cast("Subscriber", subscriber), B, message, handled=handled)


def test_what_lay_in_an_inbox_when_a_handler_was_given_is_handed_over() -> None:
    asked = Counter({(False, b"b"): 15})
    hear(SubscriptionRecord(True, asked, frozenset({False})), 15, handled=False)
    hear(SubscriptionRecord(True, asked, frozenset({False})), 16, handled=True)


@pytest.mark.parametrize(
    ("number", "before"),
    [
        pytest.param(16, frozenset({False}), id="published-since"),
        pytest.param(15, frozenset[bool](), id="nothing-before"),
        pytest.param(15, frozenset({True}), id="a-handler-before"),
    ],
)
def test_any_other_message_is_given_to_the_handler(number: int, before: frozenset[bool]) -> None:
    with pytest.raises(Violation, match="HandlersKept"):
        hear(SubscriptionRecord(True, Counter({(False, b"b"): 15}), before), number, handled=False)


PARTED = {((False, b"b"), number): Unheard(1.0, frozenset({"127.0.0.1:7001"})) for number in (5, 6)}


def heard_up_to(number: int) -> SubscriptionRecord:
    return SubscriptionRecord(False, last={b"b": number})


def test_what_a_short_partition_has_kept_from_a_node_need_not_be_told_there() -> None:
    hear(heard_up_to(4), 7, handled=False, unheard=PARTED, node="127.0.0.1:7001")


@pytest.mark.parametrize(
    ("last", "number", "node"),
    [
        pytest.param(4, 7, "127.0.0.1:7002", id="at-another-node"),
        pytest.param(3, 7, "127.0.0.1:7001", id="more-is-missing"),
        pytest.param(4, 8, "127.0.0.1:7001", id="more-is-missing-behind"),
    ],
)
def test_what_else_is_missing_is_told(last: int, number: int, node: str) -> None:
    with pytest.raises(Violation, match="no gap was told"):
        hear(heard_up_to(last), number, handled=False, unheard=PARTED, node=node)


def test_what_is_published_in_a_partition_is_excused_for_as_long_as_nobody_can_know() -> None:
    world = World(3)
    site = ClusterSite(world, ModelCluster(now=world.now))
    scene = Scene(world, site, StreamLog(site), [])
    publisher = Publisher(scene)
    parted = next(node for node in site.cluster.primaries() if site.holder(b"b") is not node)
    address = f"127.0.0.1:{parted.view.myself.port}"

    def unheard() -> list[frozenset[str]]:
        publisher.unheard.clear()
        publisher._publish((False, b"b"), 1)
        publisher._publish((True, b"b"), 1)
        return [one.addresses for one in publisher.unheard.values()]

    assert not unheard()
    site.part(parted)
    assert unheard() == [frozenset({address})]
    world.now += UNNOTICED + 0.1
    assert not unheard()
    site.part()
    site.part(*(node for node in site.hosts if node is not parted))
    assert unheard() == [frozenset({address})]
    site.part()
    assert not unheard()


NAME: Name = (Kind.CHANNEL, b"b")


def stage() -> Scene:
    world = World(3)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    return Scene(world, host, StreamLog(host), [])


@pytest.mark.parametrize(("number", "handled", "is_wrong"), [(7, False, False), (8, False, True), (7, True, False)])
def test_what_lies_in_the_inbox_is_of_the_subscription_before(number: int, handled: bool, is_wrong: bool) -> None:
    """Seed 2017862: that had no handler, and this one has."""
    scene = stage()
    world = scene.world
    add_subscribers(scene, Size(), EventsInOrder(world))
    subscriber = next(one for one in scene.programs if isinstance(one, Subscriber))
    subscriber.start()
    subscriber.publisher.published[False, b"b"] = 7
    for share in (0.0, 1.0):
        subscriber.habits = type(subscriber.habits)(10, "block", share, 0.0)
        subscriber._subscribe([NAME])
        subscriber.wanted.clear()
    subscriber.publisher.published[False, b"b"] = 8
    message = Message("message", b"b", None, b"%d " % number)
    heard = subscriber.oracles.silent.heard
    if is_wrong:
        with pytest.raises(Violation, match="is not given to a handler"):
            heard(subscriber, NAME, message, handled=handled)
    else:
        heard(subscriber, NAME, message, handled=handled)


def test_what_is_gone_when_a_channel_is_told_to_have_begun_anew_need_not_be_told() -> None:
    """Seed 2021434: the place where a subscriber resumed was one of the channel before."""
    scene, stream = stage(), b"c_x"
    add_channels(scene, Size(), EventsInOrder(scene.world))
    subscribers = next(one for one in scene.programs if isinstance(one, ChannelSubscribers))
    membership = subscribers.memberships["first", stream] = Membership((9, 0))

    def trim(kept: int) -> None:
        scene.remove(stream, list(scene.history.stream(stream).ids)[:-kept], "XTRIM")
        scene.host.do(b"XTRIM", stream, b"MAXLEN", b"%d" % kept)

    for number in range(1, 5):
        scene.host.do(b"XADD", stream, b"%d-1" % number, *fields_of(b"m:%d" % number))
    trim(2)
    subscribers._heard(None, "first", StreamReset(stream, StreamId(9), StreamId(4, 1)))
    assert membership.position == ZERO
    trim(1)
    subscribers.oracle.handed("first", stream, membership, (4, 1), b"m:4")
    assert membership.untold == [(3, 1)]
