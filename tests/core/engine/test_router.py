"""Which server a link is for: engines say it by a route, and a standalone server serves all of them."""

from __future__ import annotations

from typing import cast

import pytest

from streamcore import Address, Consumer, Multiplexer
from streamcore.connection.link import Link, Owner
from streamcore.engine.engine import Engine
from streamcore.engine.router import ANYWHERE, Beside, Route, StandaloneRouter
from streamcore.requests.witness import Witness
from streamcore.testing.pair import Pair
from tests.core.support.members import holding
from tests.core.support.server import Server


def test_all_routes_lead_to_the_single_server() -> None:
    engine = Engine(address=Address("elsewhere", 1))
    owner = Witness(engine.new_link(cast(Owner, None), "in doubt"), lambda owner, link: link)
    router = StandaloneRouter(engine, Address("server", 1))
    assert list(router.links()) == []
    first = router.link(owner, "main", router.route(b"key"))
    second = router.link(owner, "acks", Beside(first))
    assert list(router.links()) == [first, second]
    assert [(link.name, link.address) for link in router.links()] == [
        ("main", Address("server", 1)),
        ("acks", Address("server", 1)),
    ]


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Route]:
    """The routes that engines ask for, by the names of their links."""
    asked: dict[str, Route] = {}
    link = StandaloneRouter.link

    def note(self: StandaloneRouter, owner: Owner, name: str, route: Route) -> Link:
        asked[name] = route
        return link(self, owner, name, route)

    monkeypatch.setattr(StandaloneRouter, "link", note)
    return asked


def test_a_witness_is_beside_the_link_in_doubt(routes: dict[str, Route]) -> None:
    Pair(client := Multiplexer())
    client._main.doubt()
    assert routes == {"main": ANYWHERE, "witness": Beside(client.links()[0])}


def test_a_blocked_read_is_ended_at_its_own_server(routes: dict[str, Route]) -> None:
    consumer = Consumer("s")
    consumer.readers[0].unblocker.unblock()
    assert routes == {"main": ANYWHERE, "control": Beside(consumer.links()[0])}


def test_acknowledgements_go_to_the_server_that_is_read_from(routes: dict[str, Route]) -> None:
    consumer, net, batch = holding(Server(), 1)
    batch.ack()
    consumer.flush()
    net.serve()
    assert routes == {"main": ANYWHERE, "acks": Beside(consumer.links()[0])}
