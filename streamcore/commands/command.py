"""A command as a value: its arguments, what its reply means, whether it may be repeated, and on which link it may run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any, Final, Generic, TypeVar, overload

from ..errors import InvalidArgument
from ..resp3 import Argument
from ..resp3.encoder import to_bytes

T_co = TypeVar("T_co", covariant=True)  # a list of commands of many kinds is one of Command[object]

# They change what a shared connection is, or never end; on the left the word, on the right what to use.
FORBIDDEN: Final[dict[str, str]] = {
    "AUTH": "give the user and password to connect()",
    "HELLO": "the connection has done it already",
    "SELECT": "give the database to connect()",
    "RESET": "open a new client",
    "QUIT": "close the client",
    "MONITOR": "it never ends; use a connection of your own",
    "SUBSCRIBE": "its answers are no replies; use client.pubsub()",
    "PSUBSCRIBE": "its answers are no replies; use client.pubsub()",
    "SSUBSCRIBE": "its answers are no replies; use client.pubsub()",
    "UNSUBSCRIBE": "its answers are no replies; use client.pubsub()",
    "PUNSUBSCRIBE": "its answers are no replies; use client.pubsub()",
    "SUNSUBSCRIBE": "its answers are no replies; use client.pubsub()",
    "MULTI": "it would change what other tasks' commands mean",
    "EXEC": "it would change what other tasks' commands mean",
    "DISCARD": "it would change what other tasks' commands mean",
    "WATCH": "it would change what other tasks' transactions mean",
    "SYNC": "it turns the connection into a replica's",
    "REPLCONF": "it turns the connection into a replica's, and is not always answered",
    "PSYNC": "it turns the connection into a replica's",
}
_FORBIDDEN_CLIENT: Final = frozenset({"REPLY", "TRACKING", "CACHING", "CAPA"})
_BLOCKING: Final = frozenset(
    {"BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "BRPOPLPUSH", "WAIT", "WAITAOF"}
)
_VALUES: Final = {"COUNT": 1, "GROUP": 2}  # how many words belong to an option of a read


class Command(Generic[T_co]):
    """``args`` are sent as they are; ``parse`` makes the answer from the reply.

    ``repeatable``: running it twice is the same as running it once, so it may be sent again when its fate is unknown.
    """

    __slots__ = ("args", "parse", "repeatable")

    def __init__(
        self, args: tuple[Argument, ...], parse: Callable[[Any], T_co] | None = None, *, repeatable: bool = False
    ) -> None:
        self.args = args
        self.parse = parse
        self.repeatable = repeatable

    @property
    def name(self) -> str:
        """The command's own words, without arguments."""
        return str(self.args[0])

    @overload
    def text(self: Command[bytes], encoding: str = "utf-8") -> Command[str]: ...
    @overload
    def text(self: Command[bytes | None], encoding: str = "utf-8") -> Command[str | None]: ...
    def text(self: Command[Any], encoding: str = "utf-8") -> Command[Any]:
        """The same command, answering text where the server sends bytes."""

        def parse(reply: Any) -> str | None:
            answer = reply if self.parse is None else self.parse(reply)
            return None if answer is None else answer.decode(encoding)

        return Command(self.args, parse, repeatable=self.repeatable)

    def __repr__(self) -> str:
        return f"<Command {self.name} with {len(self.args) - 1} arguments>"


def raw(*args: Argument) -> Command[Any]:
    """Any command, answering what the decoder makes of its reply.

    Raises ``InvalidArgument`` for commands that would change a shared connection, or block it.
    """
    if not args:
        raise InvalidArgument("a command needs at least its name")
    words = [_upper(arg) for arg in args]
    word = words[0]
    remedy = FORBIDDEN.get(word)
    if word == "CLIENT" and _FORBIDDEN_CLIENT.intersection(words[1:2]):
        remedy = "it changes the connection of all tasks"
    if word in {"XREAD", "XREADGROUP"} and _has_block(words[1:]):
        remedy = "it would block all tasks' commands; use client.consumer() or client.group_consumer()"
    if word in _BLOCKING:
        remedy = "it would block all tasks' commands; streamcore has no connection for it yet"
    if remedy is not None:
        raise InvalidArgument(f"{word} cannot run on a shared connection: {remedy}")
    return Command((word, *args[1:]))


def _has_block(words: list[str]) -> bool:
    """Whether a read has the option BLOCK: options come in any order, and a group or a stream may be called so."""
    options = iter(words)
    for option in takewhile("STREAMS".__ne__, options):
        if option == "BLOCK":
            return True
        for _ in range(_VALUES.get(option, 0)):
            next(options, None)
    return False


def _upper(arg: Argument) -> str:
    sent = to_bytes(arg)
    return (sent if isinstance(sent, str) else sent.decode(errors="replace")).upper()
