"""The word of a single node about a slot, against topologies."""

from __future__ import annotations

from streamcore.cluster.overlays import OVERLAY, Overlays
from streamcore.options import Address

NODE = Address("127.0.0.1", 7001)


def test_without_a_topology_it_holds_for_its_time() -> None:
    overlays = Overlays()
    overlays.add(5, NODE, 100.0)
    assert not overlays.end(None, 100.0 + OVERLAY / 2)
    assert overlays.by_slot[5].address == NODE
    assert overlays.end(None, 100.0 + OVERLAY)
    assert not overlays.by_slot
