"""What a contestant is asked to do with a cluster: streams over all of its slots, and a clock that all nodes agree with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, cast

from benchmarks.entries import flat, make_fields
from benchmarks.job import Job
from benchmarks.raw import Raw


class Nodes:
    """Connections to the nodes of a cluster, for questions about all of them."""

    def __init__(self, host: str, ports: list[int]) -> None:
        self.raws = {port: Raw(host, port) for port in ports}

    def cpu_seconds(self) -> float:
        """The CPU time that all nodes have used, replicas too."""
        return sum([raw.cpu_seconds() for raw in self.raws.values()])


@dataclass
class ClusterJob(Job):
    """A job in a cluster. ``ports``: of all nodes, the first of a primary; ``owners``: the port of each stream's primary."""

    ports: list[int] = field(default_factory=list)
    owners: dict[str, int] = field(default_factory=dict)
    consumers: int = 1
    held_back: bool = False
    """The group stands behind all entries until the clock has started; then one more comes to each stream, which wakes readers."""

    def start(self) -> Self:
        super().start()
        if self.held_back:
            for port, raw in self._nodes.raws.items():
                streams = [stream for stream, owner in self.owners.items() if owner == port]
                raw.pipeline([("XGROUP", "SETID", stream, self.group, "0") for stream in streams])
                raw.pipeline([("XADD", stream, "*", *flat(make_fields(0))) for stream in streams])
        return self

    @property
    def streams(self) -> list[str]:
        return [*self.owners]

    @property
    def url(self) -> str:
        return f"redis://{','.join(f'{self.host}:{port}' for port in self.ports)}"

    @property
    def _nodes(self) -> Nodes:
        return cast(Nodes, self._control)

    def control(self) -> Any:
        return Nodes(self.host, self.ports)

    def _unsettled(self) -> int:
        left = 0
        for port, raw in self._nodes.raws.items():
            streams = [stream for stream, owner in self.owners.items() if owner == port]
            if self.settle == "acked":
                left += sum([reply[0] for reply in raw.pipeline([("XPENDING", one, self.group) for one in streams])])
            elif self.settle == "written":
                left -= sum(raw.pipeline([("XLEN", stream) for stream in streams]))
        return left + self.n if self.settle == "written" else left
