"""Durations that look like milliseconds are warned about, in the application's own line."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from streamcore import MillisecondsWarning
from streamcore.group.options import Membership
from tests.transports.runtimes import Runtime
from transports._facade.durations import BOUNDS
from transports.embedded import EmbeddedServer
from transports.litestar import StreamChannelsBackend


async def caught(call: Callable[[], Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = call()
        if isinstance(result, Awaitable):
            await result
    return found


async def test_a_duration_that_looks_like_milliseconds(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        await client.xgroup_create("s", "g", mkstream=True)
        await client.xadd("s", {"n": 1})
        attempts: dict[str, Callable[[], Any]] = {
            "request_timeout=5000 ": lambda: runtime.connect(server.url, request_timeout=5000),
            "connect_timeout=1000 ": lambda: runtime.connect(server.url, connect_timeout=1000),
            "claim_idle=60000 ": lambda: client.group_consumer("s", group="g", claim_idle=60_000),
            "ack_delay=200 ": lambda: client.group_consumer("s", group="g", ack_delay=200),
            "merge_wait=100 ": lambda: client.consumer("s", merge="id", merge_wait=100),
            "linger=100 ": lambda: client.producer("s", linger=100),
            "subscription_timeout=2000 ": lambda: client.pubsub("c", subscription_timeout=2000),
            "block=2000 ": lambda: client.xread({"s": "0"}, block=2000),
            "min_idle=60000 ": lambda: client.xautoclaim("s", "g", "c", min_idle=60_000),
        }
        for text, attempt in attempts.items():
            [warning] = await caught(attempt)
            assert warning.category is MillisecondsWarning
            assert str(warning.message).startswith(text)
            assert warning.filename in {__file__, inspect.getfile(Runtime)}, "it is told in a line of the application"


async def test_what_is_meant_is_not_warned_about(runtime: Runtime, server: EmbeddedServer) -> None:
    hour = timedelta(hours=1)
    async with runtime.connect(server.url) as client:
        await client.xadd("s", {"n": 1})
        attempts: list[Callable[[], Any]] = [
            lambda: runtime.connect(server.url, request_timeout=hour, connect_timeout=600),
            lambda: client.group_consumer("s", group="g", claim_idle=8 * hour, remove_idle_consumers=30 * 86_400),
            lambda: client.group_consumer("s", group="g", claim_idle=2 * 3600, audit_interval=60, ack_delay=5),
            lambda: client.group_consumer("s", group="g", claim_idle=None),
            lambda: client.producer("s", linger=5),
            lambda: client.channels(ttl=7 * 86_400),
            lambda: client.xread({"s": "0"}, block=hour),
            lambda: client.set("key", "value", ex=86_400),
            lambda: client.blpop("list", timeout=0.01),
        ]
        for attempt in attempts:
            assert await caught(attempt) == []


def test_each_line_is_told_once() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(3):
            StreamChannelsBackend(history=1, publish_timeout=30_000)
    assert [str(warning.message).partition(" ")[0] for warning in found] == ["publish_timeout=30000"]
    assert found[0].filename == __file__


def test_defaults_are_far_below_the_bounds() -> None:
    for name, parameter in inspect.signature(Membership.of).parameters.items():
        if name in BOUNDS:
            assert parameter.default * 10 <= BOUNDS[name]
