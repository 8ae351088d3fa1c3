"""What all facades of a client share: where to connect, the engines' common options, events, and the check for forks."""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, TypeVar, cast
from weakref import WeakSet

from streamcore.arguments import Name, Seconds, name, seconds, stream_names
from streamcore.commands.ids import Position
from streamcore.consumer.consumer import Consumer as ConsumerEngine
from streamcore.consumer.options import Interruption
from streamcore.consumer.start import Starts
from streamcore.engine.engine import Engine, EngineOptions
from streamcore.errors import (
    ClosedError,
    CommandErrors,
    ConcurrentUseError,
    ConnectFailed,
    ForkedError,
    InvalidArgument,
    StreamcoreError,
)
from streamcore.events import Event
from streamcore.group.consumer import GroupUnion
from streamcore.group.member import GroupConsumer as GroupEngine
from streamcore.group.stream_changes import Joining
from streamcore.options import DECODERS, DecoderKind, Options
from streamcore.requests import Multiplexer
from streamcore.resp3 import make_decoder

from .._dial_errors import explain, is_permanent
from ..address import TLS, Target, parse
from .keywords import check_keywords
from .telling import Telling

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

_forks = 0
_jitter = Random()  # noqa: S311  # spreads back-offs, and leaves the application's own generator as it is


class Forgetful(Protocol):
    """Something that holds what belongs to one process only."""

    def _forget(self) -> None: ...


forgetful: Final[WeakSet[Forgetful]] = WeakSet()


def _forked() -> None:
    global _forks  # noqa: PLW0603  # a process-wide fact
    _forks += 1
    _jitter.seed()
    for one in forgetful:
        one._forget()  # noqa: SLF001  # a part of the facade


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class ConnectOptions(TypedDict, total=False):
    """Keywords of ``connect``; each wins over its counterpart in the URL.

    ``username``, ``password``, ``database``, ``client_name``: how to introduce ourselves. ``tls``: True, a ``TLS`` or an
    ``ssl.SSLContext``. ``request_timeout`` and ``connect_timeout`` in seconds (5). ``on_event`` is called with each
    ``Event`` of every engine of the client, before the next entry is handed over.
    """

    username: str | None
    """Who we are to the server (None: its default user)."""
    password: str | None
    """The password of that user (None)."""
    database: int | None
    """The number of the database (None: that of the URL, else 0)."""
    client_name: str | None
    """The name of our connections in ``CLIENT LIST`` (None)."""
    tls: TLS | ssl.SSLContext | bool | None
    """True, a ``TLS`` or an ``ssl.SSLContext`` (None: as the URL says)."""
    request_timeout: Seconds
    """Seconds within which an answer has to come (5)."""
    connect_timeout: Seconds
    """Seconds within which a connection has to be made (5)."""
    on_event: Callable[[Event], object] | None
    """Is called with each ``Event`` of all that is opened, before the next entry is handed over (None)."""


@dataclass(frozen=True)
class Settings:
    """Everything that ``connect`` was told."""

    target: Target
    options: Options
    on_event: Callable[[Event], object] | None = None

    @classmethod
    def of(cls, url: str | None, given: ConnectOptions) -> Settings:
        """Understand the arguments of ``connect``. Raises ``InvalidURL`` or ``InvalidArgument``."""
        check_keywords("connect", given, ConnectOptions, "url")
        keywords: dict[str, Any] = dict(given)
        on_event = keywords.pop("on_event", None)
        timeouts: dict[str, Any] = {
            what: seconds(what, keywords.pop(what)) for what in ("request_timeout", "connect_timeout") if what in given
        }
        return cls(parse(url, **keywords), Options(decoder=chosen_decoder(), **timeouts), on_event)

    def engine(self) -> EngineOptions:
        """The keywords that every engine takes."""
        return {
            "random": _jitter.random,
            "entropy": os.urandom,
            "address": self.target.address,
            "login": self.target.login,
            "options": self.options,
        }


def chosen_decoder() -> DecoderKind:
    """Who reads replies: what ``STREAMCORE_DECODER`` says, else hiredis where it is usable.

    Raises ``InvalidArgument`` for another word, and ``MissingExtra`` where hiredis is asked for and there is none.
    """
    kind = os.environ.get("STREAMCORE_DECODER", "auto")
    if kind not in DECODERS:
        raise InvalidArgument(f"STREAMCORE_DECODER is {kind!r}; choose one of {', '.join(DECODERS)}")
    chosen = cast("DecoderKind", kind)
    make_decoder(chosen)
    return chosen


def member(consumer: Name | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of a member of a group. A name of our own making is nobody else's, and nobody comes back under it."""
    if consumer is not None:
        return {**options, "consumer": consumer}
    unique = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(8).hex()}"
    return {"exclusive": False, "remove_on_leaving": True, **options, "consumer": unique}


class SoleUse:
    """Lets in one task or thread at a time: ``with sole_use():``. Raises ``ConcurrentUseError`` to another one."""

    def __init__(self) -> None:
        self._users: list[object] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        users, me = self._users, object()
        try:
            users.append(me)  # in the block that takes it away: a signal handler may raise at once
            if users[0] is not me:
                raise ConcurrentUseError("a consumer belongs to one task or thread at a time; open another one")
            yield
        finally:
            if me in users:
                users.remove(me)


