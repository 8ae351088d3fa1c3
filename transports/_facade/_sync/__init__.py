"""The public face for threads: the names and parameters of ``asynchronous``, without ``await``.

A consumer belongs to one thread at a time; clients and producers may be shared.
"""

from .channels import Channels, ChannelSubscriber
from .client import Client, make_connect
from .commands import Script
from .consumers import Consumer
from .groups import GroupConsumer
from .lifecycle import Driver
from .producer import PendingSend, Producer
from .pubsub import KeyEvents, PubSub, ShardedPubSub
from .transaction import Transaction

__all__ = [
    "ChannelSubscriber",
    "Channels",
    "Client",
    "Consumer",
    "Driver",
    "GroupConsumer",
    "KeyEvents",
    "PendingSend",
    "Producer",
    "PubSub",
    "Script",
    "ShardedPubSub",
    "Transaction",
    "make_connect",
]
