"""Programs that call ``random.seed``, as reproducible ones do: their processes stay apart, and their numbers stay theirs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamcore import ConsumerFencedError, Multiplexer
from streamcore.events import ConsumerFenced, Event
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import clients
from transports._facade.settings import Settings, member
from transports.embedded import EmbeddedServer
from transports.memory import MemoryServer

ROOT = Path(__file__).parents[2]
SETTINGS = Settings.of("redis://localhost", {})
EACH_KIND = ("asyncio", "trio", "background")

PRODUCER = """
import random, sys
from transports.blocking import connect

random.seed(42)
url, who, options = sys.argv[1], sys.argv[2], eval(sys.argv[3])
with connect(url) as client, client.producer("s", idempotent=True, **options) as producer:
    for n in range(10):
        producer.send({"n": f"{who}-{n}"})
"""


def forks(test: Callable[[], None]) -> Callable[[], None]:
    """A test that forks, where that can be done."""
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")(test)


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Other tests draw as if none of these had seeded anything."""
    state = random.getstate()
    yield
    random.setstate(state)


def seeded(runtime: Runtime, url: str) -> Any:
    """The client of a process that has just seeded its generator."""
    random.seed(42)
    return runtime.connect(url)


def joining(client: Any, **options: Any) -> Any:
    """A member whose process has just seeded its generator."""
    random.seed(42)
    return client.group_consumer("s", group="g", **options)


@pytest.mark.every_server
@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [{}, {"producer_id": "p"}], ids=["own", "given"])
def test_what_two_processes_send_is_there(server: EmbeddedServer, raw: Raw, options: dict[str, str]) -> None:
    for who in ("first", "second"):
        command = [sys.executable, "-c", PRODUCER, server.url, who, repr(options)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    sent = [b"%b-%d" % (who, n) for who in (b"first", b"second") for n in range(10)]
    assert [fields[1] for _, fields in raw("XRANGE", "s", "-", "+")] == sent


@pytest.mark.runtimes(*EACH_KIND)
async def test_producers_have_ids_of_their_own(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for _ in range(3):
        async with seeded(runtime, server.url) as client, client.producer("s", idempotent=True) as producer:
            await producer.send({"n": 1})
    assert len(raw("KEYS", "{s}:sent:*")) == raw("XLEN", "s") == 3


@pytest.mark.runtimes(*EACH_KIND)
async def test_a_run_is_not_taken_for_another_one(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for _ in range(3):
        async with seeded(runtime, server.url) as client, client.producer("s", producer_id="p") as producer:
            await producer.send({"n": 1})
    assert len(raw("KEYS", "{s}:sent:*")) == 1
    assert raw("XLEN", "s") == 3


@pytest.mark.runtimes(*EACH_KIND)
async def test_twins_are_noticed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        runtime.connect(server.url) as other,
        joining(client, consumer="me", audit_interval=0.2, block=0.2) as older,
        joining(other, consumer="me") as newer,
    ):
        with pytest.raises(ConsumerFencedError):
            await older.get(timeout=4)
        assert await newer.get(timeout=0) is None
    assert ConsumerFenced(b"s", b"me") in events


@pytest.mark.runtimes(*EACH_KIND)
async def test_members_without_a_name_get_names_that_are_nobody_elses(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with (
        runtime.connect(server.url) as client,
        runtime.connect(server.url) as other,
        joining(client),
        joining(other),
    ):
        await runtime.until(lambda: len(raw("XINFO", "CONSUMERS", "s", "g")) == 2)
        names = [one["name"] for one in clients(raw) if one["name"].startswith("streamcore:")]
    assert len(set(names)) == len(names) == 2


@pytest.mark.runtimes(*EACH_KIND)
async def test_publishers_name_their_messages_alike_never(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for _ in range(3):
        async with seeded(runtime, server.url) as client:
            await client.channels(prefix="").publish("hello", "room")
    assert len({fields[3] for _, fields in raw("XRANGE", "room", "-", "+")}) == 3


@pytest.mark.runtimes(*EACH_KIND)
async def test_servers_in_memory_run_under_ids_of_their_own(runtime: Runtime) -> None:
    runs = set()
    for _ in range(2):
        random.seed(42)
        with MemoryServer() as memory:
            for _life in range(2):
                async with runtime.connect(memory.url) as client:
                    runs.add((await client.info("server"))["run_id"])
                memory.stop()
                memory.start()
    assert len(runs) == 4


async def test_the_numbers_of_the_application_stay_its_own(runtime: Runtime) -> None:
    """Whatever is used, and whatever breaks, so that back-offs are drawn: a program that has seeded goes on as it would."""
    random.seed(42)
    state = random.getstate()
    with MemoryServer() as memory:
        async with (
            runtime.connect(memory.url) as client,
            client.producer("s", idempotent=True) as producer,
            client.group_consumer("s", group="g") as unnamed,
            client.group_consumer("s", group="h", consumer="me", claim_idle=0.1, block=0.1) as named,
            client.consumer({"s": "0"}) as consumer,
            client.channels() as channels,
            client.pubsub(channels=["news"]),
        ):
            for _ in range(3):
                await producer.send({"n": 1})
                await channels.publish("hello", "room")
                for reader in (unnamed, named, consumer):
                    assert await reader.get(timeout=5) is not None
                memory.refuse_connections()
                assert memory.drop_link()
                await runtime.sleep(0.08)
                memory.refuse_connections(refuse=False)
    assert random.getstate() == state


def in_a_forked_child(draw: Callable[[], str]) -> str:
    """What is drawn there."""
    ours, theirs = os.pipe()
    if not (child := os.fork()):
        os.write(theirs, draw().encode())
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(ours, 1000).decode()
    for end in (ours, theirs):
        os.close(end)
    assert told
    return told


@forks
def test_a_forked_child_names_itself_anew() -> None:
    def draw() -> str:
        name: str = member(None, {})["consumer"]
        return f"{name.rpartition('-')[2]} {Multiplexer(**SETTINGS.engine()).token('a test').decode()}"

    child, parent = in_a_forked_child(draw).split(), draw().split()
    assert len({*child, *parent}) == 4


@forks
def test_a_forked_child_waits_in_other_steps_than_its_parent() -> None:
    """All workers of one parent would else come back to a server in the same moment."""
    draw = SETTINGS.engine().get("random", float)
    assert in_a_forked_child(lambda: repr(draw())) != repr(draw())
