"""The login and the protocol of a connection: HELLO, AUTH and SELECT.

They change the connection of all tasks, so no client takes them: ``connect()`` is told the user, the password and the
database instead. An engine may use them on a link that it owns.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final

from ..arguments import Name, name, positive
from ..errors import InvalidArgument
from ..frozen import frozen
from ..resp3 import Argument
from ..tracebacks import conceals_arguments
from .command import NO_KEYS, Command, LinkUse, Traits
from .replies import mapping

_FORBIDDEN: Final = Traits(NO_KEYS, use=LinkUse.FORBIDDEN)


@frozen
class ServerHello:
    """The answer of HELLO: ``server`` is ``redis`` or ``valkey``; ``mode`` ``standalone``, ``cluster`` or ``sentinel``.

    ``role`` is ``master`` or ``replica``, ``id`` that of the connection, ``modules`` have a version each. ``other``:
    further fields of newer servers.
    """

    server: str
    version: str
    protocol: int
    id: int
    mode: str
    role: str
    modules: dict[str, int]
    other: dict[bytes, Any] = field(default_factory=dict[bytes, Any])


@conceals_arguments
def hello(
    protover: int = 3,
    *,
    username: Name | None = None,
    password: str | bytes | None = None,
    client_name: Name | None = None,
) -> Command[ServerHello]:
    """Speak RESP3, or RESP2 if ``protover`` is 2, and log in (``HELLO``).

    Raises ``NoProtoError``, or ``AuthenticationError``; the protocol stays as it was then.
    """
    args: list[Argument] = ["HELLO", positive("protover", protover)]
    if password is not None:
        args += ["AUTH", "default" if username is None else name("username", username), password]
    elif username is not None:
        raise InvalidArgument("a username needs a password")
    if client_name is not None:
        args += ["SETNAME", name("client_name", client_name)]
    return Command(tuple(args), _hello, _FORBIDDEN)


def _hello(reply: Any) -> ServerHello:
    fields = mapping(reply)
    modules = [mapping(module) for module in fields.pop(b"modules")]
    return ServerHello(
        server=fields.pop(b"server").decode(),
        version=fields.pop(b"version").decode(),
        protocol=fields.pop(b"proto"),
        id=fields.pop(b"id"),
        mode=fields.pop(b"mode").decode(),
        role=fields.pop(b"role").decode(),
        modules={module[b"name"].decode(): module[b"ver"] for module in modules},
        other=fields,
    )


@conceals_arguments
def auth(password: str | bytes, *, username: Name | None = None) -> Command[bytes]:
    """Log in, as ``default`` if no user is named; else ``AuthenticationError`` (``AUTH``)."""
    user = () if username is None else (name("username", username),)
    return Command(("AUTH", *user, password), traits=_FORBIDDEN)


def select(database: int) -> Command[bytes]:
    """Use a database, by its number (``SELECT``)."""
    return Command(("SELECT", positive("database", database, zero=True)), traits=_FORBIDDEN)
