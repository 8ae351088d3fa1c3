"""The arguments of the facade on any runtime: where to connect, the options common to all engines, names, keys and members."""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, cast

from streamcore.arguments import Name, ReadFrom, Seconds, read_source, seconds, stream_names
from streamcore.commands.ids import Position
from streamcore.consumer.start import Starts
from streamcore.engine.engine import Engine, EngineOptions
from streamcore.errors import (
    CommandErrors,
    InvalidArgument,
    StreamcoreError,
)
from streamcore.events import Event
from streamcore.frozen import frozen
from streamcore.options import DECODERS, Address, DecoderKind, Options, SentinelAddress
from streamcore.requests import Multiplexer
from streamcore.resp3 import make_decoder

from .._credentials import AskCredentials
from .._sentinels import OPTIONS, with_sentinels
from ..address import TLS, Target, parse
from .keywords import check_keywords

if TYPE_CHECKING:
    import ssl

    from streamcore.cluster.addresses import AddressMap, Follow, Prefer
    from streamcore.cluster.cluster import Cluster
    from streamcore.sentinel.service import SentinelService

T = TypeVar("T")

_jitter = Random()  # noqa: S311  # spreads back-offs, and leaves the application's own generator as it is
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_jitter.seed)


class ConnectOptions(TypedDict, total=False):
    """Keywords of ``connect``; each wins over its counterpart in the URL.

    ``username``, ``password``, ``database``, ``client_name``: how to introduce ourselves; ``credentials`` instead of the first two,
    where they change. ``tls``: True, a ``TLS`` or an
    ``ssl.SSLContext``. ``request_timeout`` and ``connect_timeout`` in seconds (5). ``on_event`` is called with each
    ``Event`` of every engine of the client, before the next entry is handed over.
    """

    username: str | None
    """Who we are to the server (None: its default user)."""
    password: str | None
    """The password of that user (None)."""
    credentials: AskCredentials | None
    """Is called at each dial, and before a login ends, for ``(username, password)`` or ``Credentials`` (None)."""
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
    cluster: bool | None
    """Whether the server is a node of a cluster (None: it tells itself, by ``HELLO``; several hosts are)."""
    read_from: ReadFrom
    """Which nodes of a cluster answer commands that only read, ``XREAD`` of consumers, and shard channels: the ``"primary"``, a ``"replica"``, or ``"any"`` ("primary"); a single server answers all."""
    refresh_interval: Seconds
    """Seconds between two questions for the nodes of a cluster and their slots for no reason (15)."""
    node_keepalive: Seconds
    """Seconds of silence after which a node of a cluster is asked whether it answers; within a second, or the others are asked (2)."""
    follow: Follow
    """Which addresses a node may redirect to: "topology" (named by ``CLUSTER SLOTS``), "seeds" (hosts that were given), or a function of host and port that returns a bool ("topology")."""
    address_map: AddressMap
    """Where nodes are reached from here, behind NAT or a tunnel: a mapping or a function from the host and port that they announce (None)."""
    sentinel_username: str | None
    """Who we are to the Sentinels (None: their default user)."""
    sentinel_password: str | None
    """The password of that user (None: no login)."""
    sentinel_tls: TLS | ssl.SSLContext | bool | None
    """How the Sentinels are reached (None: as the primary is)."""
    prefer: Prefer
    """Which announced name of a node is dialled, "hostname" or "ip", where it announces both ("hostname")."""


_OF_CLUSTERS: Final = ("refresh_interval", "node_keepalive", "follow", "address_map", "prefer")


