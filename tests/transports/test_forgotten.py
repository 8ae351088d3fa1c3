"""In threads: what was opened, and lost its last reference without being closed."""

from __future__ import annotations

import gc
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.raw import Raw
from transports.blocking import Client, connect
from transports.embedded import EmbeddedServer

WITHIN = 10.0  # seconds
OPENED: dict[str, Callable[[Client], Any]] = {
    "Consumer": lambda client: client.consumer("s"),
    "pumped Consumer": lambda client: client.consumer("s", background=False),
    "GroupConsumer": lambda client: client.group_consumer("s", group="g"),
    "pumped GroupConsumer": lambda client: client.group_consumer("s", group="g", background=False),
    "Producer": lambda client: client.producer("s"),
    "PubSub": lambda client: client.pubsub("c"),
    "Channels": lambda client: client.channels(),
}


def ours() -> set[str]:
    """The names of our threads; one that dials may still be ending."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("streamcore")}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def said_of(lose: Callable[[], Any]) -> list[str]:
    """What is warned of when something is lost, and collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lose()
        gc.collect()
    return sorted(str(one.message) for one in caught if one.category is ResourceWarning)


def clients(raw: Raw) -> int:
    return len(raw("CLIENT", "LIST").splitlines()) - 1


@pytest.mark.parametrize("name", OPENED)
def test_it_is_closed_and_warned_of(server: EmbeddedServer, raw: Raw, name: str) -> None:
    with connect(server.url) as client:
        before, connections = ours(), clients(raw)

        def lose() -> None:
            OPENED[name](client).__enter__()

        [told] = said_of(lose)
        assert told == f"a {name.rpartition(' ')[2]} was never closed; it is now: use 'with', or call close()"
        until(lambda: ours() <= before and clients(raw) == connections)
        assert client.ping() == b"PONG"


def test_a_client_is_too(server: EmbeddedServer, raw: Raw) -> None:
    before, connections = ours(), clients(raw)
    assert said_of(lambda: connect(server.url).__enter__()) == [
        "a Client was never closed; it is now: use 'with', or call close()"
    ]
    until(lambda: ours() <= before and clients(raw) == connections)


def test_not_what_was_closed_nor_what_was_never_entered(server: EmbeddedServer) -> None:
    def lose() -> None:
        with connect(server.url) as client, client.consumer("s"):
            client.producer("s")
        connect(server.url)

    assert said_of(lose) == []


def test_a_client_lives_as_long_as_what_was_opened_through_it(server: EmbeddedServer) -> None:
    kept: list[Any] = []

    def lose() -> None:
        client = connect(server.url).__enter__()
        kept.append(client.producer("s").__enter__())

    assert said_of(lose) == []
    kept[0].send({"n": 1})
    assert len(said_of(kept.clear)) == 2


def test_what_somebody_waits_in_is_not_lost(server: EmbeddedServer, raw: Raw) -> None:
    got: list[Any] = []

    def wait() -> None:
        with connect(server.url) as client:
            got.append(client.consumer({"s": "0"}).__enter__().get(timeout=WITHIN))

    def begin() -> None:
        thread.start()
        until(lambda: b"cmd=xread" in raw("CLIENT", "LIST"))

    thread = threading.Thread(target=wait)
    assert said_of(begin) == []

    def end() -> None:
        raw("XADD", "s", "*", "n", "1")
        thread.join()

    assert len(said_of(end)) == 1, "now it is"
    assert got[0]["n"] == b"1"


def test_a_member_gives_back_what_nobody_has_seen_at_once(server: EmbeddedServer, raw: Raw) -> None:
    for number in range(300):
        raw("XADD", "s", "*", "n", number)

    def lose() -> None:
        client = connect(server.url).__enter__()
        member = client.group_consumer("s", group="g", consumer="lost", claim_idle=3600.0).__enter__()
        batch = next(member.batches())
        until(lambda: raw("XPENDING", "s", "g")[0] == 300)
        batch.ack()

    assert len(said_of(lose)) == 2
    with connect(server.url) as client, client.group_consumer("s", group="g", claim_idle=3600.0) as other:
        got: set[int] = set()
        deadline = time.monotonic() + WITHIN
        while len(got) < 200 and time.monotonic() < deadline:
            if (entry := other.get(timeout=0.2)) is not None:
                got.add(int(entry["n"]))
                entry.ack()
        assert got == set(range(100, 300))
    assert raw("XPENDING", "s", "g")[0] == 0


def test_what_a_producer_was_given_arrives(server: EmbeddedServer, raw: Raw) -> None:
    def lose() -> None:
        client = connect(server.url).__enter__()
        producer = client.producer("s", linger=5.0).__enter__()
        for number in range(50):
            producer.send_nowait({"n": number})

    assert len(said_of(lose)) == 2
    until(lambda: raw("XLEN", "s") == 50)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_leaves_its_parents_alone(server: EmbeddedServer) -> None:
    held = [connect(server.url).__enter__()]
    pid = os.fork()
    if not pid:
        os._exit(0 if said_of(held.clear) == [] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert held[0].ping() == b"PONG"
    held[0].close()
