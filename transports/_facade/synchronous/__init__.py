"""The public face for threads: the names and parameters of ``asynchronous``, without ``await``.

A consumer belongs to one thread at a time; clients and producers may be shared.
"""

from .client import Client, make_connect
from .commands import Script
from .producer import Producer, Sent
from .readers import Consumer, GroupConsumer
from .running import Driver
from .transaction import Transaction

__all__ = ["Client", "Consumer", "Driver", "GroupConsumer", "Producer", "Script", "Sent", "Transaction", "make_connect"]
