"""A command as a value: its arguments, the parsing of its reply, and its traits for the client that sends it.

The arguments are encoded when the command is built, so a bad argument fails there and nothing is sent. ``Traits`` are
shared by all commands that a function builds: where the keys stand, whether a repetition does harm, which link it may
use, and how long the server may take.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from itertools import takewhile
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast, overload

from ..errors import InvalidArgument
from ..resp3 import Argument, encode
from ..resp3.encoder import to_bytes
from .traits import BLOCKING, CONTAINERS, COUNTED, FORBIDDEN, KEYS, READS

T_co = TypeVar("T_co", covariant=True)  # a list of commands of many kinds is a list of Command[object]


class LinkUse(Enum):
    """The links of a client that a command may use."""

    SHARED = auto()
    """The link that carries the commands of all tasks."""
    DEDICATED = auto()
    """A link of its own: it blocks."""
    FORBIDDEN = auto()
    """No link of a client: it changes the connection itself. An engine may use it on a link that it owns."""


class Traits(NamedTuple):
    """The traits of all commands of a kind.

    ``keys``: which of the arguments are keys. ``repeatable``: running it twice is the same as running it once, so it
    may be sent again when its fate is unknown. ``block``: for how many seconds the server may hold back its reply.
    ``needs``: the first version that knows it, where that is not the oldest supported server (Redis 7.0). ``reads``: the caller has
    said that it only reads; of the servers' own commands that is known by their names.
    """

    keys: slice = slice(1, 2)
    repeatable: bool = False
    use: LinkUse = LinkUse.SHARED
    block: float = 0.0
    needs: str = ""
    reads: bool = False


_BYTES: Final = frozenset({bytes})
NO_KEYS: Final = slice(0, 0)
ALL_KEYS: Final = slice(1, None)
WRITE: Final = Traits()
"""A single key; a repetition does harm, or has another answer."""
READ: Final = Traits(repeatable=True)
"""A single key; may be repeated (reads, and writes that set a given value)."""
SERVER: Final = Traits(keys=NO_KEYS)
"""No key; a repetition does harm."""
ASK_SERVER: Final = Traits(keys=NO_KEYS, repeatable=True)
"""No key; may be repeated."""


class Command(Generic[T_co]):
    """A command: ``args`` are sent as they are, encoded as ``data``; ``parse`` makes the answer from the reply.

    Without ``traits`` they are found out from the command's words, as for ``raw``; it counts as not repeatable.
    """

    __slots__ = ("args", "data", "parse", "traits")

    def __init__(
        self, args: tuple[Argument, ...], parse: Callable[[Any], T_co] | None = None, traits: Traits | None = None
    ) -> None:
        self.args = args
        self.parse = parse
        try:
            self.data = encode(args)
        except InvalidArgument as error:
            raise _located(args, error) from None
        self.traits = _traits([_word(arg) for arg in args]) if traits is None else traits

    @staticmethod
    def raw(*args: Argument, repeatable: bool = False, reads: bool = False) -> Command[Any]:
        """Make a command of any words; see ``raw``."""
        return raw(*args, repeatable=repeatable, reads=reads)

    @property
    def name(self) -> str:
        """The command's own words, without arguments."""
        return _name([_word(arg) for arg in self.args[:2]])

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys among the arguments, as bytes."""
        keys = self.args[self.traits.keys]
        if _BYTES.issuperset(map(type, keys)):
            return cast("tuple[bytes, ...]", keys)
        sent = map(to_bytes, keys)
        return tuple([key if isinstance(key, bytes) else key.encode() for key in sent])

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when its fate is unknown."""
        return self.traits.repeatable

    @property
    def only_reads(self) -> bool:
        """Whether a replica may answer it: it changes nothing, by its name or by the caller's word."""
        return self.traits.reads or self.name in READS

    @overload
    def text(self: Command[bytes], encoding: str = "utf-8") -> Command[str]: ...
    @overload
    def text(self: Command[bytes | None], encoding: str = "utf-8") -> Command[str | None]: ...
    def text(self: Command[Any], encoding: str = "utf-8") -> Command[Any]:
        """The same command, answering text where the server sends bytes."""
        return Command(self.args, partial(_as_text, self.parse, encoding), self.traits)

    def __repr__(self) -> str:
        return f"<Command {self.name} with {len(self.args) - 1} arguments>"


