"""The public face on an async runtime; each runtime brings a ``Driver`` and nothing else.

A consumer belongs to a single task at a time; clients and producers may be shared.
"""

from .channels import Channels, ChannelSubscriber
from .client import Client, make_connect
from .commands import Script
from .consumers import Consumer
from .groups import GroupConsumer
from .nodes import NodeClient
from .producer import PendingSend, Producer
from .pubsub import KeyEvents, PubSub, ShardedPubSub
from .transaction import Transaction

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
    "make_connect",
]
