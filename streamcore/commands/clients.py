"""The CLIENT commands: the connections of a server, our own among them.

Commands that would change a connection are for an engine, on a link that it owns; no client takes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack

from ..arguments import Name, Seconds, milliseconds, name, positive, seconds
from ..errors import InvalidArgument
from ..frozen import frozen
from ..resp3 import Argument
from .command import ASK_SERVER, NO_KEYS, SERVER, Command, LinkUse, Traits
from .replies import mapping

_FORBIDDEN: Final = Traits(NO_KEYS, use=LinkUse.FORBIDDEN)
_SINCE_7_2: Final = _FORBIDDEN._replace(needs="Redis 7.2 or Valkey")

ClientType: TypeAlias = Literal["normal", "primary", "replica", "pubsub"]
"""Whose connection it is; ``primary``: that of the server's own primary."""


@frozen
class ClientInfo:
    """A server's connection. ``age`` and ``idle`` are seconds, ``sub``, ``psub`` and ``ssub`` counts of subscriptions.

    ``multi`` is the number of commands that are queued by a transaction, -1 without one; ``resp`` the protocol's
    version, ``cmd`` the last command. ``lib_name`` and ``lib_ver`` are empty where the client has not told. ``other``
    has the rest.
    """

    id: int
    addr: str
    laddr: str
    name: str
    age: int
    idle: int
    flags: str
    db: int
    sub: int
    psub: int
    ssub: int
    multi: int
    cmd: str
    user: str
    resp: int
    lib_name: str
    lib_ver: str
    other: dict[str, str] = field(default_factory=dict[str, str])


# Values have no spaces, but for the path of a unix socket.
_FIELD: Final = re.compile(r"([a-z-]+)=(.*?)(?= [a-z-]+=|$)")


def _info(line: str) -> ClientInfo:
    fields: dict[str, str] = dict(_FIELD.findall(line))
    take = fields.pop
    return ClientInfo(
        id=int(take("id")),
        addr=take("addr"),
        laddr=take("laddr"),
        name=take("name"),
        age=int(take("age")),
        idle=int(take("idle")),
        flags=take("flags"),
        db=int(take("db")),
        sub=int(take("sub")),
        psub=int(take("psub")),
        ssub=int(take("ssub")),
        multi=int(take("multi")),
        cmd=take("cmd"),
        user=take("user"),
        resp=int(take("resp")),
        lib_name=take("lib-name", ""),
        lib_ver=take("lib-ver", ""),
        other=fields,
    )


def _infos(reply: bytes) -> list[ClientInfo]:
    return [_info(line) for line in reply.decode(errors="replace").splitlines()]


def _one_info(reply: bytes) -> ClientInfo:
    return _info(reply.decode(errors="replace").rstrip())


def client_id() -> Command[int]:
    """The number of this connection, unique in a run of the server (``CLIENT ID``)."""
    return Command(("CLIENT", "ID"), traits=ASK_SERVER)


def client_info() -> Command[ClientInfo]:
    """The server's knowledge of this connection (``CLIENT INFO``)."""
    return Command(("CLIENT", "INFO"), _one_info, ASK_SERVER)


class ClientFilters(TypedDict, total=False):
    """Filters of connections; a connection has to fit all of them.

    ``maxage`` and ``idle`` are seconds, at least so many. ``addr`` and ``laddr`` are ``host:port`` of the two ends.
    For the opposites of Valkey 9 (``NOT-ID`` ...) use ``raw()``.
    """

    id: int | Iterable[int]
    type: ClientType
    user: Name
    addr: str
    laddr: str
    maxage: Seconds
    name: Name
    idle: Seconds
    flags: str
    lib_name: Name
    lib_ver: Name
    db: int
    capa: str
    ip: str


def _ids(what: str, value: Any) -> list[Argument]:
    ids: list[Any] = [*value] if isinstance(value, Iterable) else [value]  # pyright: ignore[reportUnknownArgumentType]
    if not ids:
        raise InvalidArgument(f"{what} is an empty list; give an id")
    return [positive(what, each) for each in ids]


def _type(what: str, value: Any) -> list[Argument]:
    if value not in {"normal", "primary", "replica", "pubsub"}:
        raise InvalidArgument(f"{what} must be normal, primary, replica or pubsub, not {value!r}")
    return ["master" if value == "primary" else value]  # the word that all servers know


