"""The units of a connection: exchanges of commands and replies, and the server's pushes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias, final

from ..errors import InvalidArgument, UnreadableError
from ..resp3 import Reply, encode

Arguments: TypeAlias = tuple[Any, ...]


_NO_ATTRIBUTES: Final[Mapping[int, Any]] = MappingProxyType({})


class Exchange:
    """Commands that leave in a single write, and their replies once they came.

    Encoding happens here, unless ``encoded`` has the bytes, so that a bad argument fails before anything is queued.
    ``timeout`` is the time, in seconds, within which the server answers once it has come to these commands; a
    blocking read includes its BLOCK. ``offset`` tells where in the outgoing bytes the exchange begins, hence whether
    it was sent; ``nbytes`` about how large the replies were. ``attributes`` holds the replies' attributes by index;
    servers send none unasked. ``subscribes`` marks a ``Subscribing``, and is faster to test than ``isinstance``.
    """

    __slots__ = ("attributes", "commands", "data", "nbytes", "offset", "replies", "size", "subscribes", "timeout")

    def __init__(self, commands: Sequence[Arguments], timeout: float = 5.0, encoded: bytes | None = None) -> None:
        if not commands:
            raise InvalidArgument("there is no command to send; give at least one")  # it would never be answered
        self.commands = commands
        self.data = b"".join(map(encode, commands)) if encoded is None else encoded
        self.size = len(commands)
        self.timeout = timeout
        self.replies: list[Reply] = []
        self.attributes: Mapping[int, Any] = _NO_ATTRIBUTES
        self.offset = 0
        self.nbytes = 0
        self.subscribes = False

    def is_confirmed_by(self, push: list[Any]) -> bool:
        """Tell whether a push is the next answer of this exchange: only a subscription's is."""
        return False

    def was_unreadable(self) -> bool:
        """Tell whether the server could not parse the command of the last reply: it runs nothing behind it."""
        return bool(self.replies) and type(self.replies[-1]) is UnreadableError


class Subscribing(Exchange):
    """A command such as SUBSCRIBE: a push for each of its names, in their order, answers it, or a single error for all.

    A server pushes the same word when it takes a shard channel away; such a push counts as an answer if an answer is
    due.
    """

    __slots__ = ("_kind", "_names")

    def __init__(self, word: str, names: Sequence[bytes], timeout: float = 5.0) -> None:
        super().__init__([(word, *names)], timeout)
        self.size = len(names)
        self.subscribes = True
        self._kind = word.lower().encode()
        self._names = names

    def is_confirmed_by(self, push: list[Any]) -> bool:
        """Tell whether a push confirms the next name of this subscription."""
        if len(push) != 3 or type(push[0]) is not bytes or type(push[1]) is not bytes:
            return False
        return push[0] == self._kind and push[1] == self._names[len(self.replies)]


@final
class Pushed:
    """Consecutive pushes, each ``[kind, ...]``."""

    __slots__ = ("pushes",)

    def __init__(self, pushes: list[list[Any]]) -> None:
        self.pushes = pushes


def _ignore(reply: Reply) -> None:
    """Take the reply to a PING."""


class Own(Exchange):
    """A command of the link itself, such as its PING: ``answered`` is called with the reply, and not the owner."""

    __slots__ = ("answered",)

    def __init__(self, command: Arguments, timeout: float, answered: Callable[[Reply], None] = _ignore) -> None:
        super().__init__([command], timeout)
        self.answered = answered


def without_own(exchanges: list[Exchange]) -> list[Exchange]:
    """Return the exchanges of the owner, without the link's own."""
    return [exchange for exchange in exchanges if type(exchange) is not Own]
