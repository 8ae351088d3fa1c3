"""The address of a server, the login there, and every default that several interfaces share.

All durations are seconds, all sizes bytes. ``Options`` is the only table of timing and size limits of a link; options
of a single interface (``count``, ``claim_idle`` ...) stand as keywords of that interface.
"""

from __future__ import annotations

import math
from dataclasses import field
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final, Literal, TypeAlias, get_args

from .errors import InvalidArgument
from .frozen import frozen
from .tracebacks import conceals_arguments


@frozen
class Address:
    """A server reached over TCP."""

    host: str = "localhost"
    port: int = 6379

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class SentinelAddress(Address):
    """A Sentinel reached over TCP: it has no data, and tells where the primary of a service is."""

    port: int = 26379


@frozen
class UnixAddress:
    """A server reached over a unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@frozen
class MemoryAddress:
    """A server in the same process, for tests."""

    name: str

    def __str__(self) -> str:
        return f"memory://{self.name}"


AnyAddress: TypeAlias = Address | UnixAddress | MemoryAddress


class ServerKind(Enum):
    """The kind of server that a connection is for; a server of another kind is refused."""

    DATA = auto()
    """A server with data: a standalone server, a replica, a node of a cluster."""
    PRIMARY = auto()
    """A server with data that is no replica."""
    SENTINEL = auto()
    """A Sentinel."""


@frozen
class Login:
    """How a connection introduces itself: ``HELLO 3 AUTH user password SETNAME name``, then ``SELECT database``.

    Where it ``rotates``, user and password are not known beforehand: each connection asks for its ``Credentials``
    (``Link.wants_credentials``), and a refusal of them is not permanent. ``reads``: a replica of a cluster is to answer commands
    that only read (``READONLY``). ``kind``: of the server.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    client_name: str | None = None
    rotates: bool = False
    reads: bool = False
    kind: ServerKind = ServerKind.DATA


@frozen
class Credentials:
    """A user, None for the default user, and the password or token of that user, for a login that rotates.

    ``expires_in`` tells how long they serve, in seconds or as a ``timedelta``: an open connection renews its login before
    (``AUTH``). None: until the server closes the connection. Raises ``InvalidArgument``, which shows no password.
    """

    username: str | None
    password: str = field(repr=False)
    expires_in: float | timedelta | None = None

    @conceals_arguments
    def __init__(self, username: str | None, password: str, expires_in: float | timedelta | None = None) -> None:
        _check_text("the username", username or "")
        _check_text("the password", password)
        given: Any = expires_in
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool) and not math.isnan(given)
        if not (given is None or is_number or isinstance(given, timedelta)):
            raise InvalidArgument(
                f"credentials=: expires_in must be seconds, a timedelta or None, not {type(given).__name__}"
            )
        for name, value in (("username", username), ("password", password), ("expires_in", expires_in)):
            object.__setattr__(self, name, value)

    @property
    def lasts(self) -> float:
        """For how many seconds they serve; infinity where that is not known."""
        left = self.expires_in
        if left is None:
            return math.inf
        return left.total_seconds() if isinstance(left, timedelta) else float(left)

    @classmethod
    @conceals_arguments
    def of(cls, answer: object) -> Credentials:
        """Check the answer of an application: ``(username, password)``, or ``Credentials``.

        Raises ``InvalidArgument`` for any other, which shows no part of it.
        """
        if isinstance(answer, Credentials):
            return answer
        is_tuple = isinstance(answer, tuple)
        given: Any = answer
        if is_tuple and len(given) == 2:
            return cls(*given)
        told = f"a tuple of {len(given)}" if is_tuple else type(answer).__name__
        raise InvalidArgument(f"credentials= must return (username, password) or Credentials, not {told}")


def _check_text(what: str, value: Any) -> None:
    """Raises ``InvalidArgument`` for a value that is no text, or cannot be sent as UTF-8; shows none of it."""
    if not isinstance(value, str):
        raise InvalidArgument(f"credentials=: {what} must be a str, not {type(value).__name__}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidArgument(f"credentials=: {what} has surrogates and cannot be sent as UTF-8")


DecoderKind: TypeAlias = Literal["auto", "hiredis", "python"]
DECODERS: Final[tuple[str, ...]] = get_args(DecoderKind)


@frozen
class Options:
    """Deadlines and limits of a link; ``decoder`` says who reads replies, ``auto`` is hiredis where it is installed.

    A reply over a limit (``max_reply`` bytes in all, ``max_bulk`` bytes in a string, ``max_elements`` in all its
    arrays and maps together, ``max_depth`` levels) is an error, and ends the connection. To ``max_reply`` counts also
    the memory of elements and errors, where that is most of it; in the end a reply takes at most about twice as much.
    """

    request_timeout: float = 5.0
    connect_timeout: float = 5.0
    backoff_initial: float = 0.05
    backoff_max: float = 5.0
    keepalive_idle: float = 10.0
    keepalive_answer: float = 5.0
    max_reply: int = 1 << 30
    max_bulk: int = 512 << 20
    max_elements: int = 1 << 26
    max_depth: int = 128
    max_outgoing: int = 64 << 20
    decoder: DecoderKind = "auto"

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise InvalidArgument(
                f"decoder: there is none called {self.decoder!r}; choose one of {', '.join(DECODERS)}"
            )


DEFAULT_ADDRESS = Address()
DEFAULT_LOGIN = Login()
DEFAULT_OPTIONS = Options()
