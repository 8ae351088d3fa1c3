"""A client of a model cluster's nodes, for tests: a connection, and replies as Python values."""

from __future__ import annotations

from typing import Any

import hiredis

from streamcore.resp3 import encode
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.testing.model.session import Session

START = 1_700_000_000.0


class Client:
    """A connection to a node. ``client("GET", "k")`` returns the reply, an error as ``-`` and its text, in bytes."""

    def __init__(self, cluster: ModelCluster, node: Node, *, protocol: int = 3) -> None:
        self.node = node
        self.session: Session = node.connect(cluster.now)
        self.session.protocol = protocol
        self._cluster = cluster
        self._reader = hiredis.Reader(notEnoughData=self)

    def __call__(self, *words: str | bytes | int) -> Any:
        found = self.send(*words)
        assert len(found) == 1, f"{words} is answered by {found}"
        return found[0]

    def send(self, *words: str | bytes | int) -> list[Any]:
        """Send a command; return the replies and pushes that have come."""
        self.session.receive(encode(words), self._cluster.now)
        return self.read()

    def read(self) -> list[Any]:
        """Take the replies and pushes that have come."""
        data = bytes(self.session.data_to_send())
        self.session.data_sent(len(data))
        self._reader.feed(data)
        found: list[Any] = []
        while (reply := self._reader.gets()) is not self:
            found.append(plain(reply))
        return found


def plain(reply: Any) -> Any:
    """A reply with errors as bytes, behind a minus."""
    if isinstance(reply, hiredis.ReplyError):
        return f"-{reply}".encode()
    return [plain(one) for one in reply] if isinstance(reply, list) else reply


def asked(session: Client, *commands: str) -> list[Any]:
    """The replies to commands, each of one line."""
    return [session(*command.split()) for command in commands]
