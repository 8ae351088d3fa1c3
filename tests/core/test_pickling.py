"""What is a value may go to another process; what belongs to this one says what to do instead."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

from streamcore import commands, errors, events
from streamcore.channels import ChannelMessage
from streamcore.consumer.consumer import Consumer
from streamcore.engine.engine import Engine
from streamcore.entries import Batch, Entry, GroupBatch, StreamId
from streamcore.group.consumer import GroupConsumer
from streamcore.options import Address, Login, MemoryAddress, Options, UnixAddress
from streamcore.process_bound import ProcessBound
from streamcore.producer.durability import Disk, NotDurable, Replicas
from streamcore.producer.producer import Producer
from streamcore.pubsub import KeyEvent, Message, PubSub
from streamcore.requests import Multiplexer
from streamcore.testing.pair import Pair

WAYS: dict[str, Callable[[Any], Any]] = {
    "pickled": lambda value: pickle.loads(pickle.dumps(value)),
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
}
every_way = pytest.mark.parametrize("again", WAYS.values(), ids=WAYS)
RAW = [[b"1-0", [b"n", b"1"]], [b"2-0", [b"n", b"2", b"t", b"\xc3\xa9"]]]


def batch(encoding: str | None = None) -> Batch[Any]:
    return Batch(b"s", RAW, encoding=encoding, size=50)


def group_batch(encoding: str | None = None) -> GroupBatch[Any]:
    return GroupBatch(b"s", RAW, inbox=lambda _: None, encoding=encoding)


# -- values ------------------------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    StreamId(5, 1),
    {b"s": StreamId(5)},  # a cursor
    Message("message", b"c", None, b"data"),
    ChannelMessage("c", "data", StreamId(5)),
    ChannelMessage(b"c", b"data"),
    KeyEvent(b"k", "set", 0),
    commands.StreamEntry(StreamId(5), commands.EntryFields([b"n", b"1"])),
    commands.PendingEntry(StreamId(5), b"c", 0.5, 2),
    Address("h", 1),
    UnixAddress("/s"),
    MemoryAddress("m"),
    Login("me", "secret", 3, "name"),
    Options(request_timeout=3),
    Replicas(2),
    Disk(),
]


@every_way
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_equal_afterwards(value: Any, again: Callable[[Any], Any]) -> None:
    assert again(value) == value
    assert type(again(value)) is type(value)


@every_way
@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_an_entry(again: Callable[[Any], Any], encoding: str | None) -> None:
    entry = batch(encoding)[1]
    twin = again(entry)
    assert twin == entry
    assert (twin.stream, twin.id, twin.fields) == (entry.stream, entry.id, entry.fields)
    assert type(twin) is Entry


def test_an_entry_travels_without_those_that_came_with_it() -> None:
    many = Batch[bytes](b"s", [[b"%d-0" % n, [b"n", b"x" * 100]] for n in range(1000)])
    assert len(pickle.dumps(many[0])) < 400


@every_way
def test_a_batch(again: Callable[[Any], Any]) -> None:
    twin = again(batch("utf-8"))
    assert (list(twin), twin.stream, twin.size) == (list(batch("utf-8")), "s", 50)


@every_way
def test_a_command(again: Callable[[Any], Any]) -> None:
    for command in (commands.xadd("s", {"a": 1}), commands.get("k").text(), commands.xread({"s": "0"})):
        twin = again(command)
        assert (twin.args, twin.data, twin.traits) == (command.args, command.data, command.traits)
        assert twin.parse is not None
    assert again(commands.get("k").text()).parse(b"a") == "a"


EVENTS: list[Any] = [
    kind for kind in vars(events).values() if isinstance(kind, type) and kind.__module__ == events.__name__
]


@every_way
@pytest.mark.parametrize("kind", EVENTS, ids=[kind.__name__ for kind in EVENTS])
def test_an_event(again: Callable[[Any], Any], kind: Any) -> None:
    samples = {"bytes": b"s", "str": "s", "int": 5, "bool": False, "StreamId": StreamId(5), "Exception": None}
    error = errors.ConnectionLost("gone", sent=True)
    values = [samples.get(str(field.type).split(" | ")[0], (b"1-0",)) for field in fields(kind)]
    given = zip(fields(kind), values, strict=True)
    event = kind(**{field.name: error if value is None else value for field, value in given})
    twin = again(event)
    assert (type(twin), repr(twin), str(twin)) == (kind, repr(event), str(event))
    if None not in values:
        assert twin == event


def error_classes(
    root: type[errors.StreamcoreError] = errors.StreamcoreError,
) -> Iterator[type[errors.StreamcoreError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__.startswith("streamcore."):
            yield from error_classes(kind)


@every_way
@pytest.mark.parametrize("kind", sorted(set(error_classes()), key=str), ids=lambda kind: kind.__name__)
def test_an_error(again: Callable[[Any], Any], kind: Any) -> None:
    error: Any
    if issubclass(kind, errors.ReplyError):
        error = kind("ERR", "no", "GET")
    elif issubclass(kind, ExceptionGroup):
        error = kind("two failed", [errors.ReplyError("ERR", "no", "GET")])
    elif kind is NotDurable:
        error = kind("the entry is in the stream", StreamId(5), 0)
    else:
        error = kind("it failed")
    error.row, error.ids = 1, [StreamId(5), None]
    error.add_note("in send_many")
    twin = again(error)
    assert (type(twin), repr(twin.args), str(twin)) == (kind, repr(error.args), str(error))
    assert repr(vars(twin)) == repr(vars(error))


# -- entries as values -------------------------------------------------------------------------------------------------


def test_an_entry_is_found_in_its_batch() -> None:
    entries = batch()
    assert entries[0] in entries
    assert (entries.index(entries[1]), entries.count(entries[1])) == (1, 1)
    assert len({*entries, *batch()}) == 2


def test_entries_are_equal_where_stream_id_and_fields_are_decoded_alike() -> None:
    entry = batch()[0]
    assert entry == batch()[0]
    assert entry == group_batch()[0], "however it was delivered"
    assert group_batch()[0] in batch()
    others: list[Any] = [
        batch()[1],
        batch("utf-8")[0],
        Batch[bytes](b"t", RAW)[0],
        Batch[bytes](b"s", [[b"1-0", [b"n", b"2"]]])[0],
        (b"s", StreamId(1), {b"n": b"1"}),
        None,
    ]
    assert entry not in others


# -- what belongs to this process --------------------------------------------------------------------------------------

ENGINES: dict[str, Callable[[], Engine]] = {
    "Multiplexer": Multiplexer,
    "Producer": lambda: Producer("s"),
    "Consumer": lambda: Consumer("s"),
    "GroupConsumer": lambda: GroupConsumer("s", group="g", consumer="c"),
    "PubSub": lambda: PubSub("c"),
}


@every_way
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_says_what_to_do_instead(again: Callable[[Any], Any], name: str) -> None:
    told = f"{name} cannot be pickled or copied: it belongs to the process that made it; make another one where it is needed"
    with pytest.raises(TypeError, match=told):
        again(ENGINES[name]())


@every_way
def test_a_lease_does(again: Callable[[Any], Any]) -> None:
    client = Multiplexer()
    Pair(client)
    with pytest.raises(TypeError, match="DedicatedLink cannot be pickled or copied"):
        again(client.lease())


@every_way
def test_what_can_be_settled_is_settled_here(again: Callable[[Any], Any]) -> None:
    with pytest.raises(
        TypeError, match=r"GroupBatch cannot .* pass on the streams, ids and fields of its entries, and"
    ):
        again(group_batch())
    with pytest.raises(TypeError, match=r"GroupEntry cannot .* pass on its stream, id and fields, and settle it here"):
        again(group_batch()[0])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_by_every_protocol(protocol: int) -> None:
    with pytest.raises(TypeError, match="ProcessBound cannot be pickled"):
        pickle.dumps(ProcessBound(), protocol)
    assert pickle.loads(pickle.dumps(batch()[0], protocol)) == batch()[0]
