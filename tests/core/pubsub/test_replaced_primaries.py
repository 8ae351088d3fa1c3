"""What goes astray with primaries that are replaced is told where the gap begins, and where it ends."""

from __future__ import annotations

import pytest

from streamcore.commands import key_slot
from streamcore.pubsub import Kind, Message, PubSub
from streamcore.pubsub.replaced_primaries import SETTLING
from streamcore.testing.model.cluster import ModelCluster
from tests.core.support.cluster_subscribers import Town, other_primary, router_of, slow_gossip, town


def of(here: Town, name: bytes) -> list[str]:
    """The reasons of the gaps of a name."""
    return [str(gap.error) for gap in here.gaps() if name in (gap.names or ())]


def fail_over(here: Town) -> None:
    here.cluster.failover(here.cluster.replica_of(here.cluster.owner("s1")))


def test_a_gap_of_shard_channels_is_told_again_where_it_ends() -> None:
    here = town(slow_gossip())
    fail_over(here)
    here.run(SETTLING - 0.1)
    assert len(of(here, b"s1")) == 1
    here.run(0.4)
    assert len(of(here, b"s1")) == 2
    assert "messages published at the former primary may not have come" in of(here, b"s1")[1]
    here.run(2.0)
    assert len(of(here, b"s1")) == 2
    assert here.check().is_live()


def test_no_gap_is_told_again_where_a_slot_has_moved() -> None:
    here = town(slow_gossip())
    here.cluster.move_slot(key_slot("s1"), other_primary(here.cluster, "s1"), how="atomic")
    here.run(2.0)
    assert len(of(here, b"s1")) == 1


def test_nor_of_what_is_not_wanted_any_more() -> None:
    here = town(slow_gossip())
    fail_over(here)
    here.run(0.2)
    here.engine.unsubscribe(Kind.SHARD, [b"s1"])
    here.run(2.0)
    assert len(of(here, b"s1")) == 1


def test_each_of_several_has_its_time() -> None:
    here = town(slow_gossip())
    fail_over(here)
    here.run(0.3)
    fail_over(here)
    here.run(2.0)
    assert len(of(here, b"s1")) >= 3
    assert here.check().is_live()


def test_what_is_published_at_a_former_primary_lies_between_two_gaps() -> None:
    here = town(slow_gossip())
    former = here.cluster.owner("s1")
    here.net.advance(0.1)
    fail_over(here)
    for number in range(5000, 5140):
        here.say(former, "SPUBLISH", "s1", number)
        here.net.advance(0.01)
        here.take()
    heard = [int(item.data) for item in here.log if isinstance(item, Message) and int(item.data) >= 5000]
    assert 5010 < heard[0] < 5030
    assert heard == [*range(heard[0], 5140)]
    assert len(of(here, b"s1")) == 2


@pytest.mark.parametrize("pattern", [False, True])
def test_messages_of_other_nodes_may_be_lost(pattern: bool) -> None:
    cluster = ModelCluster(now=1000.0)
    router = router_of(cluster, refresh_interval=1.0)
    engine = PubSub[bytes](patterns=["n*"], router=router) if pattern else PubSub[bytes](["news"], router=router)
    here = Town(cluster, engine)
    here.run(1.0)
    assert not here.gaps()
    node = next(link.address for link in here.engine.links() if link.name == "main")
    replaced = next(one for one in cluster.primaries() if one.address[1] != getattr(node, "port", None))
    cluster.failover(cluster.replica_of(replaced))
    here.run(2.5)
    name = b"n*" if pattern else b"news"
    told = of(here, name)
    assert len(told) == 2
    assert set(told) == {"a primary was replaced, and messages that were published there may be lost"}
    here.run(3.0)
    assert len(of(here, name)) == 2


def test_a_node_that_is_cut_off_hears_nothing_of_the_others() -> None:
    cluster = slow_gossip()
    here = Town(cluster, PubSub[bytes](["news"], router=router_of(cluster, refresh_interval=1.0)))
    here.run(1.0)
    node = next(link.address for link in here.engine.links() if link.name == "main")
    mine = next(one for one in cluster.nodes if one.address[1] == getattr(node, "port", None))
    cluster.partition([mine])
    here.run(10.0)
    assert any("is cut off from the majority of the cluster" in why for why in of(here, b"news"))
