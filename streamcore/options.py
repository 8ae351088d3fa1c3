"""The address of a server, the login there, and every default that several interfaces share.

All durations are seconds, all sizes bytes. ``Options`` is the only table of timing and size limits of a link; options
of a single interface (``count``, ``claim_idle`` ...) stand as keywords of that interface.
"""

from __future__ import annotations

from dataclasses import field
from typing import Final, Literal, TypeAlias, get_args

from .errors import InvalidArgument
from .frozen import frozen


@frozen
class Address:
    """A server reached over TCP."""

    host: str = "localhost"
    port: int = 6379

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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


@frozen
class Login:
    """How a connection introduces itself: ``HELLO 3 AUTH user password SETNAME name``, then ``SELECT database``."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    client_name: str | None = None


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
