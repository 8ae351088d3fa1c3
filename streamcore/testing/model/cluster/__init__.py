"""A model of a cluster: servers that share slots, each with a view of its own. Nothing of it is in the way of a server alone.

``ModelCluster`` (``model.py``) is the face for tests. ``Node`` is a ``Server`` with a view (``view.py``) and a gate in front of
its commands (``gate.py``); the ``Bus`` brings gossip from node to node and notices silence.
"""

from .model import ModelCluster
from .moves import SlotMove
from .node import Node

__all__ = ["ModelCluster", "Node", "SlotMove"]
