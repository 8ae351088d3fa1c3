"""Who may be on the stage. Each seed draws one cast; a function puts its programs and oracles into the scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from .context import Kind, Scene
from .faults import failover
from .faults import rewinds as reader_faults
from .faults import streams as stream_faults
from .faults.network import late
from .faults.readers import ASKER_KINDS, LISTENER_KINDS, READER_KINDS
from .faults.server import error
from .workloads.channels.workload import cast_audience
from .workloads.client import cast_clerks
from .workloads.consumer.workload import cast_readers
from .workloads.group.workload import cast_applications, cast_group
from .workloads.pubsub.workload import cast_listeners
from .workloads.requests import cast_askers
from .world.invariants import EventsInOrder
from .world.plan import FAULTS, Size


class Cast(NamedTuple):
    """``weight``: how often it is drawn, beside the others.

    ``kinds``: faults of its own; ``without``: those that find no target in it; ``faults``: how many are planned.
    """

    weight: float
    enter: Callable[[Scene, Size, EventsInOrder], None]
    kinds: Mapping[str, Kind] = MappingProxyType({})
    without: frozenset[str] = frozenset()
    faults: int = FAULTS

    def chosen(self, kinds: Mapping[str, Kind]) -> dict[str, Kind]:
        """The kinds of faults that befall this cast."""
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
FEW_ERRORS: Final = {"error reply": Kind(3, error)}  # most of them befall commands of streams


CASTS: Final = {
    "group": Cast(1, cast_group, OF_GROUPS_ALONE),
    "applications": Cast(0.7, cast_applications, OF_GROUPS_ALONE),
    "readers": Cast(0.6, cast_readers, {**READER_KINDS, **reader_faults.KINDS, **failover.KINDS}, OF_GROUPS, 530),
    "listeners": Cast(0.6, cast_listeners, {**LISTENER_KINDS, **failover.KINDS}, OF_GROUPS | OF_DATA, 590),
    "askers": Cast(0.4, cast_askers, ASKER_KINDS, OF_GROUPS | {"XTRIM", "FLUSHALL"}, 670),
    "clerks": Cast(0.5, cast_clerks, FEW_ERRORS, WITHOUT_STREAMS, 850),
    "audience": Cast(0.5, cast_audience, {**FEW_ERRORS, "late": Kind(12, late)}, WITHOUT_STREAMS, 640),
}
