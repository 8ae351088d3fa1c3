"""Keyspace notifications: events of keys, published as messages, as ``CONFIG SET notify-keyspace-events`` asks for them.

A command is looked at when it has ended: its written keys are known, and its word, arguments and reply tell which event that
was. Its side effects are not told: the trimming of XADD, the consumers that XREADGROUP creates, the delivery to a blocked
reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .commands.pubsub import send
from .keyspace import Keyspace
from .protocol import Failure, Reply
from .session import Session

CLASSES: Final = b"g$lshzxetd"  # the classes of A
OTHERS: Final = b"KEmn"

_EVENTS: Final[dict[bytes, tuple[str, bytes]]] = {
    **dict.fromkeys((b"SET", b"SETNX", b"MSET", b"SETEX", b"PSETEX"), ("$", b"set")),
    **dict.fromkeys((b"INCR", b"DECR", b"INCRBY", b"DECRBY"), ("$", b"incrby")),
    b"INCRBYFLOAT": ("$", b"incrbyfloat"),
    b"APPEND": ("$", b"append"),
    **dict.fromkeys((b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"), ("g", b"expire")),
    b"PERSIST": ("g", b"persist"),
    b"COPY": ("g", b"copy_to"),
    **dict.fromkeys((b"HSET", b"HMSET", b"HSETNX"), ("h", b"hset")),
    b"HDEL": ("h", b"hdel"),
    b"HINCRBY": ("h", b"hincrby"),
    b"HINCRBYFLOAT": ("h", b"hincrbyfloat"),
    **dict.fromkeys((b"LPUSH", b"LPUSHX"), ("l", b"lpush")),
    **dict.fromkeys((b"RPUSH", b"RPUSHX"), ("l", b"rpush")),
    **dict.fromkeys((b"LPOP", b"BLPOP"), ("l", b"lpop")),
    **dict.fromkeys((b"RPOP", b"BRPOP"), ("l", b"rpop")),
    b"LTRIM": ("l", b"ltrim"),
    b"SADD": ("s", b"sadd"),
    b"SREM": ("s", b"srem"),
    b"ZADD": ("z", b"zadd"),
    b"ZINCRBY": ("z", b"zincr"),
    b"ZREM": ("z", b"zrem"),
    b"ZREMRANGEBYSCORE": ("z", b"zremrangebyscore"),
    b"ZPOPMIN": ("z", b"zpopmin"),
    b"XADD": ("t", b"xadd"),
    b"XTRIM": ("t", b"xtrim"),
    **dict.fromkeys((b"XDEL", b"XDELEX", b"XACKDEL"), ("t", b"xdel")),
}
_WHERE_CHANGED: Final = frozenset({b"SADD", b"SREM", b"HDEL", b"ZREM", b"ZREMRANGEBYSCORE"})
_OF_GROUPS: Final = frozenset({b"CREATE", b"SETID", b"DESTROY", b"CREATECONSUMER", b"DELCONSUMER"})


def flags(setting: bytes) -> bytes:
    """Format a setting of ``notify-keyspace-events`` as servers show it. Raises where it has other letters."""
    if any(letter not in b"A" + CLASSES + OTHERS for letter in setting):
        raise Failure(
            "ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class"
        )
    every = b"A" in setting or all(letter in setting for letter in CLASSES)
    shown = b"A" if every else bytes(letter for letter in CLASSES if letter in setting)
    return shown + bytes(letter for letter in OTHERS if letter in setting)


def notify(s: Session, keys: Keyspace, kind: str, event: bytes, key: bytes) -> None:
    """Publish an event of a key, on the channels of the key and of the event, as far as its class is asked for."""
    setting = s.server.config[b"notify-keyspace-events"]
    if b"A" in setting or kind.encode() in setting:
        number = s.server.databases.index(keys)
        if b"K" in setting:
            send(s, b"__keyspace@%d__:%b" % (number, key), event)
        if b"E" in setting:
            send(s, b"__keyevent@%d__:%b" % (number, event), key)


def after(
    s: Session, word: bytes, args: list[bytes], reply: Reply, touched: dict[tuple[Keyspace, bytes], None]
) -> None:
    """Publish the events of a command that has ended, and has touched these keys."""
    for (keys, key), (kind, event) in _events(s, word, args, reply, touched):
        notify(s, keys, kind, event, key)


def _events(
    s: Session, word: bytes, args: list[bytes], reply: Reply, touched: dict[tuple[Keyspace, bytes], None]
) -> Iterator[tuple[tuple[Keyspace, bytes], tuple[str, bytes]]]:
    if word == b"XGROUP":
        name = args[0].upper()
        if name in _OF_GROUPS and (not isinstance(reply, int) or reply or touched):
            yield (s.keys, args[1]), ("t", b"xgroup-" + name.lower())
        return
    if word == b"XSETID":
        yield (s.keys, args[0]), ("t", b"xsetid")
        return
    if word == b"RENAME":
        yield (s.keys, args[0]), ("g", b"rename_from")
        yield (s.keys, args[1]), ("g", b"rename_to")
        return
    found = _EVENTS.get(word)
    if word in _WHERE_CHANGED and not reply:
        return
    for where in touched:
        if found is not None:
            yield where, found
        if word in {b"SETEX", b"PSETEX"} or (word == b"SET" and where[1] in where[0].expiries):
            yield where, ("g", b"expire")
        if where[1] not in where[0].values:
            yield where, ("g", b"del")
