"""What cannot be meant is refused before anything is sent, by an error that names the value and the remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from streamcore import InvalidArgument
from streamcore.commands import raw as command
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add
from transports.anyio import Client
from transports.embedded import EmbeddedServer

NAN, INFINITE = float("nan"), float("inf")
Build = Callable[[Client], object]

AT_ONCE: dict[str, tuple[Build, str]] = {
    "empty stream": (lambda c: c.consumer(""), "stream is empty; give it a name"),
    "empty stream in a mapping": (lambda c: c.consumer({"": "0"}), "stream is empty"),
    "no stream": (lambda c: c.consumer([]), "no stream was given; name at least one"),
    "a stream twice": (lambda c: c.consumer(["a", b"a"]), "stream 'a' is named twice; name each stream once"),
    "a number for a stream": (lambda c: c.consumer(5), "streams must be one name or several, not 5"),  # type: ignore[call-overload]
    "a start that is no id": (lambda c: c.consumer({"s": "yesterday"}), "'yesterday'.*ids look like"),
    "a negative count": (lambda c: c.consumer("s", count=-1), "count must be at least 1, not -1"),
    "no count": (lambda c: c.consumer("s", count=0), "count must be at least 1, not 0"),
    "a broken count": (lambda c: c.consumer("s", count=1.5), "count must be a whole number, not 1.5"),  # type: ignore[call-overload]
    "an endless block": (lambda c: c.consumer("s", block=INFINITE), "block must be a finite number of seconds"),
    "a block that is none": (lambda c: c.consumer("s", block=NAN), "block must be a finite number of seconds"),
    "a block for too long": (lambda c: c.consumer("s", block=60), "block=60 is longer than the keep-alive of 15 s"),
    "a negative duration": (
        lambda c: c.consumer("s", block=timedelta(seconds=-1)),
        "block must be more than 0 seconds, not -1",
    ),
    "no such encoding": (lambda c: c.consumer("s", decode="utf-9"), "decode='utf-9' is not a text encoding"),
    "no such option": (lambda c: c.consumer("s", blok=1), "blok"),  # type: ignore[call-overload]
    "empty group": (lambda c: c.group_consumer("s", group=""), "group is empty; give it a name"),
    "empty consumer": (lambda c: c.group_consumer("s", group="g", consumer=""), "consumer is empty"),
    "empty stream of a group": (lambda c: c.group_consumer("", group="g"), "stream is empty"),
    "a group's stream twice": (lambda c: c.group_consumer(["s", "s"], group="g"), "'s' is named twice"),
    "a group's start": (lambda c: c.group_consumer("s", group="g", start="first"), "'first' is not a stream id"),
    "nothing in flight": (
        lambda c: c.group_consumer("s", group="g", max_in_flight=0),
        "max_in_flight must be at least 1",
    ),
    "no prefetch": (lambda c: c.group_consumer("s", group="g", prefetch=0), "prefetch must be at least 1"),
    "claims of what is not idle": (
        lambda c: c.group_consumer("s", group="g", claim_idle=0),
        "claim_idle must be more than 0",
    ),
    "a negative delay": (lambda c: c.group_consumer("s", group="g", ack_delay=-0.1), "ack_delay must be at least 0"),
    "no audit": (
        lambda c: c.group_consumer("s", group="g", audit_interval=NAN),
        "audit_interval must be a finite number",
    ),
    "empty stream of a producer": (lambda c: c.producer(""), "stream is empty"),
    "a negative length": (lambda c: c.producer("s", maxlen=-1), "maxlen must be at least 0, not -1"),
    "two ways of trimming": (lambda c: c.producer("s", maxlen=1, minid="1"), "give maxlen or minid, not both"),
    "surrogates": (lambda c: c.producer("\ud800"), "cannot be sent as UTF-8"),
}

IN_USE: dict[str, tuple[Callable[[Client], Awaitable[object]], str]] = {
    "empty key": (lambda c: c.get(""), "key is empty"),
    "no key": (lambda c: c.delete(), "name at least one key"),
    "no fields": (lambda c: c.xadd("s", {}), "an entry needs at least one field"),
    "an id that is none": (lambda c: c.xadd("s", {"n": 1}, id="5-x"), "'5-x' is not a stream id"),
    "no ids": (lambda c: c.xack("s", "g"), "xack needs at least one id"),
    "a value of no type": (lambda c: c.set("key", None), "None|NoneType"),  # type: ignore[call-overload]
    "a dict for a value": (lambda c: c.xadd("s", {"n": {}}), "dict"),
    "no time": (lambda c: c.expire("key", NAN), "time must be a finite number"),
    "a negative count": (lambda c: c.xrange("s", count=-1), "count must be at least 1, not -1"),
    "no command": (lambda c: c.execute(command()), "a command needs at least its name"),
}


@pytest.mark.parametrize("what", AT_ONCE)
async def test_options(runtime: Runtime, server: EmbeddedServer, what: str) -> None:
    build, text = AT_ONCE[what]
    with pytest.raises((InvalidArgument, TypeError), match=text) as caught:
        build(runtime.connect(server.url))
    assert isinstance(caught.value, InvalidArgument) or what == "no such option"


async def test_arguments(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        for use, text in IN_USE.values():
            with pytest.raises(InvalidArgument, match=text):
                await use(client)
        assert raw("DBSIZE") == 0
        assert await client.ping() == b"PONG"


async def test_timeouts(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(300))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}) as follower,
        client.group_consumer("s", group="g") as consumer,
    ):
        for bad in (NAN, INFINITE, -1, "soon", True, timedelta(days=-1)):
            calls: list[Callable[[Any], Awaitable[object]]] = [follower.get, consumer.get, consumer.flush]
            for call in calls:
                with pytest.raises(InvalidArgument, match="timeout must be"):
                    await call(bad)
        for good in (0, 0.5, timedelta(milliseconds=500), None):
            assert await follower.get(good) is not None
            assert await consumer.flush(good)
