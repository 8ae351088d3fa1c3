"""Publishing to channels in a cluster: in the slot of its channels, in all of them or in none."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.channels import Naming, Publisher, Settings
from streamcore.channels.publisher import PatientTransaction
from streamcore.cluster.client import ClusterClient
from streamcore.commands import get
from streamcore.entries import StreamId
from streamcore.errors import BusyError, CrossSlotError
from streamcore.requests import Request
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model import Session
from streamcore.testing.model.cluster import ModelCluster, Node
from tests.core.support.entropy import entropy
from tests.core.support.slots import move, router_of


class Desk:
    """A publisher in a cluster, and the commands that the nodes ran."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        self.cluster = ModelCluster(now=1000.0)
        self.client = ClusterClient(entropy=entropy, router=router_of(self.cluster))
        settings = Settings(prefix=prefix, **options)
        self.publisher = Publisher(self.client, settings, Naming(settings.prefix, "utf-8"))
        self.net = ClusterNet(self.cluster, self.client)
        self.ended: list[Request] = []
        self.ran: list[tuple[Node, list[bytes]]] = []
        self.net.advance(0.2)
        for node in self.cluster.nodes:
            node.on_command = self._noting(node)

    def _noting(self, node: Node) -> Any:
        def note(session: Session, words: list[bytes]) -> None:
            if words[0] in (b"EVALSHA", b"EVAL", b"PUBLISH", b"MULTI", b"XREVRANGE"):
                self.ran.append((node, words))

        return note

    def publish(self, data: str, *channels: str, seconds: float = 1.0) -> list[StreamId | None]:
        request = self.publisher.publish(self.publisher.publications(data, channels), self.ended.append)
        self.net.advance(seconds)
        return self.publisher.published(request)

    def history(self, channel: str) -> list[str]:
        request: Request = self.client.submit([self.publisher.history(channel)], self.ended.append)
        self.net.advance(0.5)
        return [message.data for message in request.answer()]


def test_each_channel_is_published_in_and_looked_back_at_where_its_slot_is() -> None:
    desk = Desk()
    for channel in "abc":
        [id_] = desk.publish(channel, channel)
        assert isinstance(id_, StreamId)
    assert [desk.history(channel) for channel in "abc"] == [["a"], ["b"], ["c"]]
    assert {words[0] for _, words in desk.ran} == {b"EVALSHA", b"EVAL", b"XREVRANGE"}, "each node is told the script"
    assert {(node, words[3]) for node, words in desk.ran if words[0] == b"EVAL"} == {
        (desk.cluster.owner(channel), channel.encode()) for channel in "abc"
    }


def test_channels_of_a_slot_get_a_message_at_once() -> None:
    desk = Desk(prefix="{shop}")
    assert len(desk.publish("x", "a", "b", "c")) == 3
    assert [desk.history(channel) for channel in "abc"] == [["x"]] * 3
    assert len({node for node, _ in desk.ran}) == 1


def test_channels_of_several_slots_are_refused_before_anything_is_sent() -> None:
    desk = Desk(prefix="chat")
    with pytest.raises(CrossSlotError, match=r"channels 'a' and 'b' are of two slots.*prefix='\{shop\}'"):
        desk.publisher.publications("x", ["a", "b"])
    assert desk.ran == []
    assert desk.history("a") == []


def test_a_name_whose_mark_would_lie_elsewhere_is_published_without() -> None:
    desk = Desk()
    [command] = desk.publisher.publications("x", "a}{b")
    assert command.keys == (b"a}{b",)
    desk.publish("x", "a}{b")
    assert desk.history("a}{b") == ["x"]


@pytest.mark.parametrize("how", ["classic", "atomic"])
def test_a_slot_that_moves_gets_each_message_once(how: Any) -> None:
    desk = Desk()
    requests: list[Request] = []
    for n in range(20):
        requests.append(desk.publisher.publish(desk.publisher.publications(str(n), "a"), desk.ended.append))
        if n % 5 == 2:
            move(desk.cluster, "a", how)
        if n % 3 == 0:
            desk.net.advance(0.01)
    desk.net.advance(2.0)
    for request in requests:
        desk.publisher.published(request)
    assert desk.history("a") == [str(n) for n in range(20)]


def test_a_lost_reply_is_no_second_copy() -> None:
    desk = Desk()
    desk.publish("1", "a")
    owner = desk.cluster.owner("a")
    lost = desk.publisher.publish(desk.publisher.publications("2", "a"), desk.ended.append)
    desk.net.serve()
    replica = desk.cluster.replica_of(owner)
    desk.net.advance(0.0)
    desk.cluster.failover(replica)
    desk.net.advance(1.0)
    desk.publisher.published(lost)
    assert desk.history("a") == ["1", "2"]


def test_pubsub_publishes_in_several_channels_at_any_node() -> None:
    desk = Desk(kind="pubsub")
    assert desk.publish("x", "a", "b", "c") == [None] * 3
    assert len({node for node, _ in desk.ran}) == 1
    assert [words[0] for _, words in desk.ran] == [b"MULTI", *[b"PUBLISH"] * 3]


class TestBusy:
    def test_a_script_that_keeps_a_node_busy_is_waited_for(self) -> None:
        desk = Desk()
        desk.publish("1", "a")
        desk.cluster.owner("a").faults.fail_next("EVALSHA", "BUSY a script runs", 6)
        request = desk.publisher.publish(desk.publisher.publications("2", "a"), desk.ended.append)
        desk.net.advance(0.02)
        assert not request.finished
        desk.net.advance(3.0)
        desk.publisher.published(request)
        assert desk.history("a") == ["1", "2"]

    def test_a_transaction_waits_as_well(self) -> None:
        desk = Desk()
        desk.cluster.owner("a").faults.fail_next("GET", "BUSY a script runs", 3)
        request = PatientTransaction([get("a")], desk.ended.append, 5.0)
        desk.client.put(request)
        desk.net.advance(3.0)
        assert request.answers() == [None]

    def test_a_request_that_is_not_patient_has_it_for_an_answer(self) -> None:
        desk = Desk()
        desk.cluster.owner("a").faults.fail_next("GET", "BUSY a script runs")
        request = desk.client.submit([get("a")], desk.ended.append)
        desk.net.advance(0.5)
        with pytest.raises(BusyError):
            request.answer()
