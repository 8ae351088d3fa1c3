"""The durability of an entry whose id is returned: on so many replicas (WAIT), or on so many disks (WAITAOF).

Without it an id means that the primary has the entry in its memory. The wait stands right behind its entries, in the
same write, because it speaks of the writes of its own connection. Where it finds too few, the entry is in the stream
all the same, and is never sent again for that: ``NotDurable`` tells its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ..arguments import Seconds, positive, seconds
from ..commands import Command, wait, waitaof
from ..connection.features import Feature, name_of
from ..entries import StreamId
from ..errors import InvalidArgument, RemoteProtocolError, ReplyError, StreamcoreError
from ..frozen import frozen


class NotDurable(StreamcoreError):
    """The entry is in the stream, under ``id``, and fewer servers than asked for have confirmed it so far.

    ``replicas`` have (None: unknown). Sending it again would append a second copy.
    """

    def __init__(self, message: str, id: StreamId, replicas: int | None = None) -> None:  # noqa: A002  # the server's word
        super().__init__(message, id, replicas)
        self.message = message
        self.id = id
        self.replicas = replicas

    def __str__(self) -> str:
        return self.message


@frozen
class Replicas:
    """An id means: so many replicas have the entry in their memory (``WAIT``). They get ``timeout`` seconds for it."""

    number: int
    timeout: Seconds = 1.0

    def __post_init__(self) -> None:
        positive("number", self.number)
        seconds("timeout", self.timeout)

    @property
    def feature(self) -> Feature | None:
        """The feature that a server needs for it: none, every server has ``WAIT``."""
        return None

    def command(self) -> Command[Any]:
        """Build the ``WAIT`` behind an entry."""
        return wait(self.number, self.timeout)

    def confirmed(self, reply: Any) -> tuple[bool, int]:
        """Parse the reply of WAIT: whether the replicas are enough, and how many have confirmed."""
        return reply >= self.number, reply


@frozen
class Disk:
    """An id means: the entry is on the disk of the primary, if ``local``, and of so many replicas (``WAITAOF``).

    Redis 7.2 and Valkey have it, where they keep an append-only file.
    """

    local: bool = True
    replicas: int = 0
    timeout: Seconds = 2.0

    def __post_init__(self) -> None:
        positive("replicas", self.replicas, zero=True)
        seconds("timeout", self.timeout)
        if not (self.local or self.replicas):
            raise InvalidArgument("Disk(local=False) needs replicas; there is nothing to wait for")

    @property
    def feature(self) -> Feature | None:
        """The feature that a server needs for it (``WAITAOF``)."""
        return Feature.WAITAOF

    def command(self) -> Command[Any]:
        """Build the ``WAITAOF`` behind an entry."""
        return waitaof(int(self.local), self.replicas, self.timeout)

    def confirmed(self, reply: Any) -> tuple[bool, int]:
        """Parse the reply of WAITAOF: whether the disks are enough, and how many replicas have confirmed."""
        local, replicas = reply
        return local >= int(self.local) and replicas >= self.replicas, replicas


Durability: TypeAlias = Replicas | Disk


def check_server(durability: Durability, server: Mapping[bytes, Any]) -> None:
    """Raise ``InvalidArgument`` where a server, by its HELLO reply, cannot confirm this durability."""
    if durability.feature is not None and not durability.feature.of(server):
        raise InvalidArgument(f"the producer's durability needs {durability.feature}, and this is {name_of(server)}")


def shortfall(durability: Durability, id_: StreamId, reply: Any) -> StreamcoreError | None:
    """Return the error of an entry after the reply to its wait; None: it is confirmed."""
    if isinstance(reply, ReplyError):
        reply.command = durability.command().name
        error = NotDurable(f"the entry is in the stream, and the server refused to wait: {reply}", id_)
        error.__cause__ = reply
        return error
    try:
        enough, replicas = durability.confirmed(reply)
    except (TypeError, ValueError):
        return RemoteProtocolError(f"the reply to {durability.command().name} cannot be understood")
    if enough:
        return None
    return NotDurable(
        f"the entry is in the stream, confirmed by {replicas} replicas; wanted {durability}", id_, replicas
    )


def unconfirmed(id_: StreamId, why: object) -> NotDurable:
    """Make the error of an entry whose id came, while the reply to its wait did not."""
    return NotDurable(f"the entry is in the stream; whether it is safe was not answered: {why}", id_)
