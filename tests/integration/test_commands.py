"""Commands on keys and data, each with all of its options, against every server and in both protocols."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from streamcore import ReplyError, WrongTypeError
from streamcore.commands import (
    Popped,
    blpop,
    brpop,
    decr,
    decrby,
    delete,
    exists,
    expire,
    expireat,
    expiretime,
    get,
    getdel,
    getex,
    hdel,
    hexists,
    hget,
    hgetall,
    hincrby,
    hkeys,
    hlen,
    hmget,
    hset,
    hvals,
    incr,
    incrby,
    incrbyfloat,
    llen,
    lpop,
    lpush,
    lrange,
    ltrim,
    memory_usage,
    mget,
    mset,
    persist,
    rename,
    rpop,
    rpush,
    sadd,
    scan,
    scard,
    set_,
    sismember,
    smembers,
    srem,
    ttl,
    type_,
    unlink,
    xadd,
    zadd,
    zadd_incr,
    zcard,
    zpopmin,
    zrange,
    zrangebyscore,
    zrem,
    zremrangebyscore,
    zscore,
)
from tests.integration.lines import Ask

pytestmark = pytest.mark.every_server

LATER = datetime(2100, 1, 1, 12, 30, 0, 123_000, tzinfo=UTC)


class TestKeys:
    def test_exist_until_they_are_deleted(self, ask: Ask) -> None:
        ask(mset({"a": 1, "b": 2, "c": 3}))
        assert ask(exists("a", "b", "a", "nosuch")) == 3
        assert ask(delete("a", "nosuch")) == 1
        assert ask(unlink("b", "c")) == 2
        assert ask(exists("a", "b", "c")) == 0

    def test_live_for_so_many_seconds(self, ask: Ask) -> None:
        ask(set_("k", "v"))
        assert (ask(ttl("k")), ask(ttl("nosuch"))) == (math.inf, None)
        assert ask(expire("k", 100.5))
        left = ask(ttl("k"))
        assert left is not None
        assert 99 < left <= 100.5
        assert not ask(expire("nosuch", 1))

    def test_live_longer_or_shorter_under_conditions(self, ask: Ask) -> None:
        ask(set_("k", "v"))
        assert not ask(expire("k", 100, xx=True))
        assert not ask(expire("k", 100, gt=True))  # for ever is longer than anything
        assert ask(expire("k", 100, nx=True))
        assert not ask(expire("k", 100, nx=True))
        assert ask(expire("k", 200, xx=True))
        assert ask(expire("k", 300, gt=True))
        assert not ask(expire("k", 400, lt=True))
        assert ask(expire("k", 100, xx=True, lt=True))
        assert ask(expire("k", 200, xx=True, gt=True))
        ask(persist("k"))
        assert not ask(expire("k", 100, xx=True, lt=True))
        assert ask(expire("k", 100, lt=True))

    def test_live_until_a_moment(self, ask: Ask) -> None:
        ask(set_("k", "v"))
        assert ask(expiretime("k")) is None
        assert ask(expireat("k", LATER))
        assert ask(expiretime("k")) == LATER
        assert ask(expireat("k", LATER.timestamp() + 1, gt=True))
        assert ask(expiretime("k")) == LATER + timedelta(seconds=1)
        assert not ask(expireat("k", LATER, nx=True))
        assert ask(persist("k"))
        assert not ask(persist("k"))
        assert ask(expiretime("nosuch")) is None
        assert ask(expireat("k", 1))
        assert ask(exists("k")) == 0

    def test_have_types(self, ask: Ask) -> None:
        ask(xadd("s", {"f": "v"}))
        ask(hset("h", {"f": "v"}))
        assert [ask(type_(key)) for key in ("s", "h", "nosuch")] == [b"stream", b"hash", b"none"]
        with pytest.raises(WrongTypeError) as caught:
            ask(get("h"))
        assert caught.value.command == "GET"

    def test_can_be_renamed(self, ask: Ask) -> None:
        ask(set_("a", "v"))
        assert ask(rename("a", b"b\xff")) == b"OK"
        assert ask(get(b"b\xff")) == b"v"
        with pytest.raises(ReplyError, match="no such key"):
            ask(rename("a", "b"))

    def test_are_all_found_by_scanning(self, ask: Ask) -> None:
        ask(mset({f"key{n}": n for n in range(100)}))
        ask(sadd("set", 1))
        found: list[bytes] = []
        cursor, rounds = 0, 0
        while cursor or not rounds:
            cursor, keys = ask(scan(cursor, match="key*", count=20, type="string"))
            found += keys
            rounds += 1
        assert rounds > 1
        assert sorted(set(found)) == sorted(b"key%d" % n for n in range(100))
        assert ask(scan(count=1000, type="set")) == (0, [b"set"])

    def test_take_memory(self, ask: Ask) -> None:
        ask(rpush("l", *range(100)))
        used = ask(memory_usage("l"))
        assert used is not None
        assert used > 100
        assert ask(memory_usage("l", samples=0)) is not None
        assert ask(memory_usage("nosuch")) is None


class TestStrings:
    def test_are_bytes_of_any_kind(self, ask: Ask) -> None:
        for value in (b"\x00\xff\r\n", b"", bytearray(b"ab"), memoryview(b"abc")[1:]):
            assert ask(set_("k", value)) == b"OK"
            assert ask(get("k")) == bytes(value)
        assert ask(get("nosuch")) is None
        assert ask(get(memoryview(b"k"))) == b"bc"

    def test_are_set_under_conditions(self, ask: Ask) -> None:
        assert not ask(set_("k", 1, xx=True))
        assert ask(set_("k", 1, nx=True))
        assert not ask(set_("k", 2, nx=True))
        assert ask(set_("k", 3, xx=True))
        assert ask(get("k")) == b"3"

    def test_tell_the_former_value(self, ask: Ask) -> None:
        assert ask(set_("k", 1, get=True)) is None
        assert ask(set_("k", 2, get=True)) == b"1"
        assert ask(set_("k", 3, nx=True, get=True)) == b"2"
        assert ask(set_("k", 4, xx=True, get=True)) == b"2"
        assert ask(get("k")) == b"4"

    def test_are_set_for_a_while(self, ask: Ask) -> None:
        ask(set_("k", 1, ex=timedelta(minutes=1)))
        assert 59 < (ask(ttl("k")) or 0) <= 60
        ask(set_("k", 2, keepttl=True))
        assert 59 < (ask(ttl("k")) or 0) <= 60
        ask(set_("k", 2, exat=LATER))
        assert ask(expiretime("k")) == LATER
        ask(set_("k", 2))
        assert ask(ttl("k")) == math.inf

    def test_live_anew_when_they_are_read(self, ask: Ask) -> None:
        ask(set_("k", "v"))
        assert ask(getex("k", ex=100)) == b"v"
        assert 99 < (ask(ttl("k")) or 0) <= 100
        assert ask(getex("k", exat=LATER)) == b"v"
        assert ask(getex("k")) == b"v"
        assert ask(expiretime("k")) == LATER
        assert ask(getex("k", persist=True)) == b"v"
        assert ask(ttl("k")) == math.inf
        assert ask(getex("nosuch", ex=1)) is None

    def test_are_taken_away(self, ask: Ask) -> None:
        ask(set_("k", "v"))
        assert [ask(getdel("k")), ask(getdel("k"))] == [b"v", None]

    def test_come_and_go_together(self, ask: Ask) -> None:
        assert ask(mset({"a": 1, b"b": "x"})) == b"OK"
        assert ask(mget("a", "nosuch", "b")) == [b"1", None, b"x"]

    def test_are_numbers(self, ask: Ask) -> None:
        assert [ask(incr("n")), ask(incrby("n", 10)), ask(decr("n")), ask(decrby("n", 20))] == [1, 11, 10, -10]
        assert ask(incrbyfloat("n", 0.5)) == -9.5
        assert ask(incrby("m", 2**62)) == 2**62
        with pytest.raises(ReplyError, match="overflow") as caught:
            ask(incrby("m", 2**62))
        assert (caught.value.code, caught.value.command) == ("ERR", "INCRBY")


class TestHashes:
    def test_have_fields(self, ask: Ask) -> None:
        assert ask(hset("h", {"a": 1, b"b": "x", 3: ""})) == 3
        assert ask(hset("h", {"a": 2, "": "empty"})) == 1
        assert ask(hget("h", "a")) == b"2"
        assert ask(hget("h", "")) == b"empty"
        assert ask(hget("h", "nosuch")) is None
        assert ask(hmget("h", "a", "nosuch", 3)) == [b"2", None, b""]
        assert ask(hgetall("h")) == {b"a": b"2", b"b": b"x", b"3": b"", b"": b"empty"}
        assert ask(hlen("h")) == 4
        assert [ask(hexists("h", "a")), ask(hexists("h", "nosuch"))] == [True, False]
        assert dict(zip(ask(hkeys("h")), ask(hvals("h")), strict=True)) == ask(hgetall("h"))
        assert ask(hincrby("h", "a", 5)) == 7
        assert ask(hdel("h", "a", "nosuch", 3)) == 2

    def test_that_do_not_exist_have_none(self, ask: Ask) -> None:
        assert ask(hgetall("h")) == {}
        assert (ask(hlen("h")), ask(hkeys("h")), ask(hvals("h"))) == (0, [], [])


class TestSets:
    def test_have_members(self, ask: Ask) -> None:
        assert ask(sadd("s", "a", 1, b"\xff", "a")) == 3
        assert ask(smembers("s")) == {b"a", b"1", b"\xff"}
        assert [ask(sismember("s", 1)), ask(sismember("s", "nosuch"))] == [True, False]
        assert ask(srem("s", "a", "nosuch")) == 1
        assert ask(scard("s")) == 2
        assert (ask(smembers("nosuch")), ask(scard("nosuch"))) == (set(), 0)


class TestSortedSets:
    def test_have_members_with_scores(self, ask: Ask) -> None:
        assert ask(zadd("z", {"a": 1, "b": 2.5, 3: math.inf})) == 3
        assert [ask(zscore("z", member)) for member in ("a", "b", 3, "nosuch")] == [1.0, 2.5, math.inf, None]
        assert ask(zcard("z")) == 3
        assert ask(zrem("z", "a", "nosuch")) == 1

    def test_change_scores_under_conditions(self, ask: Ask) -> None:
        ask(zadd("z", {"a": 5}))
        assert ask(zadd("z", {"a": 6, "b": 1}, nx=True)) == 1
        assert ask(zadd("z", {"a": 6, "c": 1}, xx=True, ch=True)) == 1
        assert ask(zadd("z", {"a": 5, "b": 2}, gt=True, ch=True)) == 1
        assert ask(zadd("z", {"a": 5, "d": 1}, lt=True, xx=True, ch=True)) == 1
        assert ask(zrange("z", 0, -1, withscores=True)) == [(b"b", 2.0), (b"a", 5.0)]

    def test_count_with_scores(self, ask: Ask) -> None:
        assert ask(zadd_incr("z", "a", 1.5)) == 1.5
        assert ask(zadd_incr("z", "a", -3)) == -1.5
        assert ask(zadd_incr("z", "a", 1, nx=True)) is None
        assert ask(zadd_incr("z", "b", 1, xx=True)) is None
        assert ask(zadd_incr("z", "a", -1, gt=True)) is None
        assert ask(zadd_incr("z", "a", -1, lt=True)) == -2.5

    def test_are_read_by_rank(self, ask: Ask) -> None:
        ask(zadd("z", {"a": 1, "b": 2, "c": 3}))
        assert ask(zrange("z", 0, -1)) == [b"a", b"b", b"c"]
        assert ask(zrange("z", 0, 0, rev=True)) == [b"c"]
        assert ask(zrange("z", -2, -1, rev=True, withscores=True)) == [(b"b", 2.0), (b"a", 1.0)]
        assert ask(zrange("nosuch", 0, -1, withscores=True)) == []

    def test_are_read_by_score(self, ask: Ask) -> None:
        ask(zadd("z", {"a": 1, "b": 2, "c": 3}))
        assert ask(zrange("z", "(1", 3, byscore=True)) == [b"b", b"c"]
        assert ask(zrange("z", math.inf, b"-inf", byscore=True, rev=True, limit=(1, -1))) == [b"b", b"a"]
        assert ask(zrange("z", 0, 9, byscore=True, limit=(0, 1), withscores=True)) == [(b"a", 1.0)]
        assert ask(zrangebyscore("z", "-inf", "(3")) == [b"a", b"b"]
        assert ask(zrangebyscore("z", 1.5, "+inf", limit=(1, 5), withscores=True)) == [(b"c", 3.0)]

    def test_are_read_by_their_bytes(self, ask: Ask) -> None:
        ask(zadd("z", dict.fromkeys(["a", "b", "c", "d"], 0)))
        assert ask(zrange("z", "[b", b"(d", bylex=True)) == [b"b", b"c"]
        assert ask(zrange("z", "+", "-", bylex=True, rev=True, limit=(1, 2))) == [b"c", b"b"]

    def test_shrink(self, ask: Ask) -> None:
        ask(zadd("z", {"a": 1, "b": 2, "c": 3, "d": 4}))
        assert ask(zpopmin("z")) == [(b"a", 1.0)]
        assert ask(zremrangebyscore("z", "(2", 3)) == 1
        assert ask(zpopmin("z", 5)) == [(b"b", 2.0), (b"d", 4.0)]
        assert ask(zpopmin("z", 5)) == []


class TestLists:
    def test_grow_and_shrink_at_both_ends(self, ask: Ask) -> None:
        assert ask(rpush("l", "c", 4)) == 2
        assert ask(lpush("l", "b", "a")) == 4
        assert ask(lrange("l")) == [b"a", b"b", b"c", b"4"]
        assert ask(lrange("l", 1, -2)) == [b"b", b"c"]
        assert (ask(lpop("l")), ask(rpop("l"))) == (b"a", b"4")
        assert ask(llen("l")) == 2
        assert ask(rpop("l", count=5)) == [b"c", b"b"]
        assert (ask(lpop("l")), ask(lpop("l", count=2)), ask(rpop("l")), ask(lrange("l"))) == (None, None, None, [])

    def test_are_cut(self, ask: Ask) -> None:
        ask(rpush("l", *range(10)))
        assert ask(ltrim("l", -3, -1)) == b"OK"
        assert ask(lpop("l", count=9)) == [b"7", b"8", b"9"]

    def test_are_waited_for(self, ask: Ask) -> None:
        ask(rpush("b", 1, 2))
        assert ask(blpop("a", "b", timeout=5)) == Popped(b"b", b"1")
        assert ask(brpop("b", "a", timeout=timedelta(seconds=5))) == Popped(b"b", b"2")
        assert ask(blpop("a", "b", timeout=0.01)) is None
        assert ask(brpop("a", timeout=1e-6)) is None
