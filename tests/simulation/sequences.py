"""Random sequences of commands over a few keys, groups and ids, so that most of them have to do with each other."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from streamcore.channels import PUBLISH
from streamcore.group.settlements import FOREVER
from streamcore.scripts.group import ACK_OWNED, BURY, GIVE_BACK, RELEASE, REMOVE
from streamcore.scripts.lease import HOLD, LET_GO
from streamcore.scripts.producer import APPEND_ONCE
from tests.simulation.twins import Words

KEYS: Final = ("s", "s", "s", "t", "string")
GROUPS: Final = ("g", "g", "g", "h")
NAMES: Final = ("ann", "bob", "")
IDS: Final = ("0", "0-1", "1-0", "1-1", "1-2", "2", "2-2", "3-0", "3-1", "4-4", "5-1", "9-9")


class Sequence:
    """A source of commands."""

    def __init__(self, random: Random, *, recent: bool = False, modern: bool = True) -> None:
        self.random = random
        self._makers: list[Callable[[], Words]] = [
            *[self.xadd] * 8,
            *[self.xreadgroup] * 6,
            *[self.xclaim] * 3,
            *[self.xack] * 2,
            *[self.xgroup] * 3,
            *[self.xpending] * 3,
            *[self.xinfo] * 2,
            self.xautoclaim,
            self.xdel,
            self.xtrim,
            self.xrange,
            self.xread,
            self.xsetid,
            *[self.script] * 2,
            self.key,
            self.other,
        ]
        self._modern = modern
        self._recent = recent
        if recent:
            self._makers += [self.idmp, self.idmp, *[self.reference] * 4, *[self.claim] * 3]

    def command(self) -> Words:
        return self.random.choice(self._makers)()

    def _key(self) -> str:
        return self.random.choice(KEYS)

    def _id(self) -> str:
        return self.random.choice(IDS)

    def _chance(self, *words: str, of: float = 0.3) -> Words:
        return words if self.random.random() < of else ()

    def _number(self) -> str:
        return self.random.choice(("0", "1", "2", "3", "10", "-1"))

    def _trim(self) -> Words:
        about = self._chance("=", of=0.3)
        return self.random.choice((("MAXLEN", *about, self._number()), ("MINID", *about, self._id())))

    def xadd(self) -> Words:
        id_ = self.random.choice((*IDS, "*", "*", "3-*", "7-*", "x", "1-1-1", "-"))
        fields = ("f", "v") if self.random.random() < 0.95 else ("f",)
        options = (*self._chance("NOMKSTREAM", of=0.1), *(self._trim() if self.random.random() < 0.1 else ()))
        options += self._reference(0.1)
        return ("XADD", self._key(), *options, id_, *fields)

    def idmp(self) -> Words:
        how = self.random.choice((("IDMP", "p", self.random.choice("12")), ("IDMPAUTO", "p")))
        return ("XADD", self._key(), *how, self.random.choice(("*", "*", "*", "1-1")), "f", self.random.choice("vw"))

    def _streams(self, ids: Words, count: int) -> Words:
        keys = ["s", "t", "string"][:count] if self.random.random() < 0.9 else ["t", "s", "string"][:count]
        return ("STREAMS", *keys, *(self.random.choice(ids) for _ in keys))

    def _reading(self, block: bool) -> Words:
        return (*self._chance("COUNT", self._number()), *(("BLOCK", "0") if block else ()))

    def xreadgroup(self) -> Words:
        consumer = self.random.choice(NAMES[:2])
        options = (*self._reading(self.random.random() < 0.3), *self._chance("NOACK", of=0.1))
        streams = self._streams((">", ">", ">", "0", "1-1", "$"), self.random.choice((1, 1, 1, 2)))
        return ("XREADGROUP", "GROUP", self.random.choice(GROUPS), consumer, *options, *streams)

    def xread(self) -> Words:
        ids = ("$", "0", "1-1", "9-9", *(("+",) if self._modern else ()))
        streams = self._streams(ids, self.random.choice((1, 1, 2, 3)))
        return ("XREAD", *self._reading(self.random.random() < 0.4), *streams)

    def _reference(self, of: float) -> Words:
        return self._chance(self.random.choice(("KEEPREF", "DELREF", "ACKED")), of=of) if self._recent else ()

    def reference(self) -> Words:
        ids = [self._id() for _ in range(self.random.choice((1, 1, 2)))]
        how = (*self._reference(0.7), "IDS", str(len(ids)), *ids)
        if self.random.random() < 0.5:
            return ("XDELEX", self._key(), *how)
        return ("XACKDEL", self._key(), self.random.choice(GROUPS), *how)

    def claim(self) -> Words:
        words = self.xreadgroup()
        if "BLOCK" in words:
            return self.reference()
        return (*words[:4], "CLAIM", self.random.choice(("0", "50000", "250000", "-1")), *words[4:])

    def xack(self) -> Words:
        return (
            "XACK",
            self._key(),
            self.random.choice(GROUPS),
            *(self._id() for _ in range(self.random.choice((1, 2)))),
        )

    def xgroup(self) -> Words:
        key, group = self._key(), self.random.choice(GROUPS)
        start = self.random.choice(("0", "$", "1-1", "3-0"))
        read = self._chance("ENTRIESREAD", self.random.choice(("0", "1", "3", "-1", "-2")), of=0.1)
        return self.random.choice(
            (
                ("XGROUP", "CREATE", key, group, start, *self._chance("MKSTREAM", of=0.7), *read),
                ("XGROUP", "CREATE", key, group, start, *self._chance("MKSTREAM", of=0.7), *read),
                ("XGROUP", "SETID", key, group, start, *read),
                ("XGROUP", "CREATECONSUMER", key, group, self.random.choice(NAMES)),
                ("XGROUP", "DELCONSUMER", key, group, self.random.choice(NAMES)),
                ("XGROUP", "DESTROY", key, group),
            )
        )

    def xpending(self) -> Words:
        base = ("XPENDING", self._key(), self.random.choice(GROUPS))
        if self.random.random() < 0.4:
            return base
        idle = self._chance("IDLE", self.random.choice(("0", "50000", "250000")))
        span = self.random.choice((("-", "+"), ("-", "+"), ("(1-1", "+"), ("-", "(3"), ("2", "2"), (self._id(), "+")))
        return (*base, *idle, *span, self._number(), *self._chance(self.random.choice(NAMES)))

    def xclaim(self) -> Words:
        base = ("XCLAIM", self._key(), self.random.choice(GROUPS), self.random.choice(NAMES[:2]))
        least = self.random.choice(("0", "0", "50000", "250000", "-1"))
        ids = [self._id() for _ in range(self.random.choice((1, 1, 2, 3)))]
        return (
            *base,
            least,
            *ids,
            *self._chance("IDLE", self.random.choice(("0", "100000", "300000"))),
            *self._chance("RETRYCOUNT", self.random.choice(("0", "1", "7"))),
            *self._chance("FORCE", of=0.2),
            *self._chance("JUSTID"),
            *self._chance("LASTID", self._id(), of=0.1),
        )

    def xautoclaim(self) -> Words:
        start = self.random.choice(("-", "0", "1-1", "(1-1", "3"))
        least = self.random.choice(("0", "0", "50000", "250000"))
        options = (*self._chance("COUNT", self._number()), *self._chance("JUSTID"))
        name = self.random.choice(NAMES[:2])
        return ("XAUTOCLAIM", self._key(), self.random.choice(GROUPS), name, least, start, *options)

    def xinfo(self) -> Words:
        key = self._key()
        return self.random.choice(
            (
                ("XINFO", "STREAM", key),
                ("XINFO", "STREAM", key, "FULL"),
                ("XINFO", "GROUPS", key),
                ("XINFO", "GROUPS", key),
                ("XINFO", "CONSUMERS", key, self.random.choice(GROUPS)),
            )
        )

    def xdel(self) -> Words:
        return ("XDEL", self._key(), *(self._id() for _ in range(self.random.choice((1, 2)))))

    def xtrim(self) -> Words:
        return ("XTRIM", self._key(), *self._trim(), *self._reference(0.4))

    def xrange(self) -> Words:
        low, high = self.random.choice(
            (("-", "+"), ("1-1", "+"), ("(1-1", "(4-4"), ("2", "2"), ("3", "1"), ("(1", "(3"))
        )
        count = self._chance("COUNT", self._number())
        if self.random.random() < 0.5:
            return ("XRANGE", self._key(), low, high, *count)
        return ("XREVRANGE", self._key(), high, low, *count)

    def xsetid(self) -> Words:
        extra = self._chance("ENTRIESADDED", self.random.choice("0159"), "MAXDELETEDID", self._id(), of=0.3)
        return ("XSETID", self._key(), self._id(), *extra)

    def script(self) -> Words:
        key, group, name = self._key(), self.random.choice(GROUPS), self.random.choice(NAMES[:2])
        ids = [self._id() for _ in range(self.random.choice((1, 2)))]
        wait = self.random.choice(("0", "0", "300000"))
        about = ("dead:reason", self.random.choice("xy"), "dead:attempts", self.random.choice("12"), "dead:id", ids[0])
        letters = self.random.choice(("dead", "dead", "dead", "string"))
        append = ("2", key, "held", self.random.choice("12"), "3", "300000", "*", "f", self.random.choice("vw"))
        return self.random.choice(
            (
                self._publication(),
                self._publication(),
                ("EVAL", ACK_OWNED, "1", key, group, name, *ids),
                ("EVAL", ACK_OWNED, "1", key, group, name, *ids),
                ("EVAL", GIVE_BACK, "2", key, "later", group, name, "nacked", "200000", wait, "-1", *ids),
                ("EVAL", GIVE_BACK, "2", key, "later", group, name, "nacked", "200000", wait, "0", *ids),
                ("EVAL", RELEASE, "1", key, group, name, "nacked", "200000", self.random.choice("05"), *ids),
                ("EVAL", BURY, "2", key, letters, group, name, ids[0], *about),
                ("EVAL", BURY, "2", key, letters, group, name, ids[0], *about),
                ("XCLAIM", key, group, name, str(FOREVER), *ids, "JUSTID"),
                ("EVAL", REMOVE, "2", key, self.random.choice(("lease", "none")), group, name),
                ("EVAL", REMOVE, "3", key, "lease", "none", group, *NAMES[:2]),
                ("EVAL", HOLD, "1", "lease", self.random.choice("12"), self.random.choice("01"), "7", "run", "300000"),
                ("EVAL", LET_GO, "1", "lease", self.random.choice("12")),
                ("EVAL", APPEND_ONCE.source.decode(), *append),
                ("EVALSHA", self.random.choice((APPEND_ONCE.sha, "0" * 40)), *append),
                ("XLEN", "dead"),
                ("ZCARD", "later"),
                ("HLEN", "held"),
                ("HGET", "lease", "epoch"),
                ("XLEN", "c"),
                ("PTTL", "said1"),
            )
        )

    def _publication(self) -> Words:
        # On older servers time goes on within a script, and ids with it: one stream, since the model knows one time only.
        several = (("c", "d"), ("d", "string")) if self._modern else (("c",), ("string",))
        keys: Words = self.random.choice((("c",), *several))
        marked, again, nonce = self.random.choice("0111"), self.random.choice("01"), self.random.choice("12")
        keys += (f"said{nonce}",) if marked == "1" else ()
        how = ("=", self.random.choice("13"), self.random.choice(("0", "300000")))
        return ("EVAL", PUBLISH.source.decode(), str(len(keys)), *keys, again, nonce, *how, "f", "v", "2", marked)

    def key(self) -> Words:
        key = self._key()
        return self.random.choice(
            (
                ("DEL", key),
                ("DEL", "string"),
                ("SET", "string", "1"),
                ("EXISTS", "s", "t", "string"),
                ("TYPE", key),
                ("XLEN", key),
                ("RENAME", "t", "s"),
                ("EXPIRE", key, "300"),
                ("PTTL", key),
                ("FLUSHALL",),
                ("INCR", "string"),
            )
        )

    def _rarely(self, number: str, member: str) -> tuple[Words, ...]:
        return (
            ("GETDEL", "string"),
            ("SETNX", "string", number),
            ("SETEX", "string", "300", number),
            ("PSETEX", "string", self.random.choice(("300000", "-1")), "x"),
            ("MSET", "string", "1", "other", number),
            ("MGET", "string", "other", "s", "none"),
            ("DECRBY", "string", number),
            ("DECR", "string"),
            ("STRLEN", "string"),
            ("INCRBYFLOAT", "string", "1.5"),
            ("PERSIST", "string"),
            ("TTL", "none"),
            ("COPY", "string", "other", *self._chance("REPLACE")),
            ("EXPIREAT", "other", "1"),
            ("PEXPIRE", "string", "300000", self.random.choice(("NX", "XX", "GT", "LT"))),
            ("KEYS", "[hlsz]*"),
            ("DBSIZE",),
            ("OBJECT", "ENCODING", "string"),
            ("HSETNX", "h", member, number),
            ("HGET", "h", member),
            ("HGETALL", "h"),
            ("HEXISTS", "h", member),
            ("HKEYS", "h"),
            ("HVALS", "h"),
            ("HINCRBYFLOAT", "h", member, "0.5"),
            ("LTRIM", "l", "0", "2"),
            ("LLEN", "l"),
            ("LPOP", "l", number),
            ("RPOP", "l"),
            ("BRPOP", "m", "l", "0.0"),
            ("SMEMBERS", "u"),
            ("SISMEMBER", "u", member),
            ("ZADD", "z", "INCR", number, member),
            ("ZADD", "z", "LT", number, member),
            ("ZADD", "z", "NX", "GT", number, member),
            ("ZINCRBY", "z", number, member),
            ("ZSCORE", "z", member),
            ("ZRANK", "z", member),
            ("ZCARD", "z"),
            ("ZCOUNT", "z", "(1", "+inf"),
            ("ZREMRANGEBYSCORE", "z", "-inf", "0"),
            ("ZPOPMIN", "z"),
            ("ZPOPMIN", "z", "2"),
            ("ZRANGE", "z", "-inf", "+inf", "BYSCORE", "LIMIT", "1", "2"),
            ("ZRANGE", "z", "+inf", "-inf", "BYSCORE", "REV"),
            ("SCRIPT", "EXISTS", APPEND_ONCE.sha, "0" * 40),
            ("CLIENT", "GETNAME"),
            ("ECHO", member),
            ("UNWATCH",),
            ("PUBLISH", "nobody", "hears"),
            ("NONSENSE", member),
            ("GET",),
        )

    def other(self) -> Words:
        number = self.random.choice(("1", "2.5", "-1", "x"))
        member = self.random.choice("abc")
        return self.random.choice(
            (
                ("HSET", "h", member, number),
                ("HINCRBY", "h", member, "2"),
                ("HMGET", "h", "a", "b", "c"),
                ("HDEL", "h", member),
                ("HLEN", "h"),
                ("RPUSH", "l", member, "x"),
                ("LPUSH", "l", member),
                ("LPOP", "l"),
                ("RPOP", "l", "2"),
                ("LRANGE", "l", "-2", "1"),
                ("BLPOP", "l", "m", "0"),
                ("SADD", "u", member),
                ("SREM", "u", member),
                ("SCARD", "u"),
                ("ZADD", "z", *self._chance("NX", "XX", of=0.1), number, member),
                ("ZADD", "z", *self._chance("GT", "CH"), number, member),
                ("ZRANGE", "z", "0", "-1", *self._chance("REV"), *self._chance("WITHSCORES")),
                ("ZRANGEBYSCORE", "z", "-inf", "(2", *self._chance("WITHSCORES")),
                ("ZMSCORE", "z", "a", "b", "c"),
                ("ZREM", "z", member),
                ("SET", "string", number, *self._chance("NX"), *self._chance("EX", "300")),
                ("GET", "string"),
                *self._rarely(number, member),
                ("INCRBY", "string", number),
                ("APPEND", "string", member),
            )
        )
