"""Scripts and functions: code that the server runs, as a single command.

All keys that the code touches must be named as ``keys``, so that a cluster can find their node; everything else goes
into ``args``. The code's result is answered as the decoder reads it: Lua numbers as integers, its errors as
``ReplyError``. A ``Script`` is called by its hash, which is short; a server that does not know it answers
``NOSCRIPT``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field
from hashlib import sha1
from typing import Any, Generic, TypeVar, overload

from ..arguments import Name, at_most_one, name
from ..errors import InvalidArgument
from ..frozen import frozen
from ..resp3 import Argument
from .command import ASK_SERVER, SERVER, Command, Traits
from .replies import mapping
from .server import async_or_sync

T = TypeVar("T")
_Parse = Callable[[Any], T]


def eval_(script: Name, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[Any]:
    """Run a Lua script (``EVAL``)."""
    return _call("EVAL", name("script", script), keys, args)


def eval_ro(script: Name, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[Any]:
    """Run a Lua script that may only read (``EVAL_RO``)."""
    return _call("EVAL_RO", name("script", script), keys, args)


def evalsha(sha: Name, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[Any]:
    """Run a Lua script that the server has, by the SHA-1 of its source; else ``NoScriptError`` (``EVALSHA``)."""
    return _call("EVALSHA", name("sha", sha), keys, args)


def evalsha_ro(sha: Name, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[Any]:
    """Run a Lua script that the server has and that may only read; else ``NoScriptError`` (``EVALSHA_RO``)."""
    return _call("EVALSHA_RO", name("sha", sha), keys, args)


def fcall(function: Name, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[Any]:
    """Call a function of a library; an ``ERR`` where there is none of that name (``FCALL``)."""
    return _call("FCALL", name("function", function), keys, args)


def fcall_ro(function: Name, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[Any]:
    """Call a function that may only read (``FCALL_RO``)."""
    return _call("FCALL_RO", name("function", function), keys, args)


def _call(
    word: str, code: bytes, keys: Iterable[Name], args: Iterable[Argument], parse: _Parse[Any] | None = None
) -> Command[Any]:
    named = [name("key", key) for key in _several("keys", keys)]
    traits = Traits(slice(3, 3 + len(named)), repeatable=word.endswith("_RO"))
    return Command((word, code, len(named), *named, *_several("args", args)), parse, traits)


def _several(what: str, given: Iterable[Any]) -> Iterable[Any]:
    """Refuse a lone name, which is iterable as well, letter by letter."""
    if isinstance(given, (str, bytes, bytearray, memoryview)) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"{what} must be a list, not {type(given).__name__}")
    return given


class Script(Generic[T]):
    """A Lua script. ``parse`` makes the answer from its reply; ``readonly`` refuses writes, and may be repeated.

    ``sha`` is the SHA-1 of the source, by which servers know it.
    """

    __slots__ = ("parse", "readonly", "sha", "source")

    @overload
    def __init__(self: Script[Any], source: Name, parse: None = None, *, readonly: bool = False) -> None: ...
    @overload
    def __init__(self, source: Name, parse: _Parse[T] | None, *, readonly: bool = False) -> None: ...
    def __init__(self, source: Name, parse: _Parse[T] | None = None, *, readonly: bool = False) -> None:
        self.source = name("source", source)
        self.parse = parse
        self.readonly = readonly
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()

    def eval(self, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[T]:
        """Run the script, and have the server keep it (``EVAL``, or ``EVAL_RO``)."""
        return _call("EVAL_RO" if self.readonly else "EVAL", self.source, keys, args, self.parse)

    def evalsha(self, keys: Iterable[Name] = (), args: Iterable[Argument] = ()) -> Command[T]:
        """Run the script where the server has it; else ``NoScriptError`` (``EVALSHA``, or ``EVALSHA_RO``)."""
        return _call("EVALSHA_RO" if self.readonly else "EVALSHA", self.sha.encode(), keys, args, self.parse)

    def __repr__(self) -> str:
        return f"<Script {self.sha}>"


def script_load(script: Name) -> Command[str]:
    """Have the server keep a Lua script; answers its SHA-1 (``SCRIPT LOAD``)."""
    return Command(("SCRIPT", "LOAD", name("script", script)), bytes.decode, ASK_SERVER)


def script_exists(*shas: Name) -> Command[list[bool]]:
    """For each SHA-1, whether the server has the script (``SCRIPT EXISTS``)."""
    if not shas:
        raise InvalidArgument("script_exists needs at least one sha")
    return Command(("SCRIPT", "EXISTS", *(name("sha", sha) for sha in shas)), _flags, ASK_SERVER)


def _flags(reply: list[int]) -> list[bool]:
    return [bool(flag) for flag in reply]


def script_flush(*, asynchronous: bool | None = None) -> Command[bytes]:
    """Forget all scripts; ``asynchronous`` as for ``flushall`` (``SCRIPT FLUSH``)."""
    return Command(("SCRIPT", "FLUSH", *async_or_sync(asynchronous)), traits=ASK_SERVER)


def script_kill() -> Command[bytes]:
    """End the running script (``SCRIPT KILL``). Raises ``NotBusyError``, or ``UnkillableError`` if it has written."""
    return Command(("SCRIPT", "KILL"), traits=SERVER)


def function_load(code: Name, *, replace: bool = False) -> Command[str]:
    """Load a library of functions; answers its name (``FUNCTION LOAD``).

    ``replace``: also if a library of that name exists, which is an ``ERR`` otherwise.
    """
    option = ("REPLACE",) if replace else ()
    traits = ASK_SERVER if replace else SERVER
    return Command(("FUNCTION", "LOAD", *option, name("code", code)), bytes.decode, traits)


@frozen
class Function:
    """A function of a library, with its author's description and ``flags`` (``no-writes`` and others)."""

    name: str
    description: str | None
    flags: frozenset[str]


