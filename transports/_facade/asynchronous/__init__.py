"""The public face under asyncio, trio and anyio; each runtime brings a ``Driver`` and nothing else."""

from .client import Client, make_connect
from .commands import Script
from .producer import Producer, Sent
from .readers import Consumer, GroupConsumer
from .running import Driver
from .transaction import Transaction

__all__ = ["Client", "Consumer", "Driver", "GroupConsumer", "Producer", "Script", "Sent", "Transaction", "make_connect"]
