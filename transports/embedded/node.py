"""A node of an embedded cluster: a server that can be asked what it knows about the cluster.

Each question has a connection of its own, so that nothing has to be kept, closed or made safe for threads and forks.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from streamcore.commands import Command, NodeInfo, cluster_info, cluster_myid, cluster_nodes, info, raw

from .questions import HOST, Ear, ask, ask_all
from .server import START_TIMEOUT, EmbeddedServer, EmbeddedServerError, options_as_words

T = TypeVar("T")

BUS: Final = 10_000  # from a node's port to that of the cluster's bus
# Elections within seconds, though not on a machine that is merely busy; no node that takes another role because of where the
# slots are; synchronisation at once, and through memory alone: Valkey looks for a file only once a second, and a primary that was
# killed would come back with the keys of that file; data after it: Redis names only replicas that have had some to its clients.
OPTIONS: Final = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "cluster-replica-validity-factor": "0",
    "cluster-allow-replica-migration": "no",
    "repl-diskless-sync-delay": "0",
    "repl-diskless-load": "swapdb",
    "repl-ping-replica-period": "1",
}


class EmbeddedNode(EmbeddedServer):
    """A node of an ``EmbeddedCluster``, with all that ``EmbeddedServer`` can do to it.

    ``restart()`` brings it back under its id, which it keeps in its directory; a node that was removed and starts again
    has another. Its data does not survive: it comes from the primary, or is lost.
    """

    def __init__(
        self,
        *,
        port: int,
        tls_port: int | None,
        server: str | None,
        password: str | None,
        config: Mapping[str, str] | Sequence[str],
    ) -> None:
        options = OPTIONS | {"cluster-port": str(port + BUS)}
        if tls_port is not None:
            options |= {"tls-port": str(tls_port), "tls-cluster": "yes", "tls-replication": "yes"}
        if password is not None:
            options |= {"requirepass": password, "masterauth": password}
        super().__init__(port=port, server=server, config=[*options_as_words(options), *options_as_words(config)])
        self._port = port
        self._tls_port = tls_port
        self._password = password
        self._id = ""
        self._paused = False

    def __repr__(self) -> str:
        return f"<EmbeddedNode {HOST}:{self._port}>"

    @property
    def id(self) -> str:
        """The node's id in the cluster, of 40 hexadecimal digits; empty before its start."""
        return self._id

    @property
    def tls_port(self) -> int | None:
        """The port for TLS, None without it; ``port`` is without TLS also then."""
        return self._tls_port

    @property
    def peer_port(self) -> int:
        """The port that other nodes use, for replication and for keys that move."""
        return self._tls_port or self._port

    def sign_in(self) -> list[str]:
        """The words of ``MIGRATE`` for another node that has to sign in here."""
        return [] if self._password is None else ["AUTH", self._password]

    def is_started(self) -> bool:
        """Whether it has a place in the cluster; also where its process was killed."""
        return self._directory is not None

    def is_up(self) -> bool:
        """Whether it can answer: its process runs, and is not stopped by ``pause()``."""
        return self.is_running() and not self._paused

    def start(self, *, timeout: float = START_TIMEOUT) -> None:
        """Start the node, which does not belong to any cluster then; see ``EmbeddedServer.start``."""
        self._paused = False
        super().start(timeout=timeout)
        if self.ask(info("server"))["process_id"] != str(self.pid):  # with a password, EmbeddedServer cannot tell
            raise EmbeddedServerError(f"another program has port {self._port}: {os.strerror(errno.EADDRINUSE)}")
        self._id = self.ask(cluster_myid())

    def restart(self, *, timeout: float = START_TIMEOUT) -> None:
        """Start again under the same id; see ``EmbeddedServer.restart``."""
        self._paused = False
        super().restart(timeout=timeout)

    def pause(self) -> None:
        """Freeze the node (SIGSTOP): its connections stay open and nothing answers."""
        super().pause()
        self._paused = True

    def resume(self) -> None:
        """Let a paused node go on (SIGCONT)."""
        super().resume()
        self._paused = False

    # -- questions --------------------------------------------------------------------------------------------------

    def ask(self, command: Command[T]) -> T:
        """Execute a command at this node.

        Raises ``ReplyError`` where the node refuses it, and ``OSError`` where the node does not answer within 10 s.
        """
        return ask(self._port, self._password, command)

    def ask_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Execute commands in their order; returns their replies, not parsed, with refusals in their places."""
        return ask_all(self._port, self._password, commands)

    def listen(self, channel: str) -> Ear:
        """A subscription to a channel at this node, to be entered."""
        return Ear(self._port, self._password, channel)

    def known(self) -> dict[str, NodeInfo]:
        """The nodes that it knows, by their ids (``CLUSTER NODES``)."""
        return {node.id: node for node in self.ask(cluster_nodes())}

    def is_linked(self) -> bool:
        """Whether it follows its primary, or is a primary itself (``INFO``)."""
        return self.ask(info("replication")).get("master_link_status", "up") == "up"

    def offset(self) -> int:
        """How much of its shard's replication stream it has, in bytes (``INFO``)."""
        about = self.ask(info("replication"))
        return int(about.get("slave_repl_offset", about["master_repl_offset"]))

    def is_ready(self) -> bool:
        """Whether it finds the cluster in order (``CLUSTER INFO``) and follows its primary."""
        state, replication = self.ask_all([cluster_info(), info("replication")])
        return b"cluster_state:ok" in state and b"master_link_status:down" not in replication

    def has(self, server: str, *version: int) -> bool:
        """Whether it is a ``valkey`` or ``redis`` of this version or a later."""
        about = self.ask(info("server"))
        name = "valkey" if "valkey_version" in about else "redis"
        return name == server and tuple(map(int, str(about[f"{name}_version"]).split(".")[:2])) >= version

    def databases(self) -> range:
        """The numbers of its databases; more than one with Valkey 9.0 and ``cluster-databases`` only."""
        found = self.ask(raw("CONFIG", "GET", "cluster-databases"))
        return range(int(found[1]) if found else 1)
