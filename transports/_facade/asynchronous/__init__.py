"""The public face under asyncio, trio and anyio; each runtime brings a ``Driver`` and nothing else."""

from .client import Client, make_connect
from .producer import Producer
from .readers import Consumer, GroupConsumer
from .running import Driver

__all__ = ["Client", "Consumer", "Driver", "GroupConsumer", "Producer", "make_connect"]
