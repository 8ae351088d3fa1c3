"""Commands of consumer groups, each with all of its options, against every server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streamcore import BusyGroupError, NoGroupError, ReplyError
from streamcore.commands import (
    ConsumerInfo,
    DeliveredEntry,
    EntryFields,
    PendingDelivery,
    PendingEntry,
    PendingSummary,
    Removal,
    xack,
    xackdel,
    xadd,
    xautoclaim,
    xautoclaim_justid,
    xclaim,
    xclaim_justid,
    xdel,
    xgroup_create,
    xgroup_createconsumer,
    xgroup_delconsumer,
    xgroup_destroy,
    xgroup_setid,
    xinfo_consumers,
    xinfo_groups,
    xinfo_stream,
    xinfo_stream_full,
    xlen,
    xnack,
    xpending,
    xpending_range,
    xreadgroup,
)
from streamcore.entries import StreamId
from tests.integration.asking import Both, is_refused
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.blocking import Client

pytestmark = pytest.mark.every_server

ONE, TWO, THREE = StreamId(1), StreamId(2), StreamId(3)


def entry(number: int) -> DeliveredEntry:
    return DeliveredEntry(StreamId(number), EntryFields([b"n", b"%d" % number]))


@pytest.fixture(autouse=True)
def _stream(client: Client) -> None:
    """Entries 1-0 to 3-0 and a group that has read none of them."""
    client.pipeline([*(xadd("s", {"n": at}, id=f"{at}") for at in (1, 2, 3)), xgroup_create("s", "g")])


def read(client: Client, consumer: str, count: int | None = None) -> list[DeliveredEntry]:
    return client.execute(xreadgroup("g", consumer, {"s": ">"}, count=count)).get(b"s", [])


def owners(client: Client) -> dict[int, bytes]:
    return {pending.id.ms: pending.consumer for pending in client.execute(xpending_range("s", "g", count=10))}


class TestXgroup:
    def test_creates_and_destroys(self, client: Client) -> None:
        with pytest.raises(BusyGroupError):
            client.execute(xgroup_create("s", "g"))
        assert client.execute(xgroup_create("s", "late", start="$", entries_read=3)) == b"OK"
        assert client.execute(xreadgroup("late", "c", {"s": ">"})) == {}
        assert client.execute(xgroup_create("s", "inclusive", start=2)) == b"OK"
        assert client.execute(xreadgroup("inclusive", "c", {"s": ">"})) == {b"s": [entry(2), entry(3)]}
        assert client.execute(xgroup_create("new", "g")) == b"OK"
        with pytest.raises(ReplyError, match="key to exist"):
            client.execute(xgroup_create("nothing", "g", mkstream=False))
        assert client.execute(xgroup_destroy("s", "late")) is True
        assert client.execute(xgroup_destroy("s", "late")) is False

    def test_moves_the_position(self, client: Client) -> None:
        read(client, "c")
        assert client.execute(xgroup_setid("s", "g", "2", entries_read=2)) == b"OK"
        assert read(client, "c") == [entry(3)]
        assert client.execute(xgroup_setid("s", "g", "0")) == b"OK"
        assert client.execute(xgroup_setid("s", "g", "$")) == b"OK"
        assert read(client, "c") == []
        with pytest.raises(NoGroupError):
            client.execute(xgroup_setid("s", "none", "0"))

    def test_creates_and_deletes_consumers(self, client: Client) -> None:
        assert client.execute(xgroup_createconsumer("s", "g", "c")) is True
        assert client.execute(xgroup_createconsumer("s", "g", "c")) is False
        read(client, "c", 2)
        assert client.execute(xgroup_delconsumer("s", "g", "c")) == 2
        assert client.execute(xpending("s", "g")).entries == 0


class TestXreadgroup:
    def test_delivers_new_entries_once(self, client: Client) -> None:
        assert read(client, "a", 1) == [entry(1)]
        assert read(client, "b") == [entry(2), entry(3)]
        assert read(client, "a") == []
        assert client.execute(xreadgroup("g", "a", {"s": ">"}, block=0.002)) == {}

    def test_delivers_what_is_pending_again(self, client: Client, both: Both[Any]) -> None:
        read(client, "a")
        assert both(xreadgroup("g", "a", {"s": "1"}, count=1)) == {b"s": [entry(2)]}
        assert both(xreadgroup("g", "a", {"s": 2})) == {b"s": [entry(2), entry(3)]}
        assert both(xreadgroup("g", "b", {"s": "0"}, block=1)) == {b"s": []}

    def test_tells_what_was_deleted_meanwhile(self, client: Client, both: Both[Any]) -> None:
        read(client, "a", 2)
        client.execute(xdel("s", "1"))
        assert both(xreadgroup("g", "a", {"s": "0"})) == {b"s": [DeliveredEntry(ONE, None), entry(2)]}

    def test_reads_several_streams(self, client: Client, resp2: Raw) -> None:
        client.pipeline([xadd("t", {"n": 1}, id="1"), xgroup_create("t", "g")])
        command = xreadgroup("g", "a", {"s": ">", b"t": ">"}, count=1)
        assert client.execute(command) == {b"s": [entry(1)], b"t": [entry(1)]}
        assert command.parse is not None
        assert command.parse(resp2(*command.args)) == {b"s": [entry(2)]}  # type: ignore[arg-type]  # no buffers here

    def test_may_forget_at_once(self, client: Client) -> None:
        assert client.execute(xreadgroup("g", "a", {"s": ">"}, noack=True))[b"s"] == [entry(1), entry(2), entry(3)]
        assert client.execute(xpending("s", "g")).entries == 0

    def test_needs_its_group(self, client: Client) -> None:
        with pytest.raises(NoGroupError):
            client.execute(xreadgroup("none", "a", {"s": ">"}))

    def test_takes_over_what_is_pending_on_redis_8(
        self, client: Client, both: Both[Any], server_kind: ServerKind
    ) -> None:
        read(client, "a", 1)
        command = xreadgroup("g", "b", {"s": ">"}, claim=0, block=1)
        if server_kind.name != "redis8":
            is_refused(client, command, "Redis 8.4")
            return
        claimed, new, _ = client.execute(command)[b"s"]
        assert claimed.idle is not None
        assert 0 <= claimed.idle < 5
        assert claimed == entry(1)._replace(idle=claimed.idle, deliveries=1)
        assert new == entry(2)._replace(idle=0, deliveries=0)
        assert both(xreadgroup("g", "b", {"s": ">"}, claim=60, count=5)) == {}


def test_acknowledgements_are_counted(client: Client) -> None:
    read(client, "a")
    assert client.execute(xack("s", "g", "1", TWO, b"9-0")) == 2
    assert client.execute(xack("s", "none", "3")) == 0
    assert owners(client) == {3: b"a"}


def test_to_acknowledge_and_delete_is_redis_8s(client: Client, server_kind: ServerKind) -> None:
    client.execute(xgroup_create("s", "other"))
    read(client, "a")
    command = xackdel("s", "g", "1", "9", refs="acked")
    if server_kind.name != "redis8":
        is_refused(client, command, "Redis 8.2")
        return
    assert client.execute(command) == [Removal.KEPT, Removal.UNKNOWN], "another group has not read it"
    assert client.execute(xackdel("s", "g", "2", refs="keep")) == [Removal.DELETED]
    assert client.execute(xackdel("s", "g", "3")) == [Removal.DELETED]
    assert client.execute(xackdel("s", "none", "1", refs="delete")) == [Removal.UNKNOWN]
    assert (client.execute(xlen("s")), owners(client)) == (1, {})


@pytest.mark.parametrize("mode", ["silent", "fail", "fatal"])
def test_to_give_back_is_redis_8_8s(client: Client, mode: Any) -> None:
    read(client, "a")
    is_refused(client, xnack("s", "g", "1", mode=mode, retrycount=1, force=True), "Redis 8.8")


class TestXpending:
    def test_summarises(self, client: Client, both: Both[PendingSummary]) -> None:
        assert both(xpending("s", "g")) == (0, None, None, {})
        read(client, "a", 2)
        read(client, "b")
        assert both(xpending("s", "g")) == (3, ONE, THREE, {b"a": 2, b"b": 1})
        with pytest.raises(NoGroupError):
            client.execute(xpending("s", "none"))

    def test_lists(self, client: Client, resp2: Raw) -> None:
        read(client, "a", 2)
        read(client, "b")
        commands = [
            (xpending_range("s", "g", count=10), [1, 2, 3]),
            (xpending_range("s", "g", count=2), [1, 2]),
            (xpending_range("s", "g", "(1", 2, count=10), [2]),
            (xpending_range("s", "g", count=10, consumer="b"), [3]),
            (xpending_range("s", "g", count=10, consumer="nobody"), []),
            (xpending_range("s", "g", count=10, idle=0), [1, 2, 3]),
            (xpending_range("s", "g", count=10, idle=60, consumer="a"), []),
        ]
        for command, found in commands:
            answer = client.execute(command)
            assert [pending.id.ms for pending in answer] == found
            assert command.parse is not None
            again = command.parse(resp2(*command.args))  # type: ignore[arg-type]  # no buffers here
            assert [pending._replace(idle=0.0) for pending in again] == [each._replace(idle=0.0) for each in answer]
        [pending] = client.execute(xpending_range("s", "g", count=1))
        assert pending == PendingEntry(ONE, b"a", pending.idle, 1)
        assert 0 <= pending.idle < 5


class TestXclaim:
    def test_makes_another_consumer_the_owner(self, client: Client, both: Both[Any]) -> None:
        read(client, "a", 2)
        assert client.execute(xclaim("s", "g", "b", "1", "3", min_idle=60)) == []
        assert both(xclaim("s", "g", "b", "1", "3", min_idle=0)) == [entry(1)]
        assert both(xclaim_justid("s", "g", "b", "1", "2", min_idle=0)) == [ONE, TWO]
        assert owners(client) == {1: b"b", 2: b"b"}
        with pytest.raises(NoGroupError):
            client.execute(xclaim("s", "none", "b", "1", min_idle=0))

    def test_drops_what_was_deleted(self, client: Client) -> None:
        read(client, "a", 2)
        client.execute(xdel("s", "1"))
        assert client.execute(xclaim("s", "g", "b", "1", "2", min_idle=0)) == [entry(2)]
        assert owners(client) == {2: b"b"}

    def test_sets_what_is_known_of_the_delivery(self, client: Client) -> None:
        client.execute(xclaim("s", "g", "b", "1", min_idle=0, idle=100, retrycount=7, force=True, lastid="2"))
        [pending] = client.execute(xpending_range("s", "g", count=5))
        assert (pending.id, pending.consumer, pending.deliveries) == (ONE, b"b", 7)
        assert 100 <= pending.idle < 110
        assert client.execute(xinfo_groups("s"))[0].last_delivered_id == TWO
        moment = datetime(2025, 1, 1, tzinfo=UTC)
        client.execute(xclaim_justid("s", "g", "b", "1", min_idle=0, time=moment))
        [group] = client.execute(xinfo_stream_full("s")).groups
        assert group.pending == [PendingDelivery(ONE, b"b", moment.timestamp(), 7)]
        client.execute(xclaim_justid("s", "g", "b", "1", min_idle=0, time=moment.timestamp() + 0.001))
        [group] = client.execute(xinfo_stream_full("s")).groups
        assert group.pending[0].time == pytest.approx(moment.timestamp() + 0.001, abs=1e-6)


class TestXautoclaim:
    def test_claims_page_by_page(self, client: Client) -> None:
        read(client, "a")
        assert client.execute(xautoclaim("s", "g", "b", min_idle=60)) == ((0, 0), [], [])
        assert client.execute(xautoclaim("s", "g", "b", min_idle=0, count=2)) == (THREE, [entry(1), entry(2)], [])
        assert client.execute(xautoclaim("s", "g", "b", min_idle=0, start=THREE)) == ((0, 0), [entry(3)], [])
        assert client.execute(xautoclaim_justid("s", "g", "c", min_idle=0, start="(1")) == ((0, 0), [TWO, THREE], [])
        assert owners(client) == {1: b"b", 2: b"c", 3: b"c"}

    def test_tells_what_was_gone(self, client: Client, resp2: Raw) -> None:
        read(client, "a")
        client.execute(xdel("s", "1"))
        assert client.execute(xautoclaim("s", "g", "b", min_idle=0)) == ((0, 0), [entry(2), entry(3)], [ONE])
        client.execute(xdel("s", "2"))
        command = xautoclaim_justid("s", "g", "b", min_idle=0)
        assert command.parse is not None
        assert command.parse(resp2(*command.args)) == ((0, 0), [THREE], [TWO])  # type: ignore[arg-type]  # no buffers here


class TestXinfo:
    def test_of_a_stream(self, client: Client, both: Both[Any], server_kind: ServerKind) -> None:
        client.execute(xdel("s", "1"))
        info = both(xinfo_stream("s"))
        assert (info.length, info.groups, info.entries_added) == (2, 1, 3)
        assert (info.last_generated_id, info.max_deleted_entry_id, info.recorded_first_entry_id) == (THREE, ONE, TWO)
        assert (info.first_entry, info.last_entry) == (entry(2)[:2], entry(3)[:2])
        assert info.other == {}
        assert (info.idmp_duration, info.iids_added) == ((100, 0) if server_kind.name == "redis8" else (None, None))
        client.execute(xdel("s", "2", "3"))
        empty = both(xinfo_stream("s"))
        assert (empty.length, empty.first_entry, empty.last_entry) == (0, None, None)
        with pytest.raises(ReplyError, match="no such key"):
            client.execute(xinfo_stream("nothing"))

    def test_of_a_stream_in_full(self, client: Client, both: Both[Any], server_kind: ServerKind) -> None:
        read(client, "a", 2)
        client.execute(xgroup_createconsumer("s", "g", "b"))
        info = both(xinfo_stream_full("s"))
        assert info.entries == [entry(n)[:2] for n in (1, 2, 3)]
        [group] = info.groups
        assert (group.name, group.last_delivered_id, group.entries_read, group.lag) == (b"g", TWO, 2, 1)
        assert (group.pel_count, group.nacked_count) == (2, None)
        assert [(each.id, each.consumer, each.deliveries) for each in group.pending] == [(ONE, b"a", 1), (TWO, b"a", 1)]
        a, b = group.consumers
        assert (a.name, a.pel_count, a.pending) == (b"a", 2, group.pending)
        assert (b.name, b.pel_count, b.pending, b.active_time) == (b"b", 0, [], None)
        assert abs(a.seen_time - group.pending[0].time) < 5
        assert (a.active_time is None) == (server_kind.name == "redis7")
        assert [told.other for told in (info, group, a, b)] == [{}] * 4
        short = both(xinfo_stream_full("s", count=1))
        assert (len(short.entries), len(short.groups[0].pending), short.groups[0].pel_count) == (1, 1, 2)
        assert len(both(xinfo_stream_full("s", count=0)).entries) == 3

    def test_of_groups(self, client: Client, both: Both[Any]) -> None:
        read(client, "a", 1)
        client.execute(xgroup_create("s", "middle", start="2"))
        first, middle = both(xinfo_groups("s"))
        assert (first.name, first.consumers, first.pending, first.last_delivered_id) == (b"g", 1, 1, ONE)
        assert (first.entries_read, first.lag) == (1, 2)
        assert (middle.name, middle.entries_read, middle.other) == (b"middle", None, {})
        client.execute(xdel("s", "2"))
        assert both(xinfo_groups("s"))[0].lag is None

    def test_of_consumers(self, client: Client, resp2: Raw, server_kind: ServerKind) -> None:
        read(client, "a", 1)
        client.execute(xgroup_createconsumer("s", "g", "b"))
        command = xinfo_consumers("s", "g")
        assert command.parse is not None
        for answer in (client.execute(command), command.parse(resp2(*command.args))):  # type: ignore[arg-type]  # no buffers here
            a, b = answer
            assert a == ConsumerInfo(name=b"a", pending=1, idle=a.idle, inactive=a.inactive, other={})
            assert 0 <= a.idle < 5
            assert (a.inactive is None) == (server_kind.name == "redis7")
            assert (b.name, b.pending, b.inactive) == (b"b", 0, None)
        with pytest.raises(NoGroupError):
            client.execute(xinfo_consumers("s", "none"))
