"""A node of a cluster, as the commands that it runs know it, and the bus that connects it with the others."""

from __future__ import annotations

from typing import Protocol, cast

from ..session import Context, Session
from .view import Member, View


class Bus(Protocol):
    """The connections between nodes, as a node uses them."""

    # Tell the others of a change of this node's own role, epoch or slots.
    def announce(self, id_: bytes) -> None: ...

    # Bring a message to the other nodes that are reached; of a shard channel, to those of the shard.
    def publish(self, id_: bytes, channel: bytes, message: bytes, *, is_sharded: bool) -> None: ...


class NodeContext(Context, Protocol):
    """A server that is a node.

    ``asking`` has the sessions whose next command may use a slot that is on its way here (ASKING), ``readers`` those that may
    read from a replica (READONLY).
    """

    view: View
    asking: set[Session]
    readers: set[Session]

    @property
    def id(self) -> bytes: ...

    @property
    def bus(self) -> Bus: ...

    @property
    def is_valkey(self) -> bool: ...

    # The flags of a command; none of an unknown one.
    def flags_of(self, word: bytes) -> str: ...

    # The host by which this node tells clients of another; None: it tells none.
    def name_of(self, member: Member) -> bytes | None: ...

    # The address of another node, as redirects name it.
    def endpoint(self, member: Member) -> str: ...

    # The keys of a slot that this node has.
    def keys_in(self, slot: int) -> list[bytes]: ...

    # How far a node has got in the journal of its shard.
    def offset(self, id_: bytes) -> int: ...


def node_of(session: Session) -> NodeContext:
    """The node that a session is connected to."""
    return cast("NodeContext", session.server)
