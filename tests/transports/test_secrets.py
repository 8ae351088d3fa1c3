"""A password appears nowhere: not in a repr, an exception, an event, a log, or a traceback."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from streamcore.events import Event
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, take_and_ack
from transports.embedded import EmbeddedServer, free_port

SECRET = "hunter2hunter2"


@pytest.fixture
def user(raw: Raw) -> Iterator[str]:
    raw("ACL", "SETUSER", "alice", "on", f">{SECRET}", "~*", "&*", "+@all", "-incr")
    yield "alice"
    raw("ACL", "DELUSER", "alice")


async def test_a_password_appears_nowhere(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, user: str, log: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    events: list[Event] = []

    def show(*values: object) -> None:
        for value in values:
            shown.extend([repr(value), str(value), repr(getattr(value, "__dict__", ""))])
            if isinstance(value, BaseException):
                shown.extend(traceback.TracebackException.from_exception(value, capture_locals=False).format())

    async def attempt(url: str, **options: Any) -> None:
        try:
            client = runtime.connect(url, request_timeout=0.2, on_event=events.append, **options)
            show(client)
            async with client:
                await client.incr("n")
        except Exception as error:
            show(error)
        else:
            pytest.fail("it was expected to fail")

    at = f"127.0.0.1:{proxy.port}"
    await attempt(f"redis://alice:{SECRET}@{at}")  # may not INCR
    await attempt(f"redis://bob:{SECRET}@{at}")  # no such user
    await attempt(f"redis://alice:{SECRET}@127.0.0.1:{free_port()}")
    await attempt(f"redis://{at}", username="alice", password=SECRET + "!")
    await attempt(f"rediss://alice:{SECRET}@{at}")  # no TLS there
    await attempt(f"redis://alice:{SECRET}@{at}/99999")
    for url in (f"redis://alice:{SECRET}@host:port", f"redis://alice:{SECRET}@host?x=1", f"http://a:{SECRET}@h"):
        await attempt(url)
    await attempt(f"redis://alice:{SECRET}@{at}#")
    add(raw, range(10))
    async with (
        runtime.connect(f"redis://alice:{SECRET}@{at}", on_event=events.append) as client,
        client.group_consumer("s", group="g", count=2) as consumer,
        client.producer("s") as producer,
    ):
        show(client, consumer, producer, consumer._engine, producer._engine, client._settings)
        await take_and_ack(consumer, 2)
        proxy.cut()
        await take_and_ack(consumer, 8)
        show(consumer._engine.links()[0])
    assert events
    everything = "\n".join([*shown, *map(repr, events), log.text])
    assert "alice" not in log.text
    assert "127.0.0.1" in everything
    assert SECRET not in everything
