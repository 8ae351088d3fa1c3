from __future__ import annotations

import pytest

from streamcore.cluster.addresses import AddressPolicy, is_local
from streamcore.commands.cluster import SlotNode
from streamcore.errors import AskError, MovedError, SlotRedirect
from streamcore.options import Address

SEED = Address("seed.example", 7000)
ANSWERING = Address("10.0.0.1", 7001)


def node(host: str | None, port: int = 7002, **metadata: str) -> SlotNode:
    return SlotNode(host, port, "id", {name.encode(): value.encode() for name, value in metadata.items()})


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (node("10.0.0.2"), Address("10.0.0.2", 7002)),
        (node(None), Address("10.0.0.1", 7002)),
        (node(""), Address("10.0.0.1", 7002)),
        (node("?"), None),
        (node("10.0.0.2", 0), None),
        (node("10.0.0.2", hostname="two.example"), Address("two.example", 7002)),
        (node("127.0.0.1"), None),
        (node("fe80::1"), None),
    ],
)
def test_a_node_is_dialled_where_it_announces(told: SlotNode, expected: Address | None) -> None:
    assert AddressPolicy([SEED]).of_node(told, ANSWERING) == expected


def test_its_ip_may_be_preferred() -> None:
    policy = AddressPolicy([SEED], prefer="ip")
    assert policy.of_node(node("two.example", ip="10.0.0.2"), ANSWERING) == Address("10.0.0.2", 7002)
    assert policy.of_node(node("10.0.0.2", hostname="two.example"), ANSWERING) == Address("10.0.0.2", 7002)


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (MovedError("MOVED", "7 10.0.0.2:7002"), Address("10.0.0.2", 7002)),
        (AskError("ASK", "7 :7002"), Address("10.0.0.1", 7002)),
        (AskError("ASK", "7 ?:0"), None),
        (MovedError("MOVED", "away"), None),
        (MovedError("MOVED", "7 127.0.0.1:7002"), None),
    ],
)
def test_a_redirect_leads_where_it_says(redirect: SlotRedirect, expected: Address | None) -> None:
    assert AddressPolicy([SEED]).of_redirect(redirect, ANSWERING) == expected


def test_on_the_same_machine_loopback_is_an_address_as_any_other() -> None:
    local = Address("127.0.0.1", 7001)
    assert AddressPolicy([local]).of_node(node("127.0.0.1"), local) == Address("127.0.0.1", 7002)


def test_what_is_announced_may_be_translated() -> None:
    table = AddressPolicy([SEED], address_map={("127.0.0.1", 7002): ("gate.example", 17002)})
    assert table.of_node(node("127.0.0.1"), ANSWERING) == Address("gate.example", 17002)
    assert table.of_redirect(MovedError("MOVED", "7 127.0.0.1:7002"), ANSWERING) == Address("gate.example", 17002)
    assert table.of_node(node("10.0.0.3"), ANSWERING) == Address("10.0.0.3", 7002)
    assert table.of_node(node("127.0.0.1", 7003), ANSWERING) is None
    function = AddressPolicy([SEED], address_map=lambda host, port: (f"{host}.example", port + 1))
    assert function.of_node(node("two"), ANSWERING) == Address("two.example", 7003)


def test_a_redirect_is_followed_to_addresses_that_are_known() -> None:
    known, other = Address("10.0.0.2", 7002), Address("10.0.0.9", 7002)
    by_topology = AddressPolicy([SEED])
    assert by_topology.may_follow(known, {known})
    assert by_topology.may_follow(SEED, {known})
    assert not by_topology.may_follow(other, {known})
    by_seeds = AddressPolicy([SEED], follow="seeds")
    assert by_seeds.may_follow(Address("seed.example", 7009), ())
    assert not by_seeds.may_follow(known, {known})
    by_function = AddressPolicy([SEED], follow=lambda host, port: (host, port) == ("10.0.0.9", 7002))
    assert by_function.may_follow(other, ())
    assert not by_function.may_follow(known, {known})


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("169.254.1.1", True), ("fe80::1%eth0", True),
        ("10.0.0.1", False), ("example.org", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_a_local_address_means_another_machine_on_each_machine(host: str, local: bool) -> None:
    assert is_local(host) is local
