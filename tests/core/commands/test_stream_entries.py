from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from math import inf

import pytest

from streamcore.commands import DeliveredEntry, EntryFields, StreamEntry
from streamcore.commands.stream_entries import by_stream, delivered, delivered_by_stream, entries
from streamcore.entries import StreamId

TWICE = [b"a", b"1", b"b", b"2", b"a", b"3"]


def test_an_entry_unpacks_and_its_fields_are_a_dict() -> None:
    [(id_, fields)] = entries([[b"5-1", [b"a", b"1", b"b", b"2"]]])
    assert id_ == StreamId(5, 1)
    assert fields == {b"a": b"1", b"b": b"2"}
    assert repr(fields) == "{b'a': b'1', b'b': b'2'}"


def test_repeated_fields_are_not_lost() -> None:
    fields = EntryFields(TWICE)
    assert fields == {b"a": b"3", b"b": b"2"}, "the last value, as in Entry.fields"
    assert fields.pairs() == [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda fields: pickle.loads(pickle.dumps(fields))])
def test_fields_survive_copying_and_pickling(again: Callable[[EntryFields], EntryFields]) -> None:
    copied = again(EntryFields(TWICE))
    assert copied == EntryFields(TWICE)
    assert copied.pairs() == EntryFields(TWICE).pairs()


def test_fields_without_a_value_are_no_entry() -> None:
    with pytest.raises(ValueError, match="shorter"):
        entries([[b"5-1", [b"a", b"1", b"b"]]])


def test_an_entry_that_is_deleted_has_no_fields() -> None:
    assert delivered([[b"1-0", None], [b"2-0", [b"a", b"1"]]]) == [
        DeliveredEntry(StreamId(1), None, None, None),
        DeliveredEntry(StreamId(2), EntryFields([b"a", b"1"]), None, None),
    ]


def test_a_claiming_read_tells_how_long_and_how_often() -> None:
    flat = [b"a", b"1"]
    [old, new, given_back] = delivered([[b"1-0", flat, 1500, 2], [b"2-0", flat, 0, 0], [b"3-0", flat, -1, 1]])
    assert (old.idle, old.deliveries) == (1.5, 2)
    assert (new.idle, new.deliveries) == (0, 0)
    assert (given_back.idle, given_back.deliveries) == (inf, 1)


def test_streams_come_as_a_map_or_as_pairs_and_a_null_has_none() -> None:
    found = [[b"1-0", [b"a", b"1"]]]
    entry = StreamEntry(StreamId(1), EntryFields([b"a", b"1"]))
    for reply in ({b"s": found, b"t": []}, [[b"s", found], [b"t", []]]):
        assert by_stream(reply) == {b"s": [entry], b"t": []}
        assert delivered_by_stream(reply) == {b"s": [DeliveredEntry(*entry)], b"t": []}
    assert by_stream(None) == {}
    assert delivered_by_stream(None) == {}