@frozen
class Library:
    """A library of functions; ``code`` only where it was asked for. ``other``: further fields of newer servers."""

    name: str
    engine: str
    functions: list[Function]
    code: bytes | None
    other: dict[bytes, Any] = field(default_factory=dict[bytes, Any])


def function_list(*, libraryname: Name | None = None, withcode: bool = False) -> Command[list[Library]]:
    """List the server's libraries, all or by a pattern of names (``FUNCTION LIST``)."""
    option: list[Argument] = [] if libraryname is None else ["LIBRARYNAME", name("libraryname", libraryname)]
    if withcode:
        option.append("WITHCODE")
    return Command(("FUNCTION", "LIST", *option), _libraries, ASK_SERVER)


def _libraries(reply: list[Any]) -> list[Library]:
    return [_library(mapping(each)) for each in reply]


def _library(fields: dict[bytes, Any]) -> Library:
    return Library(
        name=fields.pop(b"library_name").decode(),
        engine=fields.pop(b"engine").decode(),
        functions=[_function(mapping(each)) for each in fields.pop(b"functions")],
        code=fields.pop(b"library_code", None),
        other=fields,
    )


def _function(fields: dict[bytes, Any]) -> Function:
    description = fields[b"description"]
    return Function(
        name=fields[b"name"].decode(),
        description=None if description is None else description.decode(errors="replace"),
        flags=frozenset(flag.decode() for flag in fields[b"flags"]),
    )


def function_delete(libraryname: Name) -> Command[bytes]:
    """Delete a library; an ``ERR`` where there is none of that name (``FUNCTION DELETE``)."""
    return Command(("FUNCTION", "DELETE", name("libraryname", libraryname)), traits=SERVER)


def function_flush(*, asynchronous: bool | None = None) -> Command[bytes]:
    """Delete all libraries; ``asynchronous`` as for ``flushall`` (``FUNCTION FLUSH``)."""
    return Command(("FUNCTION", "FLUSH", *async_or_sync(asynchronous)), traits=SERVER)


def function_dump() -> Command[bytes]:
    """All libraries, in a form for ``function_restore`` (``FUNCTION DUMP``)."""
    return Command(("FUNCTION", "DUMP"), traits=ASK_SERVER)


def function_restore(
    payload: Argument, *, append: bool = False, flush: bool = False, replace: bool = False
) -> Command[bytes]:
    """Load the libraries of a ``function_dump`` (``FUNCTION RESTORE``).

    ``append``, which is the default: an ``ERR`` where a library or a function is there already; ``flush``: deletes all
    others first; ``replace``: replaces libraries of the same name.
    """
    options = {"append": append, "flush": flush, "replace": replace}
    at_most_one(**options)
    return Command(
        ("FUNCTION", "RESTORE", payload, *(option.upper() for option, given in options.items() if given)), traits=SERVER
    )


@frozen
class RunningFunction:
    """A function that is running: the command that called it, and for how many seconds it has run."""

    name: str
    command: list[bytes]
    duration: float


@frozen
class FunctionStats:
    """The function that is running, if any, and for each engine how many libraries and functions it has."""

    running: RunningFunction | None
    engines: dict[str, tuple[int, int]]


def function_stats() -> Command[FunctionStats]:
    """The running function, and the numbers of functions and libraries (``FUNCTION STATS``)."""
    return Command(("FUNCTION", "STATS"), _stats, ASK_SERVER)


def _stats(reply: Any) -> FunctionStats:
    fields = mapping(reply)
    engines = {name.decode(): mapping(each) for name, each in mapping(fields[b"engines"]).items()}
    running = fields[b"running_script"]
    return FunctionStats(
        running=None if running is None else _running(mapping(running)),
        engines={name: (each[b"libraries_count"], each[b"functions_count"]) for name, each in engines.items()},
    )


def _running(fields: dict[bytes, Any]) -> RunningFunction:
    return RunningFunction(fields[b"name"].decode(), fields[b"command"], fields[b"duration_ms"] / 1000)


def function_kill() -> Command[bytes]:
    """End the running function (``FUNCTION KILL``). Raises ``NotBusyError``; ``UnkillableError`` if it has written."""
    return Command(("FUNCTION", "KILL"), traits=SERVER)
