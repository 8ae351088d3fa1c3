"""Sentinels of the model answer as real ones, and each knows of a switch when the test says so."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamcore.testing.model import Server
from streamcore.testing.model.cluster.sentinel import ModelSentinels, Sentinel
from tests.simulation.clusters import START, Client, plain
from tests.simulation.twins import FLAVOURS
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer
from transports.embedded.ports import free_base
from transports.embedded.server import _find_server

ADDRESS = [b"127.0.0.1", b"6379"]
NEW_ADDRESS = [b"127.0.0.1", b"6380"]
WHO = "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster"


def service() -> ModelSentinels:
    primary, replica = Server(now=START), Server(now=START)
    replica.address = (b"127.0.0.1", 6380)
    replica.follow(primary, START)
    return ModelSentinels(primary, [replica], now=START)


def clients(sentinels: ModelSentinels) -> list[Client]:
    return [Client(sentinels, one) for one in sentinels.sentinels]


def test_each_knows_of_a_switch_in_its_time() -> None:
    sentinels = service()
    first, second, third = clients(sentinels)
    assert [one(*WHO.split()) for one in (first, second, third)] == [ADDRESS] * 3
    sentinels.failover(sentinels.servers[1], delays=(0.0, 2.0, None))
    assert [one(*WHO.split()) for one in (first, second, third)] == [NEW_ADDRESS, ADDRESS, ADDRESS]
    assert sentinels.next_timeout() == START + 2.0
    sentinels.handle_timeout(START + 2.0)
    assert [one(*WHO.split()) for one in (first, second, third)] == [NEW_ADDRESS, NEW_ADDRESS, ADDRESS]
    epochs = [one("SENTINEL", "MASTER", "mymaster")[b"config-epoch"] for one in (first, third)]
    assert epochs == [b"1", b"0"]
    new = Client(sentinels, sentinels.servers[1])
    assert new("HELLO", 3)[b"role"] == b"master"
    assert Client(sentinels, sentinels.servers[0])("HELLO", 3)[b"role"] == b"replica"


def test_a_hint_may_be_late_or_missing() -> None:
    sentinels = service()
    first, second, third = clients(sentinels)
    for one in (first, second, third):
        one("SUBSCRIBE", "+switch-master")
    message = [b"message", b"+switch-master", b"mymaster 127.0.0.1 6379 127.0.0.1 6380"]
    sentinels.switch(sentinels.servers[1], hints=(0.0, 1.0, None))
    assert [one.read() for one in (first, second, third)] == [[message], [], []]
    sentinels.handle_timeout(START + 1.0)
    assert [one.read() for one in (first, second, third)] == [[], [message], []]


def test_an_early_answer() -> None:
    sentinels = service()
    [first, *_] = clients(sentinels)
    sentinels.switch(sentinels.servers[1])
    assert first(*WHO.split()) == NEW_ADDRESS
    assert Client(sentinels, sentinels.servers[1])("HELLO", 3)[b"role"] == b"replica"


def test_servers_that_are_down() -> None:
    sentinels = service()
    [first, *_] = clients(sentinels)
    sentinels.sentinels[0].service.down.add((b"127.0.0.1", 6380))
    [row] = first("SENTINEL", "REPLICAS", "mymaster")
    assert (row[b"port"], row[b"flags"]) == (b"6380", b"s_down,slave,disconnected")
    assert {row[b"port"] for row in first("SENTINEL", "SENTINELS", "mymaster")} == {b"26380", b"26381"}
    assert len({one("SENTINEL", "MYID") for one in clients(sentinels)}) == 3
    assert isinstance(sentinels.at("127.0.0.1", 26380), Sentinel)
    assert sentinels.at("127.0.0.1", 6380) is sentinels.servers[1]
    sentinels.sentinels[1].is_up = False
    assert sentinels.at("127.0.0.1", 26380) is None


# -- real Sentinels ------------------------------------------------------------------------------------------------------


@pytest.fixture
def real(fresh_server: EmbeddedServer, server_kind: ServerKind, tmp_path: Path) -> Iterator[Raw]:
    """A connection to a real Sentinel, which watches a server without replicas."""
    port = free_base(1)
    config = tmp_path / "sentinel.conf"
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {tmp_path}",
        f"sentinel monitor mymaster 127.0.0.1 {fresh_server.port} 1",
    ]
    config.write_text("\n".join(lines) + "\n")
    with subprocess.Popen(
        [_find_server(server_kind.binary), config, "--sentinel"], stdout=subprocess.DEVNULL
    ) as process:
        try:
            with connected(port) as raw:
                yield raw
        finally:
            process.kill()


def connected(port: int) -> Raw:
    deadline = time.monotonic() + 10
    while True:
        try:
            return Raw(port)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


COMMANDS = """
PING | ROLE | GET a | SELECT 0 | MULTI | CLUSTER SLOTS | PUBLISH x y | SENTINEL | SENTINEL NOSUCH | CLIENT SETNAME x
SENTINEL GET-MASTER-ADDR-BY-NAME mymaster | SENTINEL GET-MASTER-ADDR-BY-NAME none | SENTINEL REPLICAS mymaster
SENTINEL REPLICAS none | SENTINEL SENTINELS none | SENTINEL SENTINELS mymaster | SENTINEL MASTER none
SUBSCRIBE +switch-master | UNSUBSCRIBE +switch-master | PSUBSCRIBE +sw* | PUNSUBSCRIBE +sw*
"""


@pytest.mark.every_server
def test_real_sentinels_answer_the_same(real: Raw, fresh_server: EmbeddedServer, server_kind: ServerKind) -> None:
    primary = Server(FLAVOURS[server_kind.name], now=START)
    primary.address = (b"127.0.0.1", fresh_server.port)
    sentinels = ModelSentinels(primary, [], sentinels=1, flavour=FLAVOURS[server_kind.name], now=START)
    ours = Client(sentinels, sentinels.sentinels[0])
    greetings: list[Any] = [one("HELLO", "3") for one in (ours, real)]
    for greeting in greetings:
        del greeting[b"id"]
        greeting[b"modules"] = []
    assert greetings[0] == greetings[1]
    for line in filter(None, (one.strip() for one in COMMANDS.replace("\n", "|").split("|"))):
        real.send(*line.split())
        theirs = plain(real.read())
        assert judged(ours(*line.split())) == judged(theirs), line
    told = [one("SENTINEL", "MASTERS")[0] for one in (ours, real)]
    assert all(told[0][key] == told[1][key] for key in told[0].keys() - {b"runid"})


def judged(reply: Any) -> Any:
    return reply.partition(b",")[0] if isinstance(reply, bytes) and reply.startswith(b"-") else reply
