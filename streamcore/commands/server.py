"""Commands about the server itself: its state, its configuration, its data as a whole.

Output that the server writes for people (INFO, CONFIG GET) is text here; names and values of the user's own stay
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from ..arguments import Name, Seconds, milliseconds, name, positive
from ..errors import InvalidArgument
from ..frozen import frozen
from ..resp3 import Argument
from ..tracebacks import conceals_arguments
from .command import ASK_SERVER, NO_KEYS, SERVER, Command, LinkUse, Traits
from .replies import pairs

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def ping(message: Argument | None = None) -> Command[bytes]:
    """Ask the server for a sign of life; answers ``PONG``, or the message (``PING``)."""
    return Command(("PING",) if message is None else ("PING", message), traits=ASK_SERVER)


def echo(message: Argument) -> Command[bytes]:
    """Have the server repeat a message; answers the message (``ECHO``)."""
    return Command(("ECHO", message), traits=ASK_SERVER)


def info(*sections: str) -> Command[dict[str, str]]:
    """The server's report about itself: the default sections, or named sections, such as ``memory`` (``INFO``).

    Values of a field that occurs several times (``module``) are joined by newlines. ``raw("INFO")`` answers the report
    as it is, with headings.
    """
    return Command(("INFO", *(name("section", section) for section in sections)), report, ASK_SERVER)


def report(reply: bytes) -> dict[str, str]:
    """Parse ``field:value`` lines into a mapping; any other line is a heading."""
    fields: dict[str, str] = {}
    for line in reply.decode(errors="replace").splitlines():
        field, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[field] = f"{fields[field]}\n{value}" if field in fields else value
    return fields


def time() -> Command[datetime]:
    """The server's clock, in UTC, to the microsecond (``TIME``)."""
    return Command(("TIME",), _time, ASK_SERVER)


def _time(reply: list[bytes]) -> datetime:
    seconds, microseconds = reply
    return _EPOCH + timedelta(seconds=int(seconds), microseconds=int(microseconds))


def dbsize() -> Command[int]:
    """How many keys the database has (``DBSIZE``)."""
    return Command(("DBSIZE",), traits=ASK_SERVER)


def flushall(*, asynchronous: bool | None = None) -> Command[bytes]:
    """Delete every key in every database (``FLUSHALL``).

    ``asynchronous``: whether memory is freed in the background; the server's configuration decides if it is not said.
    """
    return Command(("FLUSHALL", *async_or_sync(asynchronous)), traits=SERVER)


def flushdb(*, asynchronous: bool | None = None) -> Command[bytes]:
    """Delete every key in this database; ``asynchronous`` as for ``flushall`` (``FLUSHDB``)."""
    return Command(("FLUSHDB", *async_or_sync(asynchronous)), traits=SERVER)


def async_or_sync(asynchronous: bool | None) -> list[str]:
    """The option of commands that free memory, in the background or not."""
    return [] if asynchronous is None else ["ASYNC" if asynchronous else "SYNC"]


def config_get(*parameters: str) -> Command[dict[str, str]]:
    """Parameters of the configuration, by names or patterns (``CONFIG GET``)."""
    if not parameters:
        raise InvalidArgument("config_get needs at least one parameter")
    return Command(("CONFIG", "GET", *(name("parameter", each) for each in parameters)), _config, ASK_SERVER)


def _config(reply: Any) -> dict[str, str]:
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in pairs(reply)}


@conceals_arguments
def config_set(parameters: Mapping[str, Argument]) -> Command[bytes]:
    """Set parameters of the configuration, all or none (``CONFIG SET``)."""
    if not parameters:
        raise InvalidArgument("config_set needs at least one parameter")
    args: list[Argument] = ["CONFIG", "SET"]
    for parameter, value in parameters.items():
        args += (name("parameter", parameter), value)
    return Command(tuple(args), traits=ASK_SERVER)


def config_resetstat() -> Command[bytes]:
    """Reset the counters of ``info`` (``CONFIG RESETSTAT``)."""
    return Command(("CONFIG", "RESETSTAT"), traits=SERVER)


