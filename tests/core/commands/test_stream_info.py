from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from streamcore.commands import (
    Command,
    ConsumerFullInfo,
    ConsumerInfo,
    EntryFields,
    GroupFullInfo,
    GroupInfo,
    PendingDelivery,
    StreamEntry,
    StreamFullInfo,
    StreamInfo,
    xinfo_consumers,
    xinfo_groups,
    xinfo_stream,
    xinfo_stream_full,
)
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument


def flat(reply: Any) -> Any:
    """What RESP2 makes of maps."""
    match reply:
        case dict():
            return [flat(item) for pair in reply.items() for item in pair]
        case list():
            return [flat(item) for item in reply]
        case _:
            return reply


# As the servers sent them, Redis 7.0 first.
COUNTERS: dict[bytes, Any] = {
    b"length": 2,
    b"radix-tree-keys": 1,
    b"radix-tree-nodes": 2,
    b"last-generated-id": b"3-1",
    b"max-deleted-entry-id": b"1-1",
    b"entries-added": 3,
    b"recorded-first-entry-id": b"2-1",
}
IDMP: dict[bytes, Any] = {
    b"idmp-duration": 100,
    b"idmp-maxsize": 90,
    b"pids-tracked": 1,
    b"iids-tracked": 2,
    b"iids-added": 3,
    b"iids-duplicates": 4,
}
ENDS: dict[bytes, Any] = {b"groups": 1, b"first-entry": [b"2-1", [b"b", b"2"]], b"last-entry": [b"3-1", [b"c", b"3"]]}
GROUP: dict[bytes, Any] = {b"name": b"g", b"consumers": 2, b"pending": 2, b"last-delivered-id": b"2-1"}
FULL_GROUP: dict[bytes, Any] = {
    b"name": b"g",
    b"last-delivered-id": b"2-1",
    b"entries-read": 2,
    b"lag": 1,
    b"pel-count": 2,
    b"pending": [[b"1-1", b"me", 1_500, 1]],
    b"consumers": [
        {b"name": b"me", b"seen-time": 2_500, b"pel-count": 2, b"pending": [[b"1-1", 1_500, 1]]},
        {b"name": b"you", b"seen-time": 2_500, b"active-time": -1, b"pel-count": 0, b"pending": []},
    ],
}

