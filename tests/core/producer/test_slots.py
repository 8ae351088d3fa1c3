"""A producer in a cluster: its link leads to the owner of its stream's slot, wherever that goes."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import key_slot
from streamcore.errors import AskError, DeliveryUnknown, MovedError, reply_error
from streamcore.options import Address
from streamcore.producer.durability import NotDurable, Replicas
from streamcore.requests import Request
from streamcore.resp3 import encode, make_decoder
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.net import Fate
from streamcore.testing.pair import Pair
from tests.core.support.entropy import entropy
from tests.core.support.senders import Sender
from tests.core.support.slots import move, other, router_of

SLOT = key_slot("orders")
KINDS: list[dict[str, Any]] = [
    {},
    {"linger": 0.01},
    {"durability": Replicas(1)},
    {"producer_id": "p", "entropy": entropy},
    {"producer_id": "p", "entropy": entropy, "durability": Replicas(1)},
]


class Sending:
    """A producer of ``orders`` in a cluster, in virtual time."""

    def __init__(self, **options: Any) -> None:
        self.cluster = ModelCluster(now=1000.0)
        self.producer = Sender(router=router_of(self.cluster), **options)
        self.net = ClusterNet(self.cluster, self.producer)
        self.net.advance(0.5)

    @property
    def address(self) -> Address:
        host, port = self.cluster.owner("orders").address
        return Address(host.decode(), port)

    @property
    def there(self) -> list[int]:
        """The numbers of the entries in the stream."""
        session = self.cluster.owner("orders").connect(self.cluster.now)
        session.receive(encode(("XRANGE", "orders", "-", "+")), self.cluster.now)
        [reply] = make_decoder().feed(bytes(session.data_to_send()))
        session.lost()
        return [int(fields[1]) for _, fields in reply]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("how", ["classic", "atomic"])
def test_entries_go_on_at_the_new_owner_in_order(how: Any, options: dict[str, Any]) -> None:
    story = Sending(**options)
    assert story.producer.is_ready
    assert story.net.pair.peer("main").link.address == story.address
    sent: list[Request] = []
    for n in range(60):
        sent.append(story.producer.post(n=n))
        if n % 7 == 3:
            story.net.pair.settle()  # it has left, and the slot goes
            move(story.cluster, "orders", how)
        if n % 5 == 0:
            story.net.advance(0.02)
    story.net.advance(3.0)
    assert [request.finished for request in sent] == [True] * 60
    for request in sent:
        request.answer()
    assert story.there == list(range(60))
    assert story.net.pair.peer("main").link.address == story.address


@pytest.mark.parametrize("options", KINDS)
def test_while_a_slot_is_on_its_way_entries_wait_for_its_arrival(options: dict[str, Any]) -> None:
    story = Sending(**options)
    moving = story.cluster.begin_move(SLOT, other(story.cluster, "orders"))
    sent = [story.producer.post(n=n) for n in range(3)]
    story.net.advance(1.0)
    assert not any(request.finished for request in sent)
    moving.finish()
    story.net.advance(1.5)
    for request in sent:
        request.answer()
    assert story.there == [0, 1, 2]


@pytest.mark.parametrize("options", KINDS)
def test_the_last_word_is_that_of_the_node(options: dict[str, Any]) -> None:
    story = Sending(**options)
    story.cluster.begin_move(SLOT, other(story.cluster, "orders"))
    request = story.producer.post(n=1)
    story.net.advance(10.0)
    with pytest.raises(AskError, match="in reply to XADD"):
        request.answer()


def test_an_entry_whose_reply_was_lost_is_in_doubt() -> None:
    story = Sending()
    request = story.producer.post(n=1)
    story.net.pair.settle()
    story.net.cut("main", Fate.REPLIES_LOST)
    move(story.cluster, "orders")
    later = story.producer.post(n=2)
    story.net.advance(1.0)
    with pytest.raises(DeliveryUnknown):
        request.answer()
    later.answer()
    assert story.there == [1, 2]


def test_a_failover_is_followed() -> None:
    story = Sending()
    sent: list[Request] = []
    for n in range(5):
        sent.append(story.producer.post(n=n))
        story.net.advance(0.1)
        story.cluster.failover(story.cluster.replica_of(story.cluster.owner("orders")))
    story.net.advance(2.0)
    for request in sent:
        request.answer()
    assert story.there == list(range(5))


class TestAWaitBehindARedirect:
    """The stream leaves in the middle of a batch: the replicas of its former owner say nothing of it."""

    def answered(self, story: Sending) -> tuple[Request, Request]:
        first, second = story.producer.post(n=1), story.producer.post(n=2)
        story.producer.hurry()
        story.net.pair.settle()
        story.net.run_next("main")
        move(story.cluster, "orders")
        story.net.advance(3.0)
        second.answer()
        return first, second

    def test_is_void(self) -> None:
        story = Sending(durability=Replicas(1), linger=0.01)
        first, _ = self.answered(story)
        with pytest.raises(NotDurable, match="MOVED"):
            first.answer()
        assert story.there == [1, 2]

    def test_an_idempotent_producer_asks_again(self) -> None:
        story = Sending(durability=Replicas(1), linger=0.01, producer_id="p", entropy=entropy)
        first, _ = self.answered(story)
        first.answer()
        assert story.there == [1, 2]


def test_without_a_router_a_redirect_is_the_answer() -> None:
    pair = Pair(producer := Sender())
    request = producer.post(n=1)
    pair.settle()
    pair.server.expect("XADD")
    pair.server.answer(reply_error("MOVED 1 127.0.0.1:7001"))
    with pytest.raises(MovedError):
        request.answer()
