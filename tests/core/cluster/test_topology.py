from __future__ import annotations

from collections.abc import Sequence

from streamcore.cluster.topology import Difference, Node, Topology, compare, fill, ranges, read
from streamcore.commands.cluster import SlotNode, SlotRange
from streamcore.options import Address

SEED = Address("seed", 7000)


def at(node: SlotNode) -> Address | None:
    return None if node.host is None else Address(node.host, node.port)


def told(name: str, host: str | None = "h") -> SlotNode:
    return SlotNode(host, 7000 + ord(name[0]), name, {})


def topology(*served: tuple[int, int, str], replicas: Sequence[str] = ()) -> Topology:
    answer = [SlotRange(start, end, told(name), [told(one) for one in replicas]) for start, end, name in served]
    return read(answer, SEED, 1.0, at)


WHOLE = topology((0, 99, "a"), (100, 16383, "b"))


def test_each_slot_has_the_owner_that_was_told() -> None:
    assert [WHOLE.owner(slot) for slot in (0, 99, 100, 16383)] == [
        Node("a", Address("h", 7097)),
        Node("a", Address("h", 7097)),
        Node("b", Address("h", 7098)),
        Node("b", Address("h", 7098)),
    ]
    assert WHOLE.uncovered == ()
    assert (WHOLE.asked_of, WHOLE.asked_at) == (SEED, 1.0)


def test_an_owner_of_many_ranges_is_a_single_node() -> None:
    scattered = topology((0, 9, "a"), (10, 19, "b"), (20, 29, "a"))
    assert [node.id for node in scattered.primaries] == ["a", "b"]
    assert scattered.owner(25) is scattered.owner(5)


def test_replicas_are_those_of_the_owner() -> None:
    with_replicas = topology((0, 9, "a"), (20, 29, "a"), replicas=["r", "s"])
    assert [node.id for node in with_replicas.readers(25)] == ["r", "s"]
    assert {node.primary for node in with_replicas.readers(0)} == {"a"}
    assert not with_replicas.readers(15)
    assert not WHOLE.readers(0)
    assert sorted(with_replicas.nodes) == ["a", "r", "s"]


def test_a_node_without_an_address_serves_nothing() -> None:
    answer = [SlotRange(0, 9, told("a", None), [told("r")]), SlotRange(10, 16383, told("b"), [told("s", None)])]
    lame = read(answer, SEED, 1.0, at)
    assert lame.owner(5) is None
    assert lame.uncovered == ((0, 9),)
    assert sorted(lame.nodes) == ["b"]


def test_slots_that_are_missing_keep_their_owners() -> None:
    old = topology((0, 99, "a"), (100, 199, "b"), (200, 299, "c"), replicas=["r"])
    new = topology((100, 149, "b"), (200, 299, "d"))
    filled = fill(new, old)
    owners = [filled.owner(slot) for slot in (0, 100, 150, 250, 300)]
    assert [node and node.id for node in owners] == ["a", "b", "b", "d", None]
    assert [node.id for node in filled.readers(0)] == ["r"]
    assert not topology((100, 199, "b")).readers(0)
    assert fill(old, new) is old
    assert fill(topology((0, 16383, "a")), WHOLE).uncovered == ()
    assert filled.uncovered == ((0, 99), (150, 199), (300, 16383)), "the server's word, though former owners are kept"


def test_a_former_owner_may_have_no_replicas() -> None:
    filled = fill(topology((0, 9, "a")), topology((0, 9, "a"), (10, 19, "b")))
    assert [node.id for node in filled.primaries] == ["a", "b"]
    assert not filled.readers(10)


def test_a_node_at_another_address_has_left_the_former() -> None:
    moved = read(
        [SlotRange(0, 99, told("a"), []), SlotRange(100, 16383, SlotNode("i", 7000, "b", {}), [])], SEED, 1.0, at
    )
    assert compare(WHOLE, moved) == Difference(("i:7000",), ("h:7098",), ())


def test_a_difference_names_addresses_and_slots() -> None:
    new = topology((0, 49, "a"), (50, 99, "c"), (100, 16000, "b"))
    assert compare(WHOLE, new) == Difference(("h:7099",), (), ((50, 99), (16001, 16383)))
    assert compare(new, WHOLE) == Difference((), ("h:7099",), ((50, 99), (16001, 16383)))
    reordered = topology((100, 16383, "b"), (0, 99, "a"))
    assert not compare(WHOLE, reordered)
    assert compare(WHOLE, new)


def test_slots_are_joined_to_ranges() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == ((1, 3), (7, 7), (9, 10))
    assert ranges([]) == ()
