"""A node of an embedded cluster: a server that can be asked what it knows about the cluster.

Each question has a connection of its own, so that nothing has to be kept, closed or made safe for threads and forks.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from streamcore.commands import Command, NodeInfo, cluster_info, cluster_myid, cluster_nodes, info
from streamcore.errors import ReplyError
from streamcore.resp3 import make_decoder

from .server import START_TIMEOUT, EmbeddedServer, options_as_words

T = TypeVar("T")

HOST: Final = "127.0.0.1"
ANSWER_TIMEOUT: Final = 10.0  # seconds for the answer to each command
# Elections within seconds, though not on a machine that is merely busy; no node that takes another role because of where the
# slots are; a first synchronisation at once, and data after it: Redis names only replicas that have had some to its clients.
OPTIONS: Final = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "cluster-replica-validity-factor": "0",
    "cluster-allow-replica-migration": "no",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
}


class EmbeddedNode(EmbeddedServer):
    """A node of an ``EmbeddedCluster``, with all that ``EmbeddedServer`` can do to it.

    ``restart()`` brings it back under its id, which it keeps in its directory; a node that was removed and starts again
    has another.
    """

    def __init__(self, *, port: int, server: str | None, config: Mapping[str, str] | Sequence[str]) -> None:
        super().__init__(port=port, server=server, config=[*options_as_words(OPTIONS), *options_as_words(config)])
        self._port = port
        self._id = ""
        self._paused = False

    def __repr__(self) -> str:
        return f"<EmbeddedNode {HOST}:{self._port}>"

    @property
    def id(self) -> str:
        """The node's id in the cluster, of 40 hexadecimal digits; empty before its start."""
        return self._id

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
        [reply] = self.ask_all([command])
        if isinstance(reply, ReplyError):
            raise reply
        answer: T = reply if command.parse is None else command.parse(reply)
        return answer

    def ask_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Execute commands in their order; returns their replies, not parsed, with refusals in their places."""
        decoder, replies = make_decoder(), list[Any]()
        with socket.create_connection((HOST, self._port), ANSWER_TIMEOUT) as connection:
            connection.sendall(b"".join(command.data for command in commands))
            while len(replies) < len(commands):
                data = connection.recv(65536)
                if not data:
                    raise ConnectionResetError(f"the node {HOST}:{self._port} closed the connection")
                replies += decoder.feed(data)
        return replies

    def known(self) -> dict[str, NodeInfo]:
        """The nodes that it knows, by their ids (``CLUSTER NODES``)."""
        return {node.id: node for node in self.ask(cluster_nodes())}

    def is_linked(self) -> bool:
        """Whether it follows its primary, or is a primary itself (``INFO``)."""
        return self.ask(info("replication")).get("master_link_status", "up") == "up"

    def is_ready(self) -> bool:
        """Whether it finds the cluster in order (``CLUSTER INFO``) and follows its primary."""
        return self.ask(cluster_info())["cluster_state"] == "ok" and self.is_linked()
