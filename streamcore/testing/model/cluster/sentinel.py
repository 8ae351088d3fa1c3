"""A model of Sentinels: they tell who is the primary of a service. Each has a view of its own, which may be early, late, or never told.

    sentinels = ModelSentinels(primary, [replica], now=now)
    sentinels.failover(replica, delays=(0.0, 2.0, None))     # the second hears of it later, the third never
    sentinels.handle_timeout(now)

They hold no elections: a test tells of a switch, and when each of them knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha1
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final, TypeAlias, cast

from ..commands import connection, pubsub
from ..protocol import Failure, Reply
from ..registry import Command
from ..server import Server
from ..session import Session
from ..versions import VALKEY9, Flavour

Address: TypeAlias = tuple[bytes, int]

SWITCH: Final = b"+switch-master"


@dataclass(slots=True)
class Service:
    """A service, as a Sentinel knows it. ``down``: the servers that it finds down (``s_down``); ``epoch``: of its configuration."""

    name: bytes
    primary: Address
    replicas: list[Address]
    epoch: int = 0
    down: set[Address] = field(default_factory=set[Address])


class Sentinel(Server):
    """A Sentinel of a service; ``others`` are the other Sentinels that it knows. ``is_up``: it can be dialled."""

    def __init__(self, flavour: Flavour, address: Address, service: Service, *, now: float) -> None:
        self._seed = b"sentinel at %b:%d" % address
        super().__init__(flavour, now=now, commands=COMMANDS)
        self.address = address
        self.service = service
        self.others: list[Sentinel] = []
        self.is_up = True

    def _new_run_id(self) -> bytes:
        self._lives += 1
        return sha1(b"%b %d" % (self._seed, self._lives), usedforsecurity=False).hexdigest().encode()

    def learn(self, primary: Address, replicas: Sequence[Address], epoch: int) -> None:
        """Know another primary from now on."""
        self.service.primary, self.service.replicas, self.service.epoch = primary, list(replicas), epoch

    def hint(self, old: Address, new: Address) -> None:
        """Publish the message of a switch (``+switch-master``)."""
        text = b"%b %b %d %b %d" % (self.service.name, *old, *new)
        pubsub.send(self.hand, SWITCH, text)


class ModelSentinels:
    """The Sentinels of a service, and its servers, which have different addresses.

    ``base_port``: the port of the first Sentinel; the others have the next ports.
    """

    def __init__(
        self,
        primary: Server,
        replicas: Sequence[Server],
        *,
        sentinels: int = 3,
        name: str = "mymaster",
        flavour: Flavour = VALKEY9,
        now: float = 0.0,
        base_port: int = 26379,
    ) -> None:
        self.now = now
        self.primary = primary
        self.servers = [primary, *replicas]
        self._epoch = 0
        self._due: list[tuple[float, int, Any]] = []
        self._numbers = count()
        places = [replica.address for replica in replicas]
        self.sentinels = [
            Sentinel(
                flavour, (b"127.0.0.1", base_port + n), Service(name.encode(), primary.address, list(places)), now=now
            )
            for n in range(sentinels)
        ]
        for one in self.sentinels:
            one.others = [other for other in self.sentinels if other is not one]

    def at(self, host: str | bytes, port: int) -> Server | None:
        """The Sentinel or server that runs at an address; None where none does."""
        name = host if isinstance(host, bytes) else host.encode()
        found = [one for one in (*self.sentinels, *self.servers) if one.address == (name, port)]
        return next((one for one in found if not isinstance(one, Sentinel) or one.is_up), None)

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, in seconds."""
        due = [one.next_timeout() for one in (*self.sentinels, *self.servers)]
        return min((at for at in (self._due[0][0] if self._due else None, *due) if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do all that is due at ``now``, in seconds: Sentinels that hear of a switch, and all timers."""
        while self._due and self._due[0][0] <= now:
            self.now = max(self.now, self._due[0][0])
            heappop(self._due)[2]()
        self.now = max(self.now, now)
        for one in (*self.sentinels, *self.servers):
            one.handle_timeout(now)

    def switch(self, to: Server, *, delays: Sequence[float | None] = (), hints: Sequence[float | None] = ()) -> None:
        """Let Sentinels take a server for the primary, though no role changes.

        ``delays``: after how many seconds each of them knows it, None: never. ``hints``: how much later each publishes it, None:
        never. Where nothing is given, it is 0.
        """
        old, self._epoch = self.sentinels[0].service.primary, self._epoch + 1
        replicas = [one.address for one in self.servers if one is not to]
        for number, one in enumerate(self.sentinels):
            delay = delays[number] if number < len(delays) else 0.0
            hint = hints[number] if number < len(hints) else 0.0
            if delay is None:
                continue
            self._after(delay, partial(one.learn, to.address, replicas, self._epoch))
            if hint is not None:
                self._after(delay + hint, partial(one.hint, old, to.address))
        self.handle_timeout(self.now)

    def failover(self, to: Server, *, delays: Sequence[float | None] = (), hints: Sequence[float | None] = ()) -> int:
        """Let a replica become the primary, and the other servers its replicas; return how many writes are lost. See ``switch``."""
        lost = to.promote(self.now)
        self.primary = to
        for one in self.servers:
            if one is not to:
                one.follow(to, self.now)
        self.switch(to, delays=delays, hints=hints)
        return lost

    def _after(self, seconds: float, action: Any) -> None:
        heappush(self._due, (self.now + seconds, next(self._numbers), action))


# -- the commands ------------------------------------------------------------------------------------------------------


def _sentinel_of(s: Session) -> Sentinel:
    return cast("Sentinel", s.server)


def hello(s: Session, args: list[bytes]) -> Reply:
    told = connection.hello(s, args)
    del told[b"role"]
    return told | {b"mode": b"sentinel"}


def role(s: Session, _: list[bytes]) -> Reply:
    return [b"sentinel", [_sentinel_of(s).service.name]]


def publish(_s: Session, _: list[bytes]) -> Reply:
    raise Failure("ERR Only HELLO messages are accepted by Sentinel instances.")


def sentinel(s: Session, args: list[bytes]) -> Reply:
    me, word, rest = _sentinel_of(s), args[0].upper(), args[1:]
    service = me.service
    match word, rest:
        case b"GET-MASTER-ADDR-BY-NAME", [name]:
            return None if name != service.name else [service.primary[0], b"%d" % service.primary[1]]
        case b"MASTERS", []:
            return [_primary(me)]
        case ((b"MASTER" | b"SENTINELS" | b"REPLICAS" | b"SLAVES"), [name]):
            if name != service.name:
                raise Failure("ERR No such master with that name")
            if word == b"MASTER":
                return _primary(me)
            if word == b"SENTINELS":
                return [_row(other.address, other.run_id, b"sentinel") for other in me.others]
            return [_replica(me, one) for one in service.replicas]
        case b"MYID", []:
            return me.run_id
    raise Failure(f"ERR unknown subcommand '{args[0].decode(errors='replace')}'. Try SENTINEL HELP.")


def _row(address: Address, name: bytes, flags: bytes) -> dict[bytes, bytes]:
    return {b"name": name, b"ip": address[0], b"port": b"%d" % address[1], b"runid": name, b"flags": flags}


def _flags(me: Sentinel, address: Address, kind: bytes) -> bytes:
    return b"s_down,%b,disconnected" % kind if address in me.service.down else kind


def _primary(me: Sentinel) -> Reply:
    service = me.service
    return _row(service.primary, service.name, _flags(me, service.primary, b"master")) | {
        b"role-reported": b"master",
        b"config-epoch": b"%d" % service.epoch,
        b"num-slaves": b"%d" % len(service.replicas),
        b"num-other-sentinels": b"%d" % len(me.others),
        b"quorum": b"%d" % (len(me.others) // 2 + 1),
    }


def _replica(me: Sentinel, address: Address) -> Reply:
    host, port = me.service.primary
    return _row(address, b"%b:%d" % address, _flags(me, address, b"slave")) | {
        b"role-reported": b"slave",
        b"master-link-status": b"err" if address in me.service.down else b"ok",
        b"master-host": host,
        b"master-port": b"%d" % port,
        b"slave-priority": b"100",
    }


_SHARED: Final = (b"AUTH", b"PING", b"QUIT", b"RESET", b"CLIENT", b"INFO")
_SUBSCRIPTIONS: Final = (b"SUBSCRIBE", b"PSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE")

COMMANDS: Final = {
    **{word: connection.COMMANDS[word] for word in _SHARED},
    **{word: pubsub.COMMANDS[word] for word in _SUBSCRIPTIONS},
    b"HELLO": Command(hello, -1, "ls"),
    b"ROLE": Command(role, 1, "l"),
    b"PUBLISH": Command(publish, 3, "l"),
    b"SENTINEL": Command(sentinel, -2, "l"),
}
