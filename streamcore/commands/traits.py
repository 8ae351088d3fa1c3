"""The effect of command words on the connection that they run on.

A shared connection carries the commands of all tasks, so some words must never come over it: the words of
``FORBIDDEN`` change the connection itself, or are not answered by a single reply. The words of ``BLOCKING`` hold up
everything behind them, and get a connection of their own. ``KEYS`` tells where the keys stand in a command that none
of our functions has built, ``CONTAINERS`` which words are only half of a command's name, and ``READS`` which commands a
replica may answer.
"""

from __future__ import annotations

from typing import Final

_STATE: Final = "it would change the connection of all tasks"
_MULTI: Final = "it would change what other tasks' commands mean; use client.transaction()"
_PUSHES: Final = "its answers are no replies; use client.pubsub()"
_REPLICA: Final = "it turns the connection into a replica's"

FORBIDDEN: Final[dict[str, str]] = {
    "AUTH": "give the user and password to connect()",
    "HELLO": "the connection has done it already",
    "SELECT": "give the database to connect()",
    "RESET": "open a new client",
    "QUIT": "close the client",
    "MONITOR": "it never ends; use a connection of your own",
    "SUBSCRIBE": _PUSHES,
    "PSUBSCRIBE": _PUSHES,
    "SSUBSCRIBE": _PUSHES,
    "UNSUBSCRIBE": _PUSHES,
    "PUNSUBSCRIBE": _PUSHES,
    "SUNSUBSCRIBE": _PUSHES,
    "MULTI": _MULTI,
    "EXEC": _MULTI,
    "DISCARD": _MULTI,
    "WATCH": "it would watch for other tasks' transactions too; use client.transaction(watch=[...])",
    "UNWATCH": "there is nothing to unwatch; client.transaction(watch=[...]) does it by itself",
    "ASKING": "it changes what the next command means, which may be another task's",
    "READONLY": _STATE,
    "READWRITE": _STATE,
    "CLIENT SETNAME": "give client_name to connect()",
    "CLIENT REPLY": _STATE,
    "CLIENT TRACKING": _STATE,
    "CLIENT CACHING": _STATE,
    "CLIENT CAPA": _STATE,
    "CLIENT SETINFO": "the connection has done it already",
    "CLIENT NO-EVICT": f"{_STATE}, and be forgotten with it",
    "CLIENT NO-TOUCH": f"{_STATE}, and be forgotten with it",
    "CLIENT IMPORT-SOURCE": f"{_STATE}, and be forgotten with it",
    "SCRIPT DEBUG": "from then on the connection answers to the debugger only",
    "CLUSTER SYNCSLOTS": _REPLICA,
    "SYNC": _REPLICA,
    "PSYNC": _REPLICA,
    "REPLCONF": f"{_REPLICA}, and is not always answered",
}
"""The command's name, and the remedy."""

BLOCKING: Final[dict[str, tuple[int, float]]] = {
    "BLPOP": (-1, 1.0),
    "BRPOP": (-1, 1.0),
    "BRPOPLPUSH": (-1, 1.0),
    "BLMOVE": (-1, 1.0),
    "BZPOPMIN": (-1, 1.0),
    "BZPOPMAX": (-1, 1.0),
    "BLMPOP": (1, 1.0),
    "BZMPOP": (1, 1.0),
    "WAIT": (2, 0.001),
    "WAITAOF": (3, 0.001),
}
"""Where the timeout stands among the arguments, and its unit in seconds."""

CONTAINERS: Final = frozenset(
    {
        "ACL",
        "CLIENT",
        "CLUSTER",
        "COMMAND",
        "CONFIG",
        "DEBUG",
        "FUNCTION",
        "LATENCY",
        "MEMORY",
        "MODULE",
        "OBJECT",
        "PUBSUB",
        "SCRIPT",
        "SLOWLOG",
        "XGROUP",
        "XINFO",
    }
)
"""Words that are followed by another word of the command's name."""

_NONE: Final = slice(0, 0)
_SECOND: Final = slice(2, 3)
_ALL: Final = slice(1, None)

