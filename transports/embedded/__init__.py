"""Real servers in processes of their own, which end with the program: one alone, or a cluster."""

from .cluster import EmbeddedCluster
from .moves import SlotMove
from .node import EmbeddedNode
from .server import EmbeddedServer, EmbeddedServerError, free_port

__all__ = ["EmbeddedCluster", "EmbeddedNode", "EmbeddedServer", "EmbeddedServerError", "SlotMove", "free_port"]
