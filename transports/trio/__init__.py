"""Clients for trio: ``connect()`` opens a client in the present run."""

from __future__ import annotations

from streamcore.errors import MissingExtra

try:
    import trio  # noqa: F401  # asked for here, before the modules below import it
except ModuleNotFoundError:
    raise MissingExtra("there is no trio here: pip install 'streamcore-redis[trio]'") from None

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