def _name(what: str, value: Any) -> list[Argument]:
    return [name(what, value)]


def _whole_seconds(what: str, value: Any) -> list[Argument]:
    return [max(1, round(seconds(what, value)))]


def _database(what: str, value: Any) -> list[Argument]:
    return [positive(what, value, zero=True)]


_NEW: Final = "Valkey 9"
# How the value is sent, and the first server whose CLIENT KILL has the filter.
_FILTERS: Final[dict[str, tuple[Callable[[str, Any], list[Argument]], str]]] = {
    "id": (_ids, ""),
    "type": (_type, ""),
    "user": (_name, ""),
    "addr": (_name, ""),
    "laddr": (_name, ""),
    "maxage": (_whole_seconds, "Redis 7.4 or Valkey 8.0"),
    "name": (_name, _NEW),
    "idle": (_whole_seconds, _NEW),
    "flags": (_name, _NEW),
    "lib_name": (_name, _NEW),
    "lib_ver": (_name, _NEW),
    "db": (_database, _NEW),
    "capa": (_name, _NEW),
    "ip": (_name, _NEW),
}


def _filtered(filters: ClientFilters) -> tuple[list[Argument], str]:
    """Encode the filters, and name the first server that knows all of them."""
    args: list[Argument] = []
    needs = ""
    for what, value in filters.items():
        if what not in _FILTERS:
            raise InvalidArgument(f"there is no filter {what}; there are {', '.join(_FILTERS)}")
        to_sent, since = _FILTERS[what]
        sent = to_sent(what, value)
        args += (what.upper().replace("_", "-"), *sent)
        several = "Valkey 8.1" if len(sent) > 1 else ""
        needs = max(needs, since, several)  # in the order of the alphabet, as it happens
    return args, needs


def client_list(**filters: Unpack[ClientFilters]) -> Command[list[ClientInfo]]:
    """The server's connections, or those that ``ClientFilters`` fit (``CLIENT LIST``).

    All servers know ``id`` (a single id or several) and ``type``; other filters need Valkey 9, and so do two at a time.
    """
    args, _ = _filtered(filters)
    plain = len(filters) < 2 and filters.keys() <= {"id", "type"}
    traits = ASK_SERVER if plain else ASK_SERVER._replace(needs=_NEW)
    return Command(("CLIENT", "LIST", *args), _infos, traits)


def client_kill(*, skipme: bool | None = None, **filters: Unpack[ClientFilters]) -> Command[int]:
    """Close the connections that ``ClientFilters`` fit; answers how many (``CLIENT KILL``).

    Its own only with ``skipme=False``; its client will not see the answer then.
    """
    if not filters:
        raise InvalidArgument("client_kill needs a filter, such as id=5")
    args, needs = _filtered(filters)
    if skipme is not None:
        args += ["SKIPME", "yes" if skipme else "no"]
    return Command(("CLIENT", "KILL", *args), traits=SERVER._replace(needs=needs))


def client_getname() -> Command[bytes | None]:
    """The name of this connection, None if it has none (``CLIENT GETNAME``)."""
    return Command(("CLIENT", "GETNAME"), traits=ASK_SERVER)


def client_setname(connection_name: Name) -> Command[bytes]:
    """Name this connection, without spaces; the name is listed by ``client_list`` (``CLIENT SETNAME``)."""
    return Command(("CLIENT", "SETNAME", name("connection_name", connection_name)), traits=_FORBIDDEN)


def client_setinfo(*, lib_name: Name | None = None, lib_ver: Name | None = None) -> Command[bytes]:
    """Tell the client library's name, or its version, without spaces (``CLIENT SETINFO``)."""
    if (lib_name is None) == (lib_ver is None):
        raise InvalidArgument("give lib_name or lib_ver; each takes a command of its own")
    if lib_name is not None:
        return Command(("CLIENT", "SETINFO", "LIB-NAME", name("lib_name", lib_name)), traits=_SINCE_7_2)
    return Command(("CLIENT", "SETINFO", "LIB-VER", name("lib_ver", lib_ver or "")), traits=_SINCE_7_2)


