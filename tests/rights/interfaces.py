"""What each interface needs of the rights of its user, and what it does without: the table of docs/guides/permissions.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streamcore.engine.degradation import (
    ASKING_WINDOW,
    CLOSING_FORMER,
    DELAYS,
    ENDING_READS,
    GAPS,
    GIVING_BACK,
    GUARD,
    KEY_EVENTS,
    LETTERS,
    MARKING,
    REMOVING,
    UNSUBSCRIBING,
)

from . import scenarios
from .world import World

EVERY: Final = ("valkey", "redis7", "redis8")
BEFORE_IDMP: Final = ("valkey", "redis7")
UNTOLD: Final = ""
"""Nothing is lost without it, and nothing told."""


@dataclass(frozen=True)
class Interface:
    """One interface of the client, in use.

    ``needs``: commands without which it raises ``NoPermissionError``. ``spares``: those without which it goes on, with what is
    told by ``Degraded``. ``keys`` and ``channels``: rules; those in ``own`` are of keys that streamcore makes, by what is done
    without. ``servers``: where it sends these.
    """

    title: str
    scenario: Callable[[World], Awaitable[None]]
    needs: Mapping[str, str]
    spares: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    servers: tuple[str, ...] = EVERY

    @property
    def name(self) -> str:
        """The name of its scenario."""
        return self.scenario.__name__

    @property
    def commands(self) -> tuple[str, ...]:
        """All that it sends."""
        return (*self.needs, *self.spares)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules of a user who may do all this, beside what every connection needs."""
        return (*self.keys, *self.own, *self.channels, *(f"+{command}" for command in self.commands))


def always(*commands: str) -> dict[str, str]:
    """Needed in any case."""
    return dict.fromkeys(commands, "")


def without(what: tuple[str, ...] | str, *commands: str) -> dict[str, tuple[str, ...]]:
    """Commands that can be done without."""
    return dict.fromkeys(commands, (what,) if isinstance(what, str) else what)


CONNECTION: Final = Interface(
    "every connection",
    scenarios.connection,
    {"select": "for another database than 0"},
    without(UNTOLD, "client|setinfo", "ping"),
)

INTERFACES: Final = (
    Interface(
        "`consumer`",
        scenarios.consumer,
        always("xread"),
        without(GAPS, "xinfo|stream", "xrange") | without(ENDING_READS, "client|unblock"),
        keys=("~orders", "~clicks"),
    ),
    Interface(
        "`group_consumer`",
        scenarios.member,
        always("xreadgroup", "xack", "xpending", "xclaim", "xinfo|groups")
        | {"xgroup|create": "to create the group; else `create=False`"},
        without(GAPS, "xinfo|stream", "xrange")
        | without((GAPS, REMOVING), "xgroup|createconsumer")
        | without(CLOSING_FORMER, "info", "client|list", "client|kill")
        | without(ENDING_READS, "client|unblock")
        | without((GUARD, REMOVING, GIVING_BACK), "eval")
        | without(GUARD, "hmget", "hincrby", "hset", "pexpire", "hget", "del")
        | without(REMOVING, "xinfo|consumers", "exists", "xgroup|delconsumer")
        | without(DELAYS, "time", "zmscore", "zrem"),
        keys=("~orders", "~{orders}:more"),
        own={
            "~{orders}:name:billing:*": (GUARD, REMOVING),
            "~{orders}:later:billing": (DELAYS,),
            "~{orders}:more:name:billing:*": (GUARD,),
        },
    ),
    Interface(
        "`nack`, `dead_letter`, `fenced=True`, beside the above",
        scenarios.retries,
        always("eval", "xreadgroup", "xack", "xpending", "xinfo|groups", "xgroup|create"),
        without(CLOSING_FORMER, "info")
        | without(LETTERS, "xrange", "xadd")
        | without(DELAYS, "xclaim", "time", "zadd", "pttl", "pexpire"),
        keys=("~orders",),
        own={"~{orders}:dead": (LETTERS,), "~{orders}:later:billing": (DELAYS,)},
    ),
    Interface("`producer`", scenarios.producer, always("xadd"), keys=("~orders",)),
    Interface(
        "`producer(durability=...)`",
        scenarios.durable,
        always("xadd") | {"wait": "of `Replicas`", "waitaof": "of `Disk`"},
        keys=("~orders",),
    ),
    Interface(
        "`producer(idempotent=True)`",
        scenarios.once,
        always("xadd", "eval", "evalsha", "hget", "hset", "hincrby", "hdel", "pexpire"),
        keys=("~orders", "~{orders}:sent:till"),
        servers=BEFORE_IDMP,
    ),
    Interface(
        "`producer(idempotent=True)` on Redis 8.6",
        scenarios.once,
        always("xadd"),
        without(ASKING_WINDOW, "config|get", "xinfo|stream"),
        keys=("~orders",),
        servers=("redis8",),
    ),
    Interface("`publish`, `spublish`", scenarios.publish, always("publish", "spublish"), channels=("&news", "&room")),
    Interface(
        "`pubsub`",
        scenarios.pubsub,
        {"subscribe": "for channels", "psubscribe": "for patterns"},
        without(UNSUBSCRIBING, "unsubscribe", "punsubscribe"),
        channels=("&news", "&news.*"),
    ),
    Interface(
        "`sharded_pubsub`",
        scenarios.sharded,
        always("ssubscribe"),
        without(UNSUBSCRIBING, "sunsubscribe"),
        channels=("&room",),
    ),
    Interface(
        "`key_events`",
        scenarios.key_events,
        always("psubscribe"),
        without(KEY_EVENTS, "config|get"),
        channels=("&__keyspace@0__:user:*",),
    ),
    Interface("`pubsub(on_invalidate=...)`", scenarios.tracking, always("client|tracking")),
    Interface(
        "`channels().publish`, `get_history`",
        scenarios.channels_publish,
        always("eval", "evalsha", "xadd", "xrevrange")
        | {"xlen": "to several channels at once", "pexpire": "with a `ttl`"},
        without(MARKING, "get", "set"),
        keys=("~channels_*",),
        own={"~{channels_*}:said:*": (MARKING,)},
    ),
    Interface(
        "`channels().subscribe`",
        scenarios.channels_subscribe,
        always("multi", "exec", "xinfo|stream", "pttl", "xrevrange", "xrange", "xread"),
        without(ENDING_READS, "client|unblock"),
        keys=("~channels_*",),
    ),
    Interface("`channels().flush_all`", scenarios.channels_flush, always("scan", "unlink"), keys=("~channels_*",)),
    Interface(
        '`channels(kind="pubsub")`',
        scenarios.channels_pubsub,
        always("publish", "subscribe"),
        without(UNSUBSCRIBING, "unsubscribe"),
        channels=("&channels_*",),
    ),
)
