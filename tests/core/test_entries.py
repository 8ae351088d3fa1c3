from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import Batch, Entry, GroupBatch, GroupEntry, StreamId
from streamcore.errors import InvalidArgument, RemoteProtocolError

U64 = (1 << 64) - 1


class TestStreamId:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1526919030474-55", StreamId(1526919030474, 55)),
            (b"1526919030474-55", StreamId(1526919030474, 55)),
            ("7", StreamId(7, 0)),
            (b"0", StreamId(0, 0)),
            ("0-0", StreamId(0, 0)),
            ("007-08", StreamId(7, 8)),
            (f"{U64}-{U64}", StreamId(U64, U64)),
        ],
    )
    def test_parses_what_servers_write_and_people_type(self, text: str | bytes, expected: StreamId) -> None:
        assert StreamId.parse(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            *("", "-", "-1", "1-", "1-2-3", "+1", "1 ", " 1", "1_0", "1-*", "*", "$", ">", "NaN", "1e3", "0x1", "1.5"),
            *("\uff11", "\u0661-0", "1-\u00b2", b"\xff", b"1-\xb2", b"", "1\n", "1-1\x00"),
            *(str(1 << 64), f"0-{1 << 64}", "1" * 21, "0" * 5000 + "1"),
        ],
    )
    def test_refuses_everything_else_and_names_it(self, text: str | bytes) -> None:
        with pytest.raises(InvalidArgument, match="is not a stream id") as refusal:
            StreamId.parse(text)
        assert repr(text) in str(refusal.value)

    @pytest.mark.parametrize("value", [None, 5, float("nan"), ["1-0"]])
    def test_refuses_what_is_no_text(self, value: Any) -> None:
        with pytest.raises(InvalidArgument, match="is not a stream id"):
            StreamId.parse(value)

    def test_writes_itself_as_the_server_does(self) -> None:
        assert str(StreamId(15, 3)) == "15-3"
        assert bytes(StreamId(15)) == b"15-0"
        assert StreamId.parse(str(StreamId(U64, 7))) == StreamId(U64, 7)

    def test_orders_by_number_and_not_by_text(self) -> None:
        ids = [StreamId(2, 0), StreamId(10, 0), StreamId(9, 11), StreamId(9, 2), StreamId(0, U64)]
        assert sorted(ids) == [StreamId(0, U64), StreamId(2, 0), StreamId(9, 2), StreamId(9, 11), StreamId(10, 0)]

    @pytest.mark.parametrize(
        ("id_", "expected"),
        [
            (StreamId(5, 3), StreamId(5, 2)),
            (StreamId(5, 0), StreamId(4, U64)),
            (StreamId(0, 1), StreamId(0, 0)),
            (StreamId(0, 0), StreamId(0, 0)),
        ],
    )
    def test_before_is_the_next_lower_id(self, id_: StreamId, expected: StreamId) -> None:
        assert id_.before() == expected


def raw(*ids: str, **fields: bytes) -> list[Any]:
    """Entries as the decoder builds them."""
    flat = [item for name, value in (fields or {"f": b"v"}).items() for item in (name.encode(), value)]
    return [[id_.encode(), flat] for id_ in ids]


