"""A standalone server as a single node: the functions that a client has for clusters work there, too."""

from __future__ import annotations

from typing import Any, cast

import pytest

from streamcore.commands import get, ping
from streamcore.errors import ConnectionLost, InvalidArgument
from streamcore.options import Address
from streamcore.requests import Multiplexer, Request
from streamcore.requests.nodes import ServerNode, chosen
from streamcore.testing.pair import Pair

PRIMARY = ServerNode("a", Address("h", 1), "primary")
REPLICA = ServerNode("b", Address("h", 2), "replica", "a")


def test_a_standalone_server_is_a_single_node() -> None:
    client = Multiplexer()
    pair = Pair(client)
    [node] = client.nodes()
    assert node == ServerNode("", Address(), "primary")
    assert node.shard == ""
    request = client.at(node).submit([get("k")], lambda _: None)
    each = client.each([node], [ping()], lambda _: None)
    pair.settle()
    pair.server.expect("GET", "k")
    pair.server.expect("PING")
    pair.server.answer("v", "PONG")
    assert request.answer() == b"v"
    assert each.outcomes() == [b"PONG"]
    tour = client.tour()
    assert tour.next() == node
    assert not tour.has_left(node)
    assert tour.next() is None
    tour.finish()


def test_a_replica_says_so() -> None:
    client = Multiplexer()
    Pair(client)
    client.links()[0].server[b"role"] = b"replica"
    assert [node.role for node in client.nodes()] == ["replica"]


def test_of_a_lost_request_the_error_is_the_outcome() -> None:
    client = Multiplexer()
    Pair(client)
    request = cast(Request, client.each(client.nodes(), [ping()], lambda _: None))
    client.close()
    [outcome] = request.outcomes()
    assert isinstance(outcome, ConnectionLost)


@pytest.mark.parametrize(
    ("which", "found"), [("all", [PRIMARY, REPLICA]), ("primaries", [PRIMARY]), ("replicas", [REPLICA])]
)
def test_nodes_are_chosen_by_their_roles(which: Any, found: list[ServerNode]) -> None:
    assert chosen(which, [PRIMARY, REPLICA]) == found


def test_there_are_no_other_roles() -> None:
    with pytest.raises(InvalidArgument, match="choose 'primaries', 'replicas' or 'all', not 'masters'"):
        chosen("masters", [PRIMARY])  # type: ignore[arg-type]


def test_a_replica_belongs_to_the_shard_of_its_primary() -> None:
    assert PRIMARY.shard == REPLICA.shard == "a"
