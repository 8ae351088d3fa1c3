"""Events of a topology, as values: the nodes of a cluster and the slots that they serve; the primary that Sentinels name."""

from __future__ import annotations

from .frozen import frozen

Ranges = tuple[tuple[int, int], ...]
"""Slots, as pairs of a first and a last slot."""


@frozen
class TopologyChanged:
    """The cluster was asked, and has changed (``CLUSTER SLOTS``): the addresses of nodes that joined and left, and slots with another owner."""

    joined: tuple[str, ...]
    left: tuple[str, ...]
    moved: Ranges


@frozen
class SlotsUncovered:
    """No node serves these slots; what concerns them waits, and the cluster is asked until they are served again."""

    slots: Ranges


@frozen
class SlotsCovered:
    """All slots are served again."""


@frozen
class NodeSuspected:
    """A node does not answer; the other nodes are asked whether its slots have a new owner."""

    address: str


@frozen
class RedirectRefused:
    """A node has redirected to, or named, an address that may not be followed, or leads nowhere from here: see ``follow`` and ``address_map`` of ``connect``."""

    address: str
    announced_by: str


@frozen
class KeysMoved:
    """These slots got another owner while all keys were scanned: keys of theirs may have been missed, or have come twice."""

    slots: Ranges


@frozen
class PrimaryChanged:
    """The Sentinels name another server as the primary of a service; all connections go there. Addresses, as text."""

    service: str
    former: str
    address: str


TopologyEvent = (
    TopologyChanged | SlotsUncovered | SlotsCovered | NodeSuspected | RedirectRefused | KeysMoved | PrimaryChanged
)
