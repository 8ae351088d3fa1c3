"""Where faults find their targets: the world, its server, the streams, and their records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from streamcore.testing.model.cluster.keys import slot_of

from .workloads.group.delivery_log import DeliveryLog
from .world.actor import Program
from .world.cluster_site import ClusterSite
from .world.driver import World
from .world.invariants import Oracle
from .world.plan import Fault
from .world.server_host import Host
from .world.store import Store
from .world.stream_log import Id, StreamLog

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from .world.network import Wire

T = TypeVar("T")


@dataclass
class Scene:
    """A world, as the nemesis sees it. ``delivery_logs`` has the log of each group.

    ``removing`` is told of entries that are about to be deleted or trimmed: the stream, their ids, and how; ``dropping`` of each
    stream that is about to go as a whole; ``rewinding`` of each that begins anew, with its groups, or goes back to a former state;
    ``rewound`` of each that has gone back; ``setting`` of each whose counters are about to be set; ``running`` of each command that the
    server is about to run for a client.
    """

    world: World
    store: Store
    history: StreamLog
    streams: list[bytes]
    used: list[int] = field(default_factory=list)  # slots of a cluster that have no stream
    delivery_logs: list[DeliveryLog] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    oracles: list[Oracle] = field(default_factory=list)
    refused_for_good: set[str] = field(default_factory=set)  # commands, by their names
    latest_clock: float = 0.0  # how far the server's clock was ever ahead
    removing: list[Callable[[bytes, list[Id], str], None]] = field(default_factory=list)
    dropping: list[Callable[[bytes], None]] = field(default_factory=list)
    rewinding: list[Callable[[bytes], None]] = field(default_factory=list)
    rewound: list[Callable[[bytes], None]] = field(default_factory=list)
    setting: list[Callable[[bytes], None]] = field(default_factory=list)
    running: list[Callable[[Session, list[bytes]], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.observe(self._run)

    def _run(self, session: Session, words: list[bytes]) -> None:
        for told in self.running:
            told(session, words)

    @property
    def host(self) -> Host:
        """The machine of the single server."""
        assert isinstance(self.store, Host), "a cluster has several"
        return self.store

    @property
    def site(self) -> ClusterSite:
        """The machines of the cluster."""
        assert isinstance(self.store, ClusterSite), "a single server has none"
        return self.store

    @property
    def slots(self) -> list[int]:
        """The slots of a cluster that programs use, in an order of their own."""
        return list(dict.fromkeys([*map(slot_of, self.streams), *self.used]))

    def enter(self, program: Program) -> None:
        """Add a program, and start its first process."""
        self.programs.append(program)
        self.world.at(self.world.now, program.start)

    @property
    def takes_writes(self) -> bool:
        """Whether a change of the data now is a change of the history that survives: a former primary refuses it."""
        return self.host.is_up and not self.host.paused and self.host.server.replication.primary is None

    def wires(self) -> list[Wire]:
        """All connections of all processes."""
        return [wire for node in self.world.nodes for wire in node.wires.values()]

    def note(self) -> None:
        """Write down the entries: something is about to be destroyed."""
        for stream in self.streams:
            self.history.note(stream)

    def remove(self, stream: bytes, ids: list[Id], how: str) -> None:
        """Entries are about to go."""
        self.note()
        for told in self.removing:
            told(stream, ids, how)

    def drop(self, stream: bytes) -> None:
        """Note that a stream is about to go, with entries that its groups have not been given."""
        for told in self.dropping:
            told(stream)

    def rewind(self, stream: bytes) -> None:
        """A stream is about to begin anew, with its groups, or to go back."""
        self.history.note(stream)
        self.history.rewind(stream)
        for told in self.rewinding:
            told(stream)

    def end_rewind(self, stream: bytes) -> None:
        """A stream has gone back, even where that has happened elsewhere, and it is the same as before."""
        for told in self.rewound:
            told(stream)


def pick(of: Sequence[T], lot: float) -> T | None:
    """An item of these, by a lot; None if there is none."""
    return of[int(lot * len(of))] if of else None


class Kind(NamedTuple):
    """A kind of fault: ``strike`` tells its deed, or None if it found no target, or strikes later.

    ``counts``: it counts under its own name; others do under another name, or, being mere delays, not at all.
    """

    weight: float
    strike: Callable[[Scene, Fault], str | None]
    counts: bool = True
