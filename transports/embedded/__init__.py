"""Real servers in processes of their own, which end with the program: one alone, a cluster, or a primary with its Sentinels."""

from .cluster import EmbeddedCluster
from .moves import SlotMove
from .node import EmbeddedNode
from .sentinels import EmbeddedSentinels, WatchedServer
from .server import EmbeddedServer, EmbeddedServerError, free_port

__all__ = [
    "EmbeddedCluster",
    "EmbeddedNode",
    "EmbeddedSentinels",
    "EmbeddedServer",
    "EmbeddedServerError",
    "SlotMove",
    "WatchedServer",
    "free_port",
]