class Opened(Telling):
    """An engine in use: checks each use, hands out its events, and has them logged."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings.on_event)
        self._target = settings.target
        self._forks: int | None = _forks  # how often the process had forked when this began; None: it may begin in any
        self.sole_use = SoleUse()

    @property
    def forked(self) -> bool:
        """Whether this is a forked child, and the engine its parent's."""
        return self._forks is not None and self._forks != _forks

    def belong_here(self) -> None:
        """From now on this process is the one that may use the engine."""
        self._forks = _forks

    def check(self) -> None:
        """Raises ``ForkedError`` in a forked child."""
        if self.forked:
            raise ForkedError("this client belongs to the parent process; call connect() again in the forked child")

    def check_usable(self) -> None:
        """Raises ``ForkedError`` in a forked child, and what ended the engine."""
        self.check()
        self.engine.check()

    def check_open(self) -> None:
        """Raises ``ClosedError`` before entering and after leaving."""
        self.check_usable()
        if not self.is_open:
            raise self.not_open()

    @property
    def is_open(self) -> bool:
        """Whether it was entered, and not left."""
        raise NotImplementedError

    def check_unopened(self, *, opened: bool) -> None:
        """Raises where it cannot be entered: in a forked child, after closing, or a second time."""
        self.check_usable()
        if opened:
            raise ConcurrentUseError(f"this {self.engine.label} is open already; open another one")

    def not_open(self) -> Exception:
        """The error of a use before entering, or after leaving."""
        self.check_usable()
        what = self.engine.label
        return ClosedError(f"this {what} is not open: enter it first, by 'with' or 'async with'")

    def ready(self) -> bool:
        """Whether the engine can be used now. Raises what ended it."""
        self.engine.check()
        return cast("ConsumerEngine[Any]", self.engine).is_ready

    def has_room(self) -> bool:
        """Whether a request may be submitted. Raises what ended the engine."""
        self.engine.check()
        return cast(Multiplexer, self.engine).has_room

    def not_reached(self) -> ConnectFailed:
        """Why the engine is not ready in time."""
        reason = next((link.error for link in self.engine.links() if link.error is not None), TimeoutError())
        if isinstance(reason, ConnectFailed):
            return reason
        return ConnectFailed(explain(reason, self._target), permanent=is_permanent(reason))


NOTHING: Final = object()
"""For a value that was not given: None is one."""


class Told:
    """What an iteration tells instead of a batch."""

    def __init__(self, value: Any, *, stops: bool = False, raises: bool = False) -> None:
        self.value = value
        self.stops = stops
        self.raises = raises


WITH_EVENT: Final = object()
"""What an iteration with events is told instead of a batch: an event is next."""


def told(engine: ConsumerEngine[Any], idle_value: Any) -> Told | None:
    """What there is to tell when no batch has come; an idle read only where a value was given for it."""
    match engine.interruption():
        case Interruption.ENDED:
            return Told(None, stops=True)
        case Interruption.IDLE if idle_value is not NOTHING:
            return Told(idle_value)
        case Exception() as error:
            return Told(error, raises=engine.on_disconnect == "raise")
        case _:
            return None


def join(engine: GroupEngine[Any] | GroupUnion[Any], stream: Name, group: Name | None) -> Joining | None:
    """Have a stream read through the group of a consumer, or the named one of its groups. Raises ``InvalidArgument``."""
    if isinstance(engine, GroupUnion):
        if group is None:
            raise InvalidArgument("group is missing; name the one of our groups to read the stream through")
        return engine.add_stream(stream, group)
    if group is not None and name("group", group) != engine.member.group:
        raise InvalidArgument("this consumer is in one group; give it a mapping of streams to groups to have several")
    return engine.add_stream(stream)


def key_names(keys: Name | Iterable[Name]) -> list[Name]:
    """One key or several, as a list."""
    given: Any = keys
    return [given] if isinstance(given, (str, bytes, bytearray, memoryview)) else list(given)


def gathered(names: Name | Iterable[Name]) -> Name | Iterable[Name]:
    """One name or several, after the application's own iterable has been gone through: that is not done within an engine."""
    given: Any = names
    one = isinstance(given, (str, bytes, bytearray, memoryview))
    return list(given) if isinstance(given, Iterable) and not one else given


def together(streams: Starts | None, named: Mapping[str, Position | None]) -> Starts:
    """Streams as a mapping, or as names, and more of them by keywords; None stands for their end."""
    listed: Any = (
        {} if streams is None else streams if isinstance(streams, Mapping) else dict.fromkeys(stream_names(streams))
    )
    return {name: "$" if place is None else place for name, place in {**listed, **named}.items()}


def raised_together(answers: list[Any], *, wanted: bool) -> list[Any]:
    """The answers; where that is ``wanted``, the errors among them are raised, as a group."""
    if wanted and (errors := [answer for answer in answers if isinstance(answer, StreamcoreError)]):
        group = CommandErrors(f"{len(errors)} of {len(answers)} commands failed", errors)
        group.answers = answers
        raise group
    return answers


def method_signature(build: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function as that of a method."""
    built = inspect.signature(build)
    myself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return built.replace(parameters=[myself, *built.parameters.values()])


__all__ = [
    "NOTHING",
    "WITH_EVENT",
    "ConnectOptions",
    "Opened",
    "Settings",
    "Told",
    "gathered",
    "join",
    "key_names",
    "member",
    "method_signature",
    "raised_together",
    "together",
    "told",
]
