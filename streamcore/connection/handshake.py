"""The introduction of a connection, and the meaning of a server's refusal.

Servers and proxies refuse in their own words, and some hang up or speak another protocol. Where waiting cannot help,
the error is ``permanent``. No message quotes a reply that may repeat our HELLO: it holds the password.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..errors import (
    AuthenticationError,
    ConnectFailed,
    LoginRefused,
    NoPermissionError,
    NoProtoError,
    RemoteProtocolError,
    ReplyError,
)
from ..options import Login, ServerKind
from ..resp3 import Reply
from ..version import VERSION

LIB_NAME: Final = "streamcore"
FIRST: Final = 5
"""Count of first bytes by which another protocol is recognised."""

# Words of servers and proxies that know no HELLO, or no RESP3, beside NOPROTO.
_UNKNOWN: Final = re.compile("unknown command|unsupported|not supported|unrecognized|hello", re.IGNORECASE)
_TOO_MANY: Final = "max number of clients"
_NO_RESP3: Final = (
    "the server, or a proxy in front of it, does not speak RESP3: it knows no HELLO 3; "
    "Redis 6 and Valkey 7.2 are the first that do, and a proxy has to pass it on"
)
_A_SENTINEL: Final = (
    "it is a Sentinel, which has no data, and tells where the primary is: write its URL as "
    "redis+sentinel://HOST:PORT/SERVICE (rediss+sentinel with TLS), with the name of the service that it watches"
)
_NO_SENTINEL: Final = (
    "it is no Sentinel but a server with data: give the port of a Sentinel, which usually is 26379, "
    "or the URL of this server alone, redis://HOST:PORT"
)
# The first bytes of another protocol, and the remedy.
_OTHERS: Final = (
    (b"\x15\x03", "the server speaks TLS on this port: use rediss:// or valkeys://, or dial its plain port"),
    (b"HTTP/", "an HTTP server listens there, and no Redis or Valkey: correct the port"),
    (b"<", "an HTTP server listens there, and no Redis or Valkey: correct the port"),
)


def greeting(login: Login) -> list[tuple[Any, ...]]:
    """Build the commands of the introduction; Redis 7.0 does not know CLIENT SETINFO, so it may fail."""
    hello: list[str] = ["HELLO", "3"]
    if login.password is not None or login.username is not None:  # a user without a password is not the default user
        hello += ["AUTH", login.username or "default", login.password or ""]
    if login.client_name is not None:
        hello += ["SETNAME", login.client_name]
    commands: list[tuple[Any, ...]] = [
        tuple(hello),
        ("CLIENT", "SETINFO", "LIB-NAME", LIB_NAME),
        ("CLIENT", "SETINFO", "LIB-VER", VERSION),
    ]
    if login.database:
        commands.append(("SELECT", str(login.database)))
    if login.reads:
        commands.append(("READONLY",))
    return commands


def refusal(reply: ReplyError, word: str, login: Login) -> ConnectFailed:
    """Explain the server's refusal of ``word``, a command of the introduction."""
    reply = type(reply)(reply.code, _without(login.password, reply.message), word)
    if isinstance(reply, AuthenticationError):
        remedy = "the next dial asks credentials= anew" if login.rotates else "check the user and password of the URL"
        if login.kind is ServerKind.SENTINEL:
            remedy = "check sentinel_username= and sentinel_password=, which are apart from those of the data"
        return LoginRefused(reply.code, f"{reply.message}; {remedy}", word, permanent=not login.rotates)
    if isinstance(reply, NoPermissionError):
        return ConnectFailed(f"the user may not log in so: {reply}; its ACL needs +{word.lower()}", permanent=True)
    if word == "SELECT" and reply.code == "ERR":
        return ConnectFailed(f"the server has no database {login.database}: {reply}", permanent=True)
    if _TOO_MANY in reply.message:
        return ConnectFailed("the server has too many clients already: close some, or raise its maxclients")
    if isinstance(reply, NoProtoError) or (word == "HELLO" and _UNKNOWN.search(f"{reply.code} {reply.message}")):
        return ConnectFailed(_NO_RESP3, permanent=True)
    return ConnectFailed(f"the server does not let us in: {reply}")


def senseless(reply: Reply) -> Exception:
    """Explain a reply to HELLO that is no map."""
    if type(reply) is list and reply and isinstance(reply[0], bytes) and reply[0] == b"server":  # the map of RESP2
        return ConnectFailed(_NO_RESP3, permanent=True)
    return RemoteProtocolError(f"HELLO was answered by {brief(reply)}: is this a Redis or Valkey server?")


def misplaced(told: dict[bytes, Any], wanted: ServerKind) -> ConnectFailed | None:
    """Recognise a server of another kind than is wanted by its reply to HELLO."""
    is_sentinel = told.get(b"mode") == b"sentinel"
    if wanted is ServerKind.SENTINEL:
        return None if is_sentinel else ConnectFailed(_NO_SENTINEL, permanent=True)
    if is_sentinel:
        return ConnectFailed(_A_SENTINEL, permanent=wanted is ServerKind.DATA)
    if wanted is ServerKind.PRIMARY and told.get(b"role") != b"master":
        return ConnectFailed("it is a replica, and no primary yet, or no longer: the Sentinels are asked again")
    return None


def stranger(first: bytes) -> ConnectFailed | None:
    """Recognise another protocol by the first bytes of the server's answer; None where it is not known."""
    for beginning, text in _OTHERS:
        if first and beginning.startswith(first[: len(beginning)]):
            return ConnectFailed(text, permanent=True)
    return None


def brief(reply: Reply) -> str:
    """Describe a reply without showing it, unless it is an error: it is the application's data."""
    return f"the error {reply}" if isinstance(reply, ReplyError) else f"a reply of type {type(reply).__name__}"


def _without(secret: str | None, text: str) -> str:
    return text.replace(secret, "***") if secret else text


def is_permanent(error: Exception | None) -> bool:
    """Tell whether dialling again with the same settings is pointless."""
    if isinstance(error, ConnectFailed):
        return error.permanent
    return isinstance(error, (AuthenticationError, NoPermissionError))