@frozen
class Settings:
    """Everything that ``connect`` was told, and the ``cluster``, as far as is known, or the ``sentinels``, where there are any.

    ``asks``: whether the server is to tell that it is a node of a cluster. ``read_from``: the nodes that answer reads.
    """

    target: Target
    options: Options
    on_event: Callable[[Event], object] | None = None
    cluster: Cluster | None = None
    sentinels: SentinelService | None = None
    cluster_options: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False)
    asks: bool = True
    read_from: ReadFrom = "primary"

    @classmethod
    def of(cls, url: str | Iterable[str] | None, given: ConnectOptions) -> Settings:
        """Understand the arguments of ``connect``. Raises ``InvalidURL`` or ``InvalidArgument``."""
        check_keywords("connect", given, ConnectOptions, "url")
        keywords: dict[str, Any] = dict(given)
        on_event = keywords.pop("on_event", None)
        timeouts: dict[str, Any] = {
            what: seconds(what, keywords.pop(what)) for what in ("request_timeout", "connect_timeout") if what in given
        }
        wanted = keywords.pop("cluster", None)
        source: ReadFrom = read_source(keywords.pop("read_from", "primary"))
        of_sentinels: dict[str, Any] = {name: keywords.pop(name) for name in OPTIONS if name in given}
        of_clusters: dict[str, Any] = {name: keywords.pop(name) for name in _OF_CLUSTERS if name in given}
        target = with_sentinels(parse(url, **keywords), of_sentinels, {**of_clusters, "cluster": wanted})
        _check_cluster(target, wanted, of_clusters)
        if of_clusters:
            from streamcore.cluster.options import checked

            of_clusters = checked(of_clusters)
        made = cls(
            target,
            Options(decoder=chosen_decoder(), **timeouts),
            on_event,
            cluster_options=of_clusters,
            asks=wanted is None,
            read_from=source,
        )
        if target.sentinels is not None:
            return made.by_sentinels(target.sentinels)
        return made.in_cluster() if wanted or target.others else made

    def by_sentinels(self, access: Target) -> Settings:
        """The same for the primary that Sentinels name; the engines share what they know of it."""
        from streamcore.sentinel.service import SentinelService

        seeds = [seed for seed in (access.address, *access.others) if isinstance(seed, SentinelAddress)]
        login = access.login
        service = SentinelService(
            self.target.service or "", seeds, username=login.username, password=login.password, **self.cluster_options
        )
        return replace(self, sentinels=service, asks=False)

    def engine(self) -> EngineOptions:
        """The keywords that every engine takes."""
        engine: EngineOptions = {
            "random": _jitter.random,
            "entropy": os.urandom,
            "address": self.target.address,
            "login": self.target.login,
            "options": self.options,
        }
        servers = self.cluster or self.sentinels
        if servers is not None:
            engine["router"] = servers.router
        return engine

    def client(self) -> Multiplexer:
        """Make the engine of a client."""
        if self.cluster is None:
            return Multiplexer(**self.engine())
        from streamcore.cluster.client import ClusterClient

        return ClusterClient(read_from=self.read_from, **self.engine())

    def in_cluster(self) -> Settings:
        """The same in a cluster, whose nodes share what they know of it."""
        from streamcore.cluster.cluster import Cluster

        target = self.target
        seeds = [seed for seed in (target.address, *target.others) if isinstance(seed, Address)]
        return replace(self, cluster=Cluster(seeds, **self.cluster_options), asks=False)

    def learned(self, engine: Engine) -> Settings:
        """The settings that hold for the server of a client's engine: in a cluster, where it has told that it is a node."""
        [link, *_] = engine.links()
        told = self.asks and link.server.get(b"mode") == b"cluster" and isinstance(self.target.address, Address)
        return self.in_cluster() if told else self


def _check_cluster(target: Target, wanted: Any, options: Mapping[str, Any]) -> None:
    if wanted is not None and not isinstance(wanted, bool):
        raise InvalidArgument(f"cluster must be True, False or None, not {wanted!r}")
    if wanted is False and target.others:
        raise InvalidArgument("several hosts are those of a cluster: give a single host with cluster=False")
    if wanted is False and options:
        raise InvalidArgument(f"{next(iter(options))} is an option for clusters: leave it out with cluster=False")
    if wanted and not isinstance(target.address, Address):
        raise InvalidArgument(
            f"{target.address} leads to a single server, and the nodes of a cluster are dialled by TCP"
        )


def chosen_decoder() -> DecoderKind:
    """The decoder of replies: by ``STREAMCORE_DECODER``, else hiredis where it is usable.

    Raises ``InvalidArgument`` for another word, and ``MissingExtra`` where hiredis is asked for and there is none.
    """
    kind = os.environ.get("STREAMCORE_DECODER", "auto")
    if kind not in DECODERS:
        raise InvalidArgument(f"STREAMCORE_DECODER is {kind!r}; choose one of {', '.join(DECODERS)}")
    chosen = cast("DecoderKind", kind)
    make_decoder(chosen)
    return chosen


def member(consumer: Name | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of a member of a group. A generated name is unique, and no later process comes back under it."""
    if consumer is not None:
        return {**options, "consumer": consumer}
    unique = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(8).hex()}"
    return {"exclusive": False, "remove_on_leaving": True, **options, "consumer": unique}


def key_names(keys: Name | Iterable[Name]) -> list[Name]:
    """A key or several, as a list."""
    given: Any = keys
    return [given] if isinstance(given, (str, bytes, bytearray, memoryview)) else list(given)


def gathered(names: Name | Iterable[Name]) -> Name | Iterable[Name]:
    """A name or several, after the application's own iterable has been gone through: that is not done within an engine."""
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
    "ConnectOptions",
    "Settings",
    "gathered",
    "key_names",
    "member",
    "method_signature",
    "raised_together",
    "together",
]
