"""anyio: the names of the other transports, on asyncio or trio, as the loop runs; each client picks its runtime when entered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any

from streamcore.engine.engine import Engine
from streamcore.errors import MissingExtra

from ._facade._async import (
    Channels,
    ChannelSubscriber,
    Client,
    Consumer,
    GroupConsumer,
    KeyEvents,
    NodeClient,
    PendingSend,
    Producer,
    PubSub,
    Script,
    ShardedPubSub,
    Transaction,
    make_connect,
)
from ._facade.runtime import AsyncDriver
from .address import Target
from .asyncio.runtime import Runtime

try:
    import anyio
except ModuleNotFoundError:
    raise MissingExtra("there is no anyio here: pip install 'streamcore-redis[anyio]'") from None

__all__ = [
    "ChannelSubscriber",
    "Channels",
    "Client",
    "Consumer",
    "GroupConsumer",
    "KeyEvents",
    "NodeClient",
    "PendingSend",
    "Producer",
    "PubSub",
    "Script",
    "ShardedPubSub",
    "Transaction",
    "connect",
]


class _AsyncioRuntime(Runtime):
    """A scope of anyio cancels, unlike asyncio itself, also the awaits of a cancelled task on its way out."""

    async def linger(self, done: Callable[[], bool], within: float) -> bool:
        with anyio.CancelScope(shield=True):
            await super().linger(done, within)
        return done()

    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(work)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await super().aclose()


def _runtime(engine: Engine, target: Target) -> AsyncDriver:
    trio = sys.modules.get("trio")
    if trio is None or not trio.lowlevel.in_trio_task():
        return _AsyncioRuntime(engine, target)
    from .trio.runtime import Runtime as TrioRuntime

    return TrioRuntime(engine, target)


connect = make_connect(_runtime)
