"""Channels, patterns and shard channels.

Each name of a subscription is confirmed by a push of its own; a command is refused as a whole. Messages go to subscribers in
the order in which these have connected, first by channel, then by pattern.
"""

from __future__ import annotations

from typing import Final

from ..arguments import glob, syntax_error
from ..protocol import NOTHING, Failure, Reply
from ..registry import Command
from ..session import Session


def _names(s: Session, kind: str) -> dict[bytes, None]:
    return {"": s.channels, "p": s.patterns, "s": s.shards}[kind]


def _count(s: Session, kind: str) -> int:
    return len(s.shards) if kind == "s" else s.subscriptions


def _subscribe(s: Session, args: list[bytes], kind: str) -> Reply:
    names = _names(s, kind)
    for name in args:
        names[name] = None
        s.push(b"%bsubscribe" % kind.encode(), name, _count(s, kind))
    return NOTHING


def _unsubscribe(s: Session, args: list[bytes], kind: str) -> Reply:
    names = _names(s, kind)
    listed = list(names)
    for name in args or listed:
        names.pop(name, None)
        s.push(b"%bunsubscribe" % kind.encode(), name, _count(s, kind))
    if not args and not listed:
        s.push(b"%bunsubscribe" % kind.encode(), None, _count(s, kind))
    return NOTHING


def subscribe(s: Session, args: list[bytes]) -> Reply:
    return _subscribe(s, args, "")


def psubscribe(s: Session, args: list[bytes]) -> Reply:
    return _subscribe(s, args, "p")


def ssubscribe(s: Session, args: list[bytes]) -> Reply:
    return _subscribe(s, args, "s")


def unsubscribe(s: Session, args: list[bytes]) -> Reply:
    return _unsubscribe(s, args, "")


def punsubscribe(s: Session, args: list[bytes]) -> Reply:
    return _unsubscribe(s, args, "p")


def sunsubscribe(s: Session, args: list[bytes]) -> Reply:
    return _unsubscribe(s, args, "s")


def publish(s: Session, args: list[bytes]) -> Reply:
    return send(s, *args)


def send(s: Session, channel: bytes, message: bytes) -> int:
    """Publish a message to the subscribers of a channel and of fitting patterns; return how many."""
    every = list(s.server.sessions.values())
    count = 0
    for one in every:
        if channel in one.channels:
            one.tell(s, b"message", channel, message)
            count += 1
    for one in every:
        for pattern in one.patterns:
            if glob(pattern)(channel):
                one.tell(s, b"pmessage", pattern, channel, message)
                count += 1
    return count


def spublish(s: Session, args: list[bytes]) -> Reply:
    channel, message = args
    found = [one for one in s.server.sessions.values() if channel in one.shards]
    for one in found:
        one.tell(s, b"smessage", channel, message)
    return len(found)


def pubsub(s: Session, args: list[bytes]) -> Reply:
    every, rest = list(s.server.sessions.values()), args[1:]
    word = args[0].upper()
    match word:
        case b"CHANNELS" | b"SHARDCHANNELS" if len(rest) <= 1:
            kind = "s" if word == b"SHARDCHANNELS" else ""
            names = dict.fromkeys(name for one in every for name in _names(one, kind))
            return [name for name in names if not rest or glob(rest[0])(name)]
        case b"NUMSUB" | b"SHARDNUMSUB":
            kind = "s" if word == b"SHARDNUMSUB" else ""
            return [part for name in rest for part in (name, sum(name in _names(one, kind) for one in every))]
        case b"NUMPAT" if not rest:
            return len({pattern for one in every for pattern in one.patterns})
    if word in {b"CHANNELS", b"SHARDCHANNELS", b"NUMPAT"}:
        raise syntax_error()
    raise Failure(f"ERR unknown subcommand '{args[0].decode(errors='replace')}'. Try PUBSUB HELP.")


COMMANDS: Final = {
    b"SUBSCRIBE": Command(subscribe, -2, "ls"),
    b"PSUBSCRIBE": Command(psubscribe, -2, "ls"),
    b"SSUBSCRIBE": Command(ssubscribe, -2, "ls"),
    b"UNSUBSCRIBE": Command(unsubscribe, -1, "ls"),
    b"PUNSUBSCRIBE": Command(punsubscribe, -1, "ls"),
    b"SUNSUBSCRIBE": Command(sunsubscribe, -1, "ls"),
    b"PUBLISH": Command(publish, 3, "lr"),
    b"SPUBLISH": Command(spublish, 3, "lr"),
    b"PUBSUB": Command(pubsub, -2, "l"),
}
