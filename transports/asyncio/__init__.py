"""Clients for asyncio and uvloop: ``connect()`` opens a client in the running event loop."""

from __future__ import annotations

from .._facade._async import (
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
from .runtime import Runtime

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

connect = make_connect(Runtime)
