"""The public face under asyncio, trio and anyio; each runtime brings a ``Driver`` and nothing else."""

from .channels import Channels, ChannelSubscriber
from .client import Client, make_connect
from .commands import Script
from .consumers import Consumer
from .groups import GroupConsumer
from .lifecycle import Driver, away_from_home
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
    "away_from_home",
    "make_connect",
]
