"""anyio: the names of the other transports, on whatever the running loop is; each client picks its runtime when entered."""

from __future__ import annotations

import sniffio

from streamcore.engine import Engine

from ._facade import asynchronous
from ._facade.asynchronous import Client, Consumer, GroupConsumer, Producer, make_connect
from .address import Target

__all__ = ["Client", "Consumer", "GroupConsumer", "Producer", "connect"]


def _driver(engine: Engine, target: Target) -> asynchronous.Driver:
    if sniffio.current_async_library() == "trio":
        from .trio import Driver as TrioDriver  # noqa: PLC0415  # only what runs is loaded

        return TrioDriver(engine, target)
    from .asyncio import Driver  # noqa: PLC0415

    return Driver(engine, target)


connect = make_connect(_driver)