def config_rewrite() -> Command[bytes]:
    """Write the configuration into the server's own file; an ``ERR`` where it has none (``CONFIG REWRITE``)."""
    return Command(("CONFIG", "REWRITE"), traits=ASK_SERVER)


def wait(numreplicas: int, timeout: Seconds) -> Command[int]:
    """Wait until so many replicas have got this connection's writes; answers how many have (``WAIT``).

    ``timeout``: seconds, after which fewer may be answered. It means the writes of its own connection: in a pipeline,
    behind them, it runs on a link of its own together with them.
    """
    block = milliseconds("timeout", timeout)
    args = ("WAIT", positive("numreplicas", numreplicas, zero=True), block)
    return Command(args, traits=Traits(NO_KEYS, use=LinkUse.DEDICATED, block=block / 1000))


class Persisted(NamedTuple):
    """How many servers have the writes on their disks: ``local``, 0 or 1, and replicas."""

    local: int
    replicas: int


def waitaof(numlocal: int, numreplicas: int, timeout: Seconds) -> Command[Persisted]:
    """Wait until this connection's writes are on disks: this server's (``numlocal`` = 1) and replicas' (``WAITAOF``).

    Otherwise as ``wait``. An ``ERR`` where ``numlocal`` is 1 and the server has no append-only file.
    """
    block = milliseconds("timeout", timeout)
    local, replicas = positive("numlocal", numlocal, zero=True), positive("numreplicas", numreplicas, zero=True)
    traits = Traits(NO_KEYS, use=LinkUse.DEDICATED, block=block / 1000, needs="Redis 7.2 or Valkey")
    return Command(("WAITAOF", local, replicas, block), _persisted, traits)


def _persisted(reply: list[int]) -> Persisted:
    return Persisted(*reply)


@frozen
class ConnectedReplica:
    """A replica, as its primary sees it, and the replication offset that it has confirmed."""

    host: str
    port: int
    offset: int


@frozen
class PrimaryRole:
    """A primary, its replication offset, and its replicas."""

    offset: int
    replicas: list[ConnectedReplica]


@frozen
class ReplicaRole:
    """A replica: its primary's address; ``state`` of the link: ``connect``, ``connecting``, ``sync``, ``connected``.

    ``offset`` is how far it has got; -1 before the first synchronisation.
    """

    host: str
    port: int
    state: str
    offset: int


@frozen
class SentinelRole:
    """A Sentinel, and the names of the primaries that it watches."""

    primaries: list[str]


Role: TypeAlias = PrimaryRole | ReplicaRole | SentinelRole


def role() -> Command[Role]:
    """The server's role in replication: primary, replica or sentinel, and its peers (``ROLE``)."""
    return Command(("ROLE",), _role, ASK_SERVER)


def _role(reply: list[Any]) -> Role:
    match reply:
        case [b"master", int(offset), replicas]:
            return PrimaryRole(
                offset, [ConnectedReplica(host.decode(), int(port), int(acked)) for host, port, acked in replicas]
            )
        case [b"slave", host, port, state, offset]:
            return ReplicaRole(host.decode(), port, state.decode(), offset)
        case [b"sentinel", names]:
            return SentinelRole([each.decode() for each in names])
        case _:
            raise ValueError("not a role")


def command_count() -> Command[int]:
    """How many commands the server has (``COMMAND COUNT``)."""
    return Command(("COMMAND", "COUNT"), traits=ASK_SERVER)


def command_getkeys(command: Command[Any]) -> Command[list[bytes]]:
    """The keys of a command, as the server finds them (``COMMAND GETKEYS``). An ``ERR`` where it has none."""
    return Command(("COMMAND", "GETKEYS", *command.args), traits=ASK_SERVER)


def acl_whoami() -> Command[bytes]:
    """The user that the connection belongs to (``ACL WHOAMI``)."""
    return Command(("ACL", "WHOAMI"), traits=ASK_SERVER)


def acl_cat(category: Name | None = None) -> Command[list[bytes]]:
    """The categories of commands, or the commands of a category (``ACL CAT``)."""
    option = () if category is None else (name("category", category),)
    return Command(("ACL", "CAT", *option), traits=ASK_SERVER)