KNOWN: Any = {
    "length": 2,
    "radix_tree_keys": 1,
    "radix_tree_nodes": 2,
    "last_generated_id": StreamId(3, 1),
    "max_deleted_entry_id": StreamId(1, 1),
    "entries_added": 3,
    "recorded_first_entry_id": StreamId(2, 1),
}
FIRST, LAST = (
    StreamEntry(StreamId(2, 1), EntryFields([b"b", b"2"])),
    StreamEntry(StreamId(3, 1), EntryFields([b"c", b"3"])),
)
MINE = PendingDelivery(StreamId(1, 1), b"me", 1.5, 1)


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (xinfo_stream("s"), ("XINFO", "STREAM", b"s")),
        (xinfo_stream_full("s"), ("XINFO", "STREAM", b"s", "FULL")),
        (xinfo_stream_full("s", count=0), ("XINFO", "STREAM", b"s", "FULL", "COUNT", 0)),
        (xinfo_groups("s"), ("XINFO", "GROUPS", b"s")),
        (xinfo_consumers("s", "g"), ("XINFO", "CONSUMERS", b"s", b"g")),
    ],
)
def test_what_is_sent(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert command.args == sent
    assert command.keys == (b"s",)
    assert command.repeatable


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (
            xinfo_stream("s"),
            {**COUNTERS, **ENDS},
            StreamInfo(**KNOWN, groups=1, first_entry=FIRST, last_entry=LAST, other={}),
        ),
        (
            xinfo_stream("s"),
            {**COUNTERS, b"groups": 0, b"first-entry": None, b"last-entry": None},
            StreamInfo(**KNOWN, groups=0, other={}),
        ),
        (
            xinfo_stream("s"),
            {**COUNTERS, **IDMP, **ENDS},
            StreamInfo(
                **KNOWN,
                groups=1,
                first_entry=FIRST,
                last_entry=LAST,
                idmp_duration=100,
                idmp_maxsize=90,
                pids_tracked=1,
                iids_tracked=2,
                iids_added=3,
                iids_duplicates=4,
                other={},
            ),
        ),
        (
            xinfo_stream_full("s"),
            {**COUNTERS, b"entries": [ENDS[b"first-entry"]], b"groups": [FULL_GROUP]},
            StreamFullInfo(
                **KNOWN,
                entries=[FIRST],
                groups=[
                    GroupFullInfo(
                        name=b"g",
                        last_delivered_id=StreamId(2, 1),
                        entries_read=2,
                        lag=1,
                        pel_count=2,
                        pending=[MINE],
                        consumers=[
                            ConsumerFullInfo(name=b"me", seen_time=2.5, pel_count=2, pending=[MINE], other={}),
                            ConsumerFullInfo(name=b"you", seen_time=2.5, pel_count=0, pending=[], other={}),
                        ],
                        other={},
                    )
                ],
                other={},
            ),
        ),
        (xinfo_groups("s"), [], []),
        (
            xinfo_groups("s"),
            [{**GROUP, b"entries-read": 2, b"lag": 1}, {**GROUP, b"entries-read": None, b"lag": None}],
            [
                GroupInfo(
                    name=b"g",
                    consumers=2,
                    pending=2,
                    last_delivered_id=StreamId(2, 1),
                    entries_read=2,
                    lag=1,
                    other={},
                ),
                GroupInfo(name=b"g", consumers=2, pending=2, last_delivered_id=StreamId(2, 1), other={}),
            ],
        ),
        (
            xinfo_consumers("s", "g"),
            [
                {b"name": b"me", b"pending": 2, b"idle": 1_500, b"inactive": 2_000},
                {b"name": b"you", b"pending": 0, b"idle": 0, b"inactive": -1},
                {b"name": b"old", b"pending": 0, b"idle": 1},
            ],
            [
                ConsumerInfo(name=b"me", pending=2, idle=1.5, inactive=2.0, other={}),
                ConsumerInfo(name=b"you", pending=0, idle=0.0, other={}),
                ConsumerInfo(name=b"old", pending=0, idle=0.001, other={}),
            ],
        ),
    ],
)
def test_maps_and_flat_lists_mean_the_same(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer
    assert command.parse(flat(reply)) == answer


def test_what_a_newer_server_tells_is_kept_under_its_name() -> None:
    parse = xinfo_groups("s").parse
    assert parse is not None
    [group] = parse([{**GROUP, b"mood": b"good", b"other": 5}])
    assert group.other == {b"mood": b"good", b"other": 5}


def test_redis_8_8_tells_what_was_given_back_by_xnack() -> None:
    given_back = {**FULL_GROUP, b"nacked-count": 1, b"pending": [[b"1-1", b"", 0, 1]]}
    parse = xinfo_stream_full("s").parse
    assert parse is not None
    info = parse({**COUNTERS, b"entries": [], b"groups": [given_back]})
    assert info.groups[0].nacked_count == 1
    assert info.groups[0].pending == [PendingDelivery(StreamId(1, 1), b"", 0.0, 1)]


@pytest.mark.parametrize("kind", [StreamInfo, StreamFullInfo, GroupInfo, GroupFullInfo, ConsumerInfo, ConsumerFullInfo])
def test_answers_cannot_be_changed_and_have_no_dict(kind: Any) -> None:
    info = kind(**dict.fromkeys(kind.__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        info.other = {}
    assert not hasattr(info, "__dict__")


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="count must be at least 0"):
        xinfo_stream_full("s", count=-1)