KEYS: Final[dict[str, slice]] = {
    **dict.fromkeys(
        (
            "ACL",
            "AUTH",
            "CLIENT",
            "CLUSTER",
            "COMMAND",
            "CONFIG",
            "DBSIZE",
            "DEBUG",
            "DISCARD",
            "ECHO",
            "EXEC",
            "FLUSHALL",
        ),
        _NONE,
    ),
    **dict.fromkeys(
        ("FLUSHDB", "FUNCTION", "HELLO", "INFO", "KEYS", "LASTSAVE", "LATENCY", "LOLWUT", "MODULE", "MULTI", "PING"),
        _NONE,
    ),
    **dict.fromkeys(("PUBLISH", "PUBSUB", "RANDOMKEY", "ROLE", "SAVE", "SCAN", "SCRIPT", "SLOWLOG", "TIME"), _NONE),
    **dict.fromkeys(("UNWATCH", "WAIT", "WAITAOF"), _NONE),
    **dict.fromkeys(("XGROUP", "XINFO", "OBJECT", "MEMORY", "BITOP"), _SECOND),
    **dict.fromkeys(
        ("DEL", "EXISTS", "MGET", "PFCOUNT", "PFMERGE", "SDIFF", "SINTER", "SUNION", "TOUCH", "UNLINK", "WATCH"), _ALL
    ),
    **dict.fromkeys(("SDIFFSTORE", "SINTERSTORE", "SUNIONSTORE", "SSUBSCRIBE", "SUNSUBSCRIBE"), _ALL),
    **dict.fromkeys(("BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX"), slice(1, -1)),
    **dict.fromkeys(("RENAME", "RENAMENX", "COPY", "SMOVE", "LMOVE", "BLMOVE", "RPOPLPUSH", "BRPOPLPUSH"), slice(1, 3)),
    **dict.fromkeys(("MSET", "MSETNX"), slice(1, None, 2)),
}
"""Which arguments are keys, where it is not the first alone. Commands with a number of keys: ``COUNTED``."""

COUNTED: Final[dict[str, int]] = {
    **dict.fromkeys(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "BLMPOP", "BZMPOP"), 2),
    **dict.fromkeys(("LMPOP", "ZMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZUNION", "ZINTERCARD"), 1),
}
"""Where the number of keys stands; the keys follow it."""

_READS: Final = """
BITCOUNT, BITFIELD_RO, BITPOS, DIGEST, DUMP, EVALSHA_RO, EVAL_RO, EXISTS, EXPIRETIME, FCALL_RO, GEODIST, GEOHASH,
GEOPOS, GEORADIUSBYMEMBER_RO, GEORADIUS_RO, GEOSEARCH, GET, GETBIT, GETRANGE, HEXISTS, HEXPIRETIME, HGET, HGETALL,
HKEYS, HLEN, HMGET, HPEXPIRETIME, HPTTL, HRANDFIELD, HSCAN, HSTRLEN, HTTL, HVALS, LCS, LINDEX, LLEN, LPOS, LRANGE,
MEMORY USAGE, MGET, OBJECT ENCODING, OBJECT FREQ, OBJECT IDLETIME, OBJECT REFCOUNT, PEXPIRETIME, PFCOUNT, PTTL, SCARD,
SDIFF, SINTER, SINTERCARD, SISMEMBER, SMEMBERS, SMISMEMBER, SORT_RO, SRANDMEMBER, SSCAN, STRLEN, SUBSTR, SUNION, TTL,
TYPE, XINFO CONSUMERS, XINFO GROUPS, XINFO STREAM, XLEN, XPENDING, XRANGE, XREAD, XREVRANGE, ZCARD, ZCOUNT, ZDIFF,
ZINTER, ZINTERCARD, ZLEXCOUNT, ZMSCORE, ZRANDMEMBER, ZRANGE, ZRANGEBYLEX, ZRANGEBYSCORE, ZRANK, ZREVRANGE,
ZREVRANGEBYLEX, ZREVRANGEBYSCORE, ZREVRANK, ZSCAN, ZSCORE, ZUNION
"""
READS: Final = frozenset(" ".join(_READS.split()).split(", "))
"""Commands with keys that only read: the servers' flag ``readonly``, in all releases that we know.

``TOUCH`` is not among them: it is sent for its effect on the primary.
"""