class TestEntry:
    def test_shows_stream_id_and_fields_as_bytes(self) -> None:
        [entry] = Batch[bytes](b"orders", raw("1-2", id=b"42", total=b"9.50"))
        assert (entry.stream, entry.id, entry.raw_id) == (b"orders", StreamId(1, 2), b"1-2")
        assert entry.fields == {b"id": b"42", b"total": b"9.50"}

    def test_unpacks(self) -> None:
        stream, id_, fields = Batch[str](b"orders", raw("1-2", id=b"42"), encoding="utf-8")[0]
        assert (stream, id_, fields) == ("orders", StreamId(1, 2), {"id": "42"})

    def test_decodes_names_and_values(self) -> None:
        batch = Batch[str](b"caf\xe9", [[b"1-0", [b"gr\xf6\xdfe", b"\xa3 5"]]], encoding="latin-1")
        [entry] = batch
        assert entry.stream == "café"
        assert entry.fields == {"größe": "£ 5"}
        assert entry["größe"] == "£ 5"
        assert entry[b"gr\xf6\xdfe"] == "£ 5"

    def test_a_repeated_field_keeps_all_its_values(self) -> None:
        entry = Batch[bytes](b"s", [[b"1-0", [b"tag", b"a", b"x", b"1", b"tag", b"b"]]])[0]
        assert entry.pairs() == [(b"tag", b"a"), (b"x", b"1"), (b"tag", b"b")]
        assert entry.fields[b"tag"] == entry["tag"] == b"b"

    def test_a_value_that_equals_a_field_is_not_taken_for_one(self) -> None:
        entry = Batch[bytes](b"s", [[b"1-0", [b"a", b"b", b"c", b"d"]]])[0]
        assert entry.get("b") is None
        assert entry.get("c") == b"d"

    def test_a_missing_field_is_a_key_error_or_the_default(self) -> None:
        entry = Batch[bytes](b"s", raw("1-0"))[0]
        with pytest.raises(KeyError, match="total"):
            entry["total"]
        assert entry.get("total") is None
        assert entry.get("total", b"0") == b"0"

    @pytest.mark.parametrize("encoding", [None, "utf-8"])
    def test_in_asks_for_a_field_as_the_brackets_do(self, encoding: str | None) -> None:
        entry = Batch[Any](b"s", [[b"1-0", [b"total", b"9", b"a", b"v", b"a", b"w", b"\xff", b""]]], encoding=encoding)[
            0
        ]
        assert "total" in entry
        assert b"total" in entry
        assert bytearray(b"total") in entry
        assert "a" in entry
        assert b"\xff" in entry
        for value in ("9", b"9", "v", b"v", "w", "s", b"s", entry.stream, entry.id, None):
            assert value not in entry

    def test_in_decodes_nothing(self) -> None:
        entry = Batch[str](
            b"s", [[b"rubbish", [b"\xff", b"\xff", "größe".encode("latin-1"), b"\xff"]]], encoding="latin-1"
        )[0]
        assert "größe" in entry
        assert "größer" not in entry

    def test_an_entry_of_a_group_has_its_fields_too(self) -> None:
        entry = Inbox().batch("1-0")[0]
        assert "f" in entry
        assert "v" not in entry

    def test_a_field_that_the_encoding_cannot_write_is_missing(self) -> None:
        entry = Batch[str](b"s", raw("1-0"), encoding="ascii")[0]
        assert "größe" not in entry
        assert "\ud800" not in entry
        assert entry.get("größe") is None
        assert entry.get("\ud800") is None

    def test_decoding_is_lazy(self) -> None:
        entry = Batch[str](b"s", raw("1-0", good=b"yes", bad=b"\xff"), encoding="utf-8")[0]
        assert entry.id == StreamId(1, 0)
        assert entry["good"] == "yes"
        with pytest.raises(UnicodeDecodeError):
            entry["bad"]
        with pytest.raises(UnicodeDecodeError):
            _ = entry.fields

    def test_the_id_is_parsed_only_when_asked_for(self) -> None:
        entry = Batch[bytes](b"s", [[b"rubbish", [b"a", b"b"]]])[0]
        assert entry["a"] == b"b"
        with pytest.raises(RemoteProtocolError):
            _ = entry.id

    @pytest.mark.parametrize("fields", [None, 5, [b"a"], [b"a", 1, b"b"], b"ab", [[], []]])
    def test_fields_that_are_none_are_the_servers_fault(self, fields: Any) -> None:
        batch: Batch[str] = Batch(b"s", [[b"1-0", fields]], encoding="utf-8")
        batch.check()
        for look in (lambda: batch[0].fields, batch[0].pairs, lambda: [*batch[0]]):
            with pytest.raises(RemoteProtocolError):
                look()
        assert "fields=" in repr(batch[0])

    def test_so_is_a_field_that_cannot_be_looked_for(self) -> None:
        for fields in (None, 5):
            [entry] = Batch[bytes](b"s", [[b"1-0", fields]])
            with pytest.raises(RemoteProtocolError):
                _ = entry["a"]
            with pytest.raises(RemoteProtocolError):
                _ = "a" in entry

    @pytest.mark.parametrize("entry", [None, 1, [b"1-0"], [None, []], [5, []], [[], []], "text", [b"1-0", [], 1]])
    def test_a_batch_of_what_are_no_entries_is_the_servers_fault(self, entry: Any) -> None:
        with pytest.raises(RemoteProtocolError):
            Batch[bytes](b"s", [[b"1-0", []], entry]).check()

    def test_repr_tells_everything_and_never_fails(self) -> None:
        entry = Batch[bytes](b"s", raw("1-0", total=b"9"))[0]
        assert repr(entry) == "Entry(stream=b's', id=1-0, fields={b'total': b'9'})"
        broken = Batch[str](b"s\xff", raw("1-0", total=b"\xfe"), encoding="utf-8")
        assert repr(broken[0]) == r"Entry(stream='s\\xff', id=1-0, fields={'total': '\\xfe'})"
        assert repr(broken) == r"Batch(stream='s\\xff', 1 entries, 1-0 to 1-0)"


