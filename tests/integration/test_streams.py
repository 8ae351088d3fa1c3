"""Commands on streams, each with all of its options, against every server; those of groups are next door."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from streamcore import ReplyError, WrongTypeError
from streamcore.commands import (
    EntryFields,
    Removal,
    StreamEntry,
    set_,
    xack,
    xadd,
    xcfgset,
    xdel,
    xdelex,
    xgroup_create,
    xinfo_stream,
    xlen,
    xrange,
    xread,
    xreadgroup,
    xrevrange,
    xsetid,
    xtrim,
)
from streamcore.entries import StreamId
from tests.integration.asking import Both, is_refused
from tests.support.servers import ServerKind
from transports.blocking import Client

pytestmark = pytest.mark.every_server


def entry(id_: str, *flat: bytes) -> StreamEntry:
    return StreamEntry(StreamId.parse(id_), EntryFields(list(flat)))


def fill(client: Client, n: int = 5) -> None:
    """Entries 1-0 to n-0, with a field of their number."""
    client.pipeline([xadd("s", {"n": at}, id=f"{at}") for at in range(1, n + 1)])


def ids(entries: list[StreamEntry]) -> list[int]:
    return [entry.id.ms for entry in entries]


class TestXadd:
    def test_answers_the_id_that_was_asked_for_or_chosen(self, client: Client) -> None:
        assert client.execute(xadd("s", {"a": 1}, id="5-1")) == (5, 1)
        assert client.execute(xadd("s", {"a": 1}, id="5-*")) == (5, 2)
        assert client.execute(xadd("s", {"a": 1}, id=StreamId(6))) == (6, 0)
        chosen = client.execute(xadd("s", {"a": 1}))
        assert chosen is not None
        assert chosen > (1_600_000_000_000, 0)

    def test_takes_all_that_can_be_sent(self, client: Client) -> None:
        fields = {"text": "é", b"\xff": b"\x00", "int": -1, "float": 2.5, "array": bytearray(b"a"), "": ""}
        client.execute(xadd(memoryview(b"s"), {**fields, "view": memoryview(b"v")}, id="1"))
        [(_, sent)] = client.execute(xrange("s"))
        assert sent.pairs() == [
            (b"text", "é".encode()),
            (b"\xff", b"\x00"),
            (b"int", b"-1"),
            (b"float", b"2.5"),
            (b"array", b"a"),
            (b"", b""),
            (b"view", b"v"),
        ]

    def test_keeps_repeated_fields(self, client: Client) -> None:
        client.execute(xadd("s", [("a", 1), ("b", 2), ("a", 3)], id="1"))
        [(_, fields)] = client.execute(xrange("s"))
        assert fields == {b"a": b"3", b"b": b"2"}
        assert fields.pairs() == [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]

    def test_may_leave_a_missing_stream_missing(self, client: Client) -> None:
        assert client.execute(xadd("s", {"a": 1}, nomkstream=True)) is None
        assert client.execute(xlen("s")) == 0

    @pytest.mark.parametrize(
        ("options", "left"),
        [
            ({"maxlen": 3, "approximate": False}, [4, 5, 6]),
            ({"minid": "4", "approximate": False}, [4, 5, 6]),
            ({"minid": 4, "approximate": False}, [4, 5, 6]),
            ({"maxlen": 3}, [1, 2, 3, 4, 5, 6]),  # less than a node
            ({"maxlen": 3, "limit": 100}, [1, 2, 3, 4, 5, 6]),
            ({"minid": datetime(1970, 1, 2, tzinfo=UTC), "limit": 0}, []),  # whole nodes
        ],
    )
    def test_trims(self, client: Client, options: Any, left: list[int]) -> None:
        fill(client)
        client.execute(xadd("s", {"n": 6}, id="6", **options))
        assert ids(client.execute(xrange("s"))) == left

    def test_tells_why_not(self, client: Client) -> None:
        fill(client)
        with pytest.raises(ReplyError, match="equal or smaller"):
            client.execute(xadd("s", {"a": 1}, id="5"))
        client.execute(set_("text", "a"))
        with pytest.raises(WrongTypeError):
            client.execute(xadd("text", {"a": 1}))

    def test_what_becomes_of_references_is_redis_8s(self, client: Client, server_kind: ServerKind) -> None:
        asked = {refs: xadd("s", {"a": 1}, refs=refs, maxlen=9) for refs in ("keep", "delete", "acked")}
        for command in asked.values():
            if server_kind.name == "redis8":
                assert client.execute(command) is not None
            else:
                is_refused(client, command, "Redis 8.2")

    def test_repetitions_are_recognised_by_redis_8(self, client: Client, server_kind: ServerKind) -> None:
        told, guessed = xadd("s", {"a": 1}, idmp=("me", "1")), xadd("s", {"a": 1}, idmpauto="me")
        if server_kind.name != "redis8":
            is_refused(client, told, "Redis 8.6")
            is_refused(client, guessed, "Redis 8.6")
            return
        first = client.execute(told)
        assert client.execute(told) == first
        assert client.execute(xadd("s", {"b": 2}, idmp=("me", "2"))) != first
        second = client.execute(guessed)
        assert client.execute(guessed) == second != first
        assert client.execute(xlen("s")) == 3
        assert client.execute(xinfo_stream("s")).iids_duplicates == 2
        every_option = xadd("s", {"c": 3}, idmp=("me", "3"), nomkstream=True, refs="keep", maxlen=2, limit=5)
        assert client.execute(every_option) is not None


def test_deletions_are_counted(client: Client) -> None:
    fill(client)
    assert client.execute(xdel("s", "1", StreamId(3), b"4-0", "9")) == 3
    assert client.execute(xdel("nothing", "1")) == 0
    assert client.execute(xlen("s")) == 2


def test_a_deletion_with_regard_to_groups_is_redis_8s(
    client: Client, both: Both[list[Removal]], server_kind: ServerKind
) -> None:
    fill(client)
    if server_kind.name != "redis8":
        is_refused(client, xdelex("s", "1"), "Redis 8.2")
        return
    client.execute(xgroup_create("s", "g"))
    client.execute(xreadgroup("g", "c", {"s": ">"}, count=2))
    client.execute(xack("s", "g", "1"))
    answer = client.execute(xdelex("s", "1", "2", "3", refs="acked"))
    assert answer == [Removal.DELETED, Removal.KEPT, Removal.KEPT]
    assert client.execute(xdelex("s", "2", "9", refs="delete")) == [Removal.DELETED, Removal.UNKNOWN]
    assert client.execute(xdelex("s", "3", refs="keep")) == [Removal.DELETED]
    assert client.execute(xdelex("s", "4")) == [Removal.DELETED]
    assert both(xdelex("nothing", "1", "2")) == [Removal.UNKNOWN] * 2


class TestXtrim:
    @pytest.mark.parametrize(
        ("options", "trimmed"),
        [
            ({"maxlen": 2, "approximate": False}, 3),
            ({"minid": "3", "approximate": False}, 2),
            ({"minid": 3, "approximate": False}, 2),
            ({"maxlen": 2}, 0),
            ({"maxlen": 2, "limit": 1}, 0),
            ({"minid": "3", "limit": 0}, 0),
        ],
    )
    def test_answers_how_many_it_deleted(self, client: Client, options: Any, trimmed: int) -> None:
        fill(client)
        assert client.execute(xtrim("s", **options)) == trimmed
        assert client.execute(xlen("s")) == 5 - trimmed

    def test_with_regard_to_groups_is_redis_8s(self, client: Client, server_kind: ServerKind) -> None:
        fill(client)
        client.execute(xgroup_create("s", "g"))
        acked = xtrim("s", maxlen=2, approximate=False, refs="acked")
        if server_kind.name != "redis8":
            is_refused(client, acked, "Redis 8.2")
            return
        assert client.execute(acked) == 0
        assert client.execute(xtrim("s", minid="3", approximate=False, refs="keep")) == 2
        assert client.execute(xtrim("s", maxlen=0, approximate=False, refs="delete")) == 3


class TestRanges:
    @pytest.mark.parametrize(
        ("limits", "found"),
        [
            ((), [1, 2, 3, 4, 5]),
            (("2", "4"), [2, 3, 4]),
            ((b"(2-0", "(4"), [3]),
            ((StreamId(2), 4), [2, 3, 4]),
            ((2, datetime(1970, 1, 1, 0, 0, 0, 3999, tzinfo=UTC)), [2, 3]),
            (("+", "-"), []),
        ],
    )
    def test_have_ends_of_many_forms(
        self, client: Client, both: Both[list[StreamEntry]], limits: Any, found: list[int]
    ) -> None:
        fill(client)
        assert ids(both(xrange("s", *limits))) == found
        assert ids(both(xrevrange("s", *limits[::-1]))) == found[::-1]

    def test_milliseconds_alone_include_all_of_their_entries(self, client: Client) -> None:
        client.pipeline([xadd("s", {"a": 1}, id="5-1"), xadd("s", {"a": 1}, id="5-2")])
        assert len(client.execute(xrange("s", 5, 5))) == len(client.execute(xrange("s", "5", "5"))) == 2
        assert client.execute(xrange("s", "5-0", "(5")) == []

    def test_can_be_counted(self, both: Both[list[StreamEntry]], client: Client) -> None:
        fill(client)
        assert both(xrange("s", count=2)) == [entry("1", b"n", b"1"), entry("2", b"n", b"2")]
        assert both(xrevrange("s", count=1)) == [entry("5", b"n", b"5")]
        assert both(xrange("nothing")) == []


class TestXread:
    def test_begins_behind_an_id_and_with_a_moment(self, client: Client, both: Both[dict[bytes, list[Any]]]) -> None:
        fill(client)
        client.execute(xadd("t", {"a": 1}, id="1"))
        answer = both(xread({"s": "3", "t": StreamId(1), "u": 0}))
        assert answer == {b"s": [entry("4", b"n", b"4"), entry("5", b"n", b"5")]}
        assert ids(both(xread({"s": 3}))[b"s"]) == [3, 4, 5]
        assert ids(both(xread({"s": datetime(1970, 1, 1, 0, 0, 0, 5000, tzinfo=UTC)}))[b"s"]) == [5]
        assert both(xread({"s": "0", b"t": b"0"}, count=1)) == {
            b"s": [entry("1", b"n", b"1")],
            b"t": [entry("1", b"a", b"1")],
        }

    def test_answers_nothing_where_there_is_nothing(self, client: Client, both: Both[dict[bytes, list[Any]]]) -> None:
        fill(client)
        assert both(xread({"s": "$", "nothing": "0"})) == {}
        assert both(xread({"s": "$"}, block=0.002)) == {}

    def test_waits_for_the_first_entry_and_holds_up_nobody(self, client: Client) -> None:
        fill(client)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.execute, xread({"s": "$"}, block=10))
            while not waiting.done():
                client.execute(xadd("s", {"n": 6}))
            [found] = waiting.result()[b"s"]
        assert found.fields == {b"n": b"6"}

    def test_knows_the_last_entry(
        self, client: Client, both: Both[dict[bytes, list[Any]]], server_kind: ServerKind
    ) -> None:
        fill(client)
        last = xread({"s": "+"})
        if server_kind.name == "redis7":
            is_refused(client, last, "Redis 7.4 or Valkey 8.0")
        else:
            assert both(last) == {b"s": [entry("5", b"n", b"5")]}


def test_the_last_id_can_be_set(client: Client) -> None:
    fill(client)
    assert client.execute(xsetid("s", "9-1", entries_added=20, max_deleted_id=b"7")) == b"OK"
    info = client.execute(xinfo_stream("s"))
    assert (info.last_generated_id, info.entries_added, info.max_deleted_entry_id) == ((9, 1), 20, (7, 0))
    assert client.execute(xsetid("s", StreamId(10))) == b"OK"
    with pytest.raises(ReplyError, match="no such key"):
        client.execute(xsetid("nothing", "1"))


def test_the_memory_for_repetitions_can_be_set(client: Client, server_kind: ServerKind) -> None:
    fill(client)
    command = xcfgset("s", idmp_duration=60, idmp_maxsize=9)
    if server_kind.name != "redis8":
        is_refused(client, command, "Redis 8.6")
        return
    assert client.execute(command) == b"OK"
    assert client.execute(xcfgset("s", idmp_maxsize=8)) == b"OK"
    info = client.execute(xinfo_stream("s"))
    assert (info.idmp_duration, info.idmp_maxsize) == (60, 8)