def client_pause(timeout: Seconds, *, mode: Literal["all", "write"] = "all") -> Command[bytes]:
    """Have all commands, or all writes, wait for so many seconds (``CLIENT PAUSE``)."""
    if mode not in {"all", "write"}:
        raise InvalidArgument(f"mode must be all or write, not {mode!r}")
    return Command(("CLIENT", "PAUSE", milliseconds("timeout", timeout), mode.upper()), traits=SERVER)


def client_unpause() -> Command[bytes]:
    """End a pause of commands that ``client_pause`` has begun (``CLIENT UNPAUSE``)."""
    return Command(("CLIENT", "UNPAUSE"), traits=ASK_SERVER)


def client_unblock(client_id: int, *, error: bool = False) -> Command[bool]:
    """End the blocking command of a connection as if its time were over; answers whether it blocked.

    This is ``CLIENT UNBLOCK``. ``error``: its command is answered by ``UnblockedError``.
    """
    option = ("ERROR",) if error else ()
    return Command(("CLIENT", "UNBLOCK", positive("client_id", client_id), *option), bool, SERVER)


def client_no_evict(on: bool) -> Command[bytes]:
    """Whether the connection is spared when the server's clients take too much memory (``CLIENT NO-EVICT``)."""
    return Command(("CLIENT", "NO-EVICT", _on(on)), traits=_FORBIDDEN)


def client_no_touch(on: bool) -> Command[bytes]:
    """Whether its commands leave the time of the last access to keys as it is (``CLIENT NO-TOUCH``)."""
    return Command(("CLIENT", "NO-TOUCH", _on(on)), traits=_SINCE_7_2)


def client_reply(mode: Literal["on", "off", "skip"]) -> Command[bytes]:
    """Switch replies off or on; ``skip``: none for the next command (``CLIENT REPLY``). Only ``on`` has a reply."""
    if mode not in {"on", "off", "skip"}:
        raise InvalidArgument(f"mode must be on, off or skip, not {mode!r}")
    return Command(("CLIENT", "REPLY", mode.upper()), traits=_FORBIDDEN)


def client_tracking(
    on: bool,
    *,
    redirect: int | None = None,
    prefixes: Iterable[Name] = (),
    bcast: bool = False,
    optin: bool = False,
    optout: bool = False,
    noloop: bool = False,
) -> Command[bytes]:
    """Get pushes when keys change that this connection has read (``CLIENT TRACKING``).

    ``redirect``: the connection that gets them instead; ``bcast``: for all keys that begin with any of ``prefixes``;
    ``optin``, ``optout``: only, or not, for keys that are read behind CLIENT CACHING; ``noloop``: not for its own
    changes.
    """
    args: list[Argument] = ["CLIENT", "TRACKING", _on(on)]
    if redirect is not None:
        args += ["REDIRECT", positive("redirect", redirect)]
    for prefix in prefixes:
        args += ["PREFIX", name("prefix", prefix)]
    flags = {"BCAST": bcast, "OPTIN": optin, "OPTOUT": optout, "NOLOOP": noloop}
    return Command((*args, *(flag for flag, given in flags.items() if given)), traits=_FORBIDDEN)


def _on(on: bool) -> str:
    return "ON" if on else "OFF"


@frozen
class TrackingInfo:
    """The tracking of a connection: ``flags`` such as ``on`` and ``bcast``, and prefixes.

    ``redirect`` is the connection that gets the pushes: 0 is this connection, -1 none.
    """

    flags: frozenset[str]
    redirect: int
    prefixes: list[bytes]


def client_trackinginfo() -> Command[TrackingInfo]:
    """The flags, prefixes and redirection of this connection's tracking (``CLIENT TRACKINGINFO``)."""
    return Command(("CLIENT", "TRACKINGINFO"), _tracking, ASK_SERVER)


def _tracking(reply: Any) -> TrackingInfo:
    fields = mapping(reply)
    flags = frozenset(flag.decode() for flag in fields[b"flags"])
    return TrackingInfo(flags, fields[b"redirect"], fields[b"prefixes"])


def client_getredir() -> Command[int]:
    """The connection that gets our pushes: 0 is this connection, -1 none (``CLIENT GETREDIR``)."""
    return Command(("CLIENT", "GETREDIR"), traits=ASK_SERVER)