class TestBatch:
    def test_is_a_sequence_of_entries(self) -> None:
        batch = Batch[bytes](b"s", raw("1-0", "2-0", "3-0"))
        assert len(batch) == 3
        assert [entry.raw_id for entry in batch] == batch.ids == [b"1-0", b"2-0", b"3-0"]
        assert batch[-1].raw_id == b"3-0"
        assert type(batch[0]) is Entry
        assert [entry.raw_id for entry in reversed(batch)] == [b"3-0", b"2-0", b"1-0"]
        with pytest.raises(IndexError):
            batch[3]

    def test_slices_are_entries(self) -> None:
        batch = Batch[bytes](b"s", raw("1-0", "2-0", "3-0"))
        assert [entry.raw_id for entry in batch[1:]] == [b"2-0", b"3-0"]
        assert [entry.raw_id for entry in batch[::-2]] == [b"3-0", b"1-0"]
        assert list(batch[3:]) == []

    def test_repr_tells_the_span(self) -> None:
        assert repr(Batch[bytes](b"s", raw("1-0", "2-0"))) == "Batch(stream=b's', 2 entries, 1-0 to 2-0)"
        assert repr(Batch[bytes](b"s", [])) == "Batch(stream=b's', 0 entries)"

    def test_nothing_can_be_attached_to_views(self) -> None:
        batch = Batch[bytes](b"s", raw("1-0"))
        for view in (batch, batch[0]):
            with pytest.raises(AttributeError):
                view.extra = 1  # type: ignore[union-attr]


class Inbox:
    """The engine's side of some batches: what was noted, and how often."""

    def __init__(self) -> None:
        self.noted: list[GroupBatch[Any]] = []

    def batch(self, *ids: str, size: int = 0) -> GroupBatch[bytes]:
        return GroupBatch(b"s", raw(*ids), inbox=self.noted.append, size=size)


