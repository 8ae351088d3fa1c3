"""The scenarios. Each seed draws a scenario; its function adds programs and invariants to the scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from .context import Kind, Scene
from .faults import cluster, data, failover, logins, server
from .faults import rewinds as reader_faults
from .faults import streams as stream_faults
from .faults.network import late
from .faults.readers import PUBSUB_KINDS, READER_KINDS, REQUEST_KINDS
from .workloads.channels.workload import add_channels
from .workloads.client import add_clients, add_spread_clients
from .workloads.consumer.restored_stream import add_restored_stream
from .workloads.consumer.workload import add_readers, add_spread_readers
from .workloads.group.workload import add_applications, add_group, add_spread_group
from .workloads.pubsub.workload import add_subscribers
from .workloads.requests import add_requesters
from .workloads.rotation import add_rotating_clients
from .workloads.spread_requests import add_spread_requesters
from .world.invariants import EventsInOrder
from .world.plan import FAULTS, Size


class Scenario(NamedTuple):
    """``weight``: how often it is drawn, beside the others; 0: it is asked for by its name.

    ``kinds``: faults of its own; ``without``: kinds that find no target in it; ``faults``: how many are planned.
    """

    weight: float
    enter: Callable[[Scene, Size, EventsInOrder], None]
    kinds: Mapping[str, Kind] = MappingProxyType({})
    without: frozenset[str] = frozenset()
    faults: int = FAULTS
    in_cluster: bool = False

    def chosen(self, kinds: Mapping[str, Kind]) -> dict[str, Kind]:
        """The kinds of faults that strike in this scenario."""
        return {name: kind for name, kind in (*kinds.items(), *self.kinds.items()) if name not in self.without}


OF_GROUPS: Final = frozenset(
    {
        "XDEL of pending", "XDEL of unread", "XGROUP DESTROY", "stranger claims", "stranger reads", "stranger settles",
        "crash in a handler", "another name", "twin", "machine replaced", "permission denied", "SCRIPT FLUSH",
    }
)  # fmt: skip
OF_DATA: Final = frozenset({"XTRIM", "FLUSHALL", "error reply", "clock step"})
WITHOUT_STREAMS: Final = (OF_GROUPS | {"XTRIM"}) - {"permission denied", "SCRIPT FLUSH"}
OF_GROUPS_ALONE: Final = {**failover.GROUP_KINDS, **stream_faults.KINDS}
OF_ONE_SERVER: Final = frozenset({*server.KINDS, *data.KINDS})
FEW_ERRORS: Final = {"error reply": Kind(3, server.error)}  # most of them befall commands of streams


SCENARIOS: Final = {
    "group": Scenario(1, add_group, OF_GROUPS_ALONE),
    "applications": Scenario(0.7, add_applications, OF_GROUPS_ALONE),
    "consumer": Scenario(0.6, add_readers, {**READER_KINDS, **reader_faults.KINDS, **failover.KINDS}, OF_GROUPS, 530),
    "pubsub": Scenario(0.6, add_subscribers, {**PUBSUB_KINDS, **failover.KINDS}, OF_GROUPS | OF_DATA, 590),
    "requests": Scenario(0.4, add_requesters, REQUEST_KINDS, OF_GROUPS | {"XTRIM", "FLUSHALL"}, 670),
    "client": Scenario(0.5, add_clients, FEW_ERRORS, WITHOUT_STREAMS, 850),
    "channels": Scenario(0.5, add_channels, {**FEW_ERRORS, "late": Kind(12, late)}, WITHOUT_STREAMS, 640),
    "cluster-group": Scenario(0, add_spread_group, cluster.KINDS, OF_ONE_SERVER, 260, in_cluster=True),
    "cluster-requests": Scenario(
        0, add_spread_requesters, cluster.KINDS, OF_ONE_SERVER | OF_GROUPS, 260, in_cluster=True
    ),
    "cluster-consumer": Scenario(0, add_spread_readers, cluster.KINDS, OF_ONE_SERVER | OF_GROUPS, 260, in_cluster=True),
    "cluster-pubsub": Scenario(0, add_subscribers, cluster.KINDS, OF_ONE_SERVER | OF_GROUPS, 260, in_cluster=True),
    "cluster-client": Scenario(0, add_spread_clients, cluster.KINDS, OF_ONE_SERVER | OF_GROUPS, 260, in_cluster=True),
    "restored": Scenario(0, add_restored_stream, faults=0),
    "rotation": Scenario(0, add_rotating_clients, {**FEW_ERRORS, **logins.KINDS}, WITHOUT_STREAMS, 850),
}

CLUSTER_SCENARIOS: Final = tuple(name for name, one in SCENARIOS.items() if one.in_cluster)
"""The scenarios of a cluster: they are asked for by name, or drawn by ``simulate_cluster``."""
