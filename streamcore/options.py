"""Where a server is, who we are there, and every default that more than one interface shares.

All durations are seconds, all sizes bytes. ``Options`` is the one table of timing and size limits of a link; what belongs
to a single interface (``count``, ``claim_idle`` ...) stands as a keyword of that interface.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Address:
    """A server reached over TCP."""

    host: str = "localhost"
    port: int = 6379

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A server reached over a unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


AnyAddress: TypeAlias = Address | UnixAddress


@dataclass(frozen=True, slots=True)
class Login:
    """How a connection introduces itself: ``HELLO 3 AUTH user password SETNAME name``, then ``SELECT database``."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    client_name: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """Deadlines and limits of a link."""

    request_timeout: float = 5.0
    connect_timeout: float = 5.0
    backoff_initial: float = 0.05
    backoff_max: float = 5.0
    keepalive_idle: float = 10.0
    keepalive_answer: float = 5.0
    max_reply: int = 1 << 30
    max_outgoing: int = 64 << 20


DEFAULT_ADDRESS = Address()
DEFAULT_LOGIN = Login()
DEFAULT_OPTIONS = Options()