class TestGroupBatch:
    def test_hands_out_entries_that_can_be_acknowledged(self) -> None:
        batch = Inbox().batch("1-0", "2-0")
        assert [type(entry) for entry in (*batch, batch[0], *batch[:1])] == [GroupEntry] * 4
        assert repr(batch) == "GroupBatch(stream=b's', 2 entries, 1-0 to 2-0)"

    def test_notes_itself_once_however_many_entries_are_acknowledged(self) -> None:
        inbox = Inbox()
        batch = inbox.batch("1-0", "2-0", "3-0")
        for entry in batch:
            entry.ack()
        assert inbox.noted == [batch]
        assert batch.collect() == [b"1-0", b"2-0", b"3-0"]

    def test_notes_itself_again_after_a_collection(self) -> None:
        inbox = Inbox()
        batch = inbox.batch("1-0", "2-0")
        batch[0].ack()
        batch.collect()
        batch[1].ack()
        assert inbox.noted == [batch, batch]
        assert batch.collect() == [b"2-0"]

    def test_the_whole_batch_at_once(self) -> None:
        inbox = Inbox()
        batch = inbox.batch("1-0", "2-0")
        assert not batch.settled
        batch.ack()
        assert inbox.noted == [batch]
        assert batch.collect() == batch.ids
        assert batch.settled

    def test_acknowledging_twice_is_acknowledging_once(self) -> None:
        batch = Inbox().batch("1-0", "2-0")
        batch[0].ack()
        batch[0].ack()
        assert batch.collect() == [b"1-0"]
        batch[0].ack()
        assert batch.collect() == []
        batch.ack()
        batch.ack()
        assert batch.collect() == [b"2-0"]
        assert batch.collect() == []
        assert batch.settled

    def test_the_whole_batch_twice_before_a_collection(self) -> None:
        batch = Inbox().batch("1-0", "2-0")
        batch.ack()
        batch.ack()
        assert batch.collect() == batch.ids

    def test_in_any_order(self) -> None:
        batch = Inbox().batch("1-0", "2-0", "3-0")
        for at in (2, 0):
            batch[at].ack()
        assert batch.collect() == [b"3-0", b"1-0"]
        assert not batch.settled
        batch[1].ack()
        assert batch.collect() == [b"2-0"]
        assert batch.settled

    def test_entries_keep_working_when_the_batch_is_iterated_again(self) -> None:
        batch = Inbox().batch("1-0")
        first, again = [*batch, *batch]
        first.ack()
        again.ack()
        assert batch.collect() == [b"1-0"]


class TestSplit:
    def test_the_rest_is_a_batch_of_its_own(self) -> None:
        batch = Inbox().batch("1-0", "2-0", "3-0", size=90)
        rest = batch.split(1)
        assert (batch.ids, batch.size) == ([b"1-0"], 30)
        assert (rest.ids, rest.size) == ([b"2-0", b"3-0"], 60)
        rest.ack()
        assert (batch.collect(), rest.collect()) == ([], [b"2-0", b"3-0"])
        assert (batch.settled, rest.settled) == (False, True)

    def test_each_part_is_settled_by_itself(self) -> None:
        batch = Inbox().batch("1-0", "2-0", "3-0")
        batch[0].ack()
        assert batch.collect() == [b"1-0"]
        rest = batch.split(2)
        batch[1].ack()
        assert batch.collect() == [b"2-0"]
        assert (batch.settled, rest.settled) == (True, False)

    def test_what_is_settled_stays_so(self) -> None:
        batch = Inbox().batch("1-0", "2-0")
        batch.ack()
        batch.collect()
        rest = batch.split(1)
        assert batch.settled
        assert rest.settled
        rest.ack()
        assert rest.collect() == []

    @pytest.mark.parametrize("at", [0, 2])
    def test_a_part_may_be_empty(self, at: int) -> None:
        batch = Inbox().batch("1-0", "2-0")
        rest = batch.split(at)
        assert [part.settled for part in (batch, rest)] == [at == 0, at == 2]
        for part in (batch, rest):
            part.ack()
        assert batch.collect() + rest.collect() == [b"1-0", b"2-0"]


def test_a_batch_forgets_what_is_not_ours_any_more() -> None:
    batch = GroupBatch[bytes](b"s", [[b"1-0", []], [b"2-0", []], [b"3-0", []]], inbox=lambda batch: None)
    assert batch.forget({b"2-0", b"9-0"}) == 1
    assert batch.forget({b"2-0", b"3-0"}) == 1
    batch.ack()
    assert batch.collect() == [b"1-0"]


def test_an_interrupted_note_is_made_again_by_the_next_ack() -> None:
    noted = []

    def inbox(batch: GroupBatch[bytes]) -> None:
        noted.append(batch)
        if len(noted) == 1:
            raise KeyboardInterrupt

    batch = GroupBatch[bytes](b"s", [[b"1-0", []], [b"2-0", []]], inbox=inbox)
    with pytest.raises(KeyboardInterrupt):
        batch[0].ack()
    batch[1].ack()
    assert len(noted) == 2
    assert batch.collect() == [b"1-0", b"2-0"]
