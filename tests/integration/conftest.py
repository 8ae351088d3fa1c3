"""Every command against every server: its answer over RESP3, and what its parser makes of the reply in RESP2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from streamcore.commands import Command
from tests.integration.asking import Both
from tests.integration.lines import Ask, Line
from tests.support.raw import Raw
from transports.blocking import Client, connect
from transports.embedded import EmbeddedServer

T = TypeVar("T")


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    """A client of ``server``; it speaks RESP3."""
    with connect(server.url) as client:
        yield client


@pytest.fixture
def resp2(server: EmbeddedServer) -> Iterator[Raw]:
    """A connection that has never said HELLO."""
    with Raw(server.address) as raw:
        yield raw


@pytest.fixture
def both(client: Client, resp2: Raw) -> Both[Any]:
    """Ask in both protocols, and answer what both mean."""

    def ask(command: Command[T]) -> T:
        answer = client.execute(command)
        reply = resp2(*command.args)  # type: ignore[arg-type]  # these commands have no buffers among their arguments
        assert (reply if command.parse is None else command.parse(reply)) == answer
        return answer

    return ask


@pytest.fixture(params=["client", "resp2"])
def ask(client: Client, resp2: Raw, request: pytest.FixtureRequest) -> Ask:
    """Ask in one of the protocols: through a client, which speaks RESP3, or over a connection that speaks RESP2."""
    return client.execute if request.param == "client" else Line(resp2)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def line(resp2: Raw, request: pytest.FixtureRequest) -> Line:
    """A connection of the test's own, where every command may be asked."""
    if request.param == 3:
        resp2("HELLO", 3)
    return Line(resp2)
