"""Commands as methods, for threads: one line each, typed by their builders in ``streamcore.commands``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from streamcore import commands
from streamcore.arguments import Name
from streamcore.commands import Command
from streamcore.errors import NoScriptError
from streamcore.resp3 import Argument

from ..settings import method_signature

P = ParamSpec("P")
R = TypeVar("R")


def _method(build: Callable[P, Command[R]]) -> Callable[Concatenate[Commands, P], R]:
    """A command builder as a method."""

    def method(self: Commands, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.execute(build(*args, **kwargs))

    method.__doc__ = build.__doc__
    method.__name__ = build.__name__
    method.__signature__ = method_signature(build)  # type: ignore[attr-defined]  # for help() and editors
    return method


class Commands:
    """Everything that can be asked of a server in one command."""

    def execute(self, command: Command[R]) -> R:
        """Run one command. Raises its ``ReplyError``; ``ConnectionLost``, which says whether it was sent."""
        raise NotImplementedError

    @overload
    def script(self, source: str | bytes) -> Script[Any]: ...
    @overload
    def script(self, source: str | bytes, parse: Callable[[Any], R]) -> Script[R]: ...
    def script(self, source: str | bytes, parse: Callable[[Any], Any] | None = None) -> Script[Any]:
        """Make a function of a Lua script, to be called with ``keys`` and ``args``: by its hash where the server has it.

        ``parse`` makes the answer from the reply; without it, the answer is what the decoder makes of the reply.
        """
        return Script(self, commands.Script(source, parse))

    # -- all so far ------------------------------------------------------------------------------------------------------

    ping = _method(commands.ping)
    info = _method(commands.info)
    dbsize = _method(commands.dbsize)
    flushall = _method(commands.flushall)
    delete = _method(commands.delete)
    exists = _method(commands.exists)
    expire = _method(commands.expire)
    ttl = _method(commands.ttl)
    type = _method(commands.type_)
    get = _method(commands.get)
    set = _method(commands.set_)
    incr = _method(commands.incr)
    hset = _method(commands.hset)
    hget = _method(commands.hget)
    hgetall = _method(commands.hgetall)
    hlen = _method(commands.hlen)
    hdel = _method(commands.hdel)
    xadd = _method(commands.xadd)
    xlen = _method(commands.xlen)
    xdel = _method(commands.xdel)
    xtrim = _method(commands.xtrim)
    xrange = _method(commands.xrange)
    xrevrange = _method(commands.xrevrange)
    xack = _method(commands.xack)
    xgroup_create = _method(commands.xgroup_create)
    xgroup_destroy = _method(commands.xgroup_destroy)
    xpending = _method(commands.xpending)


class Script(Generic[R]):
    """A Lua script of a client (``EVALSHA``, and ``EVAL`` where the server does not know it yet)."""

    def __init__(self, client: Commands, script: commands.Script[R]) -> None:
        self._client = client
        self._script = script

    @property
    def sha(self) -> str:
        """The SHA-1 of the source, by which servers know it."""
        return self._script.sha

    def __call__(self, keys: Sequence[Name] = (), args: Sequence[Argument] = ()) -> R:
        """Run it. All keys that it touches must be given as ``keys``. Raises the script's ``ReplyError``."""
        try:
            return self._client.execute(self._script.evalsha(keys, args))
        except NoScriptError:
            return self._client.execute(self._script.eval(keys, args))