def _as_text(parse: Callable[[Any], Any] | None, encoding: str, reply: Any) -> str | None:
    answer = reply if parse is None else parse(reply)
    return None if answer is None else answer.decode(encoding)


def forbidden(command: Command[Any]) -> InvalidArgument:
    """Why a command cannot run on a client's connection."""
    remedy = FORBIDDEN.get(command.name, "it belongs to a connection of its own")
    return InvalidArgument(f"{command.name} cannot run on a shared connection: {remedy}")


def raw(*args: Argument, repeatable: bool = False, reads: bool = False) -> Command[Any]:
    """Any command, answering the decoded reply; ``repeatable`` if it may be sent twice, ``reads`` if it changes nothing.

    Of the servers' own commands it is known which only read (``read_from``); a module's command has to be told. Where it blocks it gets a link of its own. Raises ``InvalidArgument`` for commands that would change the
    connection.
    """
    if not args:
        raise InvalidArgument("a command needs at least its name")
    try:
        words = [_word(arg) for arg in args]
    except InvalidArgument as error:
        raise _located(args, error) from None
    command: Command[Any] = Command(
        (words[0], *args[1:]), None, _traits(words, repeatable=repeatable)._replace(reads=reads)
    )
    if command.traits.use is LinkUse.FORBIDDEN:
        raise forbidden(command)
    return command


def _traits(words: list[str], *, repeatable: bool = False) -> Traits:
    """Find the traits of a command by its words."""
    if _name(words) in FORBIDDEN:
        return Traits(_keys(words), repeatable, LinkUse.FORBIDDEN)
    block = _block(words)
    use = LinkUse.SHARED if block is None else LinkUse.DEDICATED
    return Traits(_keys(words), repeatable, use, block or 0.0)


def _keys(words: list[str]) -> slice:
    """Find the keys of a command that none of our functions has built."""
    word = words[0]
    at = COUNTED.get(word)
    if at is not None:
        number = words[at] if at < len(words) else ""
        return slice(at + 1, at + 1 + int(number)) if number.isdecimal() else NO_KEYS
    if word in {"XREAD", "XREADGROUP"}:
        after = len([*takewhile("STREAMS".__ne__, words)]) + 1
        return slice(after, (after + len(words)) // 2)
    return KEYS.get(word, slice(1, 2))


def _block(words: list[str]) -> float | None:
    """For how many seconds a command may block; None where it does not."""
    word = words[0]
    if word in BLOCKING:
        at, unit = BLOCKING[word]
    elif word in {"XREAD", "XREADGROUP"}:
        at, unit = _block_option(words), 0.001
        if at == 0:
            return None
    else:
        return None
    try:
        seconds = float(words[at]) * unit
    except (IndexError, ValueError):
        seconds = 0.0
    if not 0 < seconds < 1e9:  # the server takes 0 for ever
        raise InvalidArgument(f"{word} would block for ever, or its timeout is missing; give it a timeout")
    return seconds


_VALUES: Final = {"COUNT": 1, "GROUP": 2, "CLAIM": 1}  # how many words belong to an option of a read


def _block_option(words: list[str]) -> int:
    """Where the value of BLOCK stands in a read, 0 where there is none: a group or a stream may be called so, too."""
    at = 1
    while at < len(words) and words[at] != "STREAMS":
        if words[at] == "BLOCK":
            return at + 1
        at += 1 + _VALUES.get(words[at], 0)
    return 0


def _name(words: list[str]) -> str:
    return " ".join(words[:2] if words[0] in CONTAINERS else words[:1])


def _word(arg: Argument) -> str:
    sent = to_bytes(arg)
    return (sent if isinstance(sent, str) else sent.decode(errors="replace")).upper()


def _located(args: tuple[Argument, ...], error: InvalidArgument) -> InvalidArgument:
    """Add the command and the argument's place to the error of an argument; never its value."""
    for at, arg in enumerate(args):
        try:
            encode((arg,))
        except InvalidArgument as reason:
            where = f"argument {at} of {_word(args[0])}" if at else "the command's name"
            return InvalidArgument(f"{where}: {reason}")
    return error
