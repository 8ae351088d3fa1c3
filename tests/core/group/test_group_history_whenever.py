"""Whatever happens to a stream and its group, and whenever a member looks: its silence is a proof, and what it is sure of is true."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.entries import StreamId
from streamcore.events import Gap
from streamcore.group.group_history import GroupHistory
from tests.core.support.group_stream import S, Stream, joining, look

Step = tuple[str, int]

steps = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 8)),
    st.tuples(st.just("read"), st.integers(1, 6)),
    st.tuples(st.just("trim"), st.integers(0, 10)),
    st.tuples(st.just("look"), st.just(0)),
)

deletions = st.tuples(st.just("delete"), st.integers(0, 12))
others = st.one_of(st.tuples(st.just("create"), st.integers(0, 12)), st.tuples(st.just("connected"), st.just(0)))


def do(stream: Stream, step: Step) -> None:
    word, number = step
    match word:
        case "delete":
            stream.delete(*stream.there[number : number + 1])
        case "create":
            stream.create(max(0, stream.at - number))
        case "add" | "read" | "trim":
            {"add": stream.add, "read": stream.read, "trim": stream.trim}[word](number)


@given(st.lists(steps, max_size=40), st.booleans())
def test_whoever_looks_after_every_step_knows_each_entry_that_was_trimmed(story: list[Step], forgetful: bool) -> None:
    stream, watch = Stream(forgetful=forgetful), GroupHistory(S, forgetful=forgetful)
    told, known = 0, set[int]()
    look(stream, watch)
    for step in story:
        do(stream, step)
        if (found := look(stream, watch)) is not None:
            assert found.entries == len(stream.lost - known)
            told += found.entries or 0
        known |= stream.lost
    assert told == len(stream.lost)


@given(
    st.lists(st.one_of(steps, deletions, others), max_size=60), st.booleans(), st.lists(steps, max_size=10), st.data()
)
def test_nothing_is_told_for_certain_that_was_not_lost_whoever_looks_whenever(
    story: list[Step], forgetful: bool, past: list[Step], data: st.DataObject
) -> None:
    stream = Stream(forgetful=forgetful)
    for step in past:
        do(stream, step)
    if data.draw(st.booleans()):
        stream.create(stream.added)
    watch, told, seen = joining(stream), 0, 0
    stream.forget(seen)
    for step in story:
        if step[0] == "connected":
            reconnect(watch, stream, data, strict=data.draw(st.booleans()))
        elif step[0] != "look":
            do(stream, step)
            stream.forget(seen if step[0] == "create" else stream.had)
        else:
            history = stream.history
            do(stream, data.draw(steps))  # others do not wait
            seen = max(seen, stream.at)
            for found in watch.judge(history, stream.group, ours=True):
                if found.certain:
                    told += found.entries or 1
                    there = {id_ for id_ in stream.lost if is_between(found, StreamId(id_))}
                    assert len(there) >= (found.entries or 1)
        assert told <= len(stream.lost)


@given(
    st.lists(st.one_of(steps, deletions, others), max_size=40),
    st.booleans(),
    st.booleans(),
    st.lists(st.one_of(steps, deletions), max_size=10),
    st.data(),
)
def test_silence_is_a_proof_whoever_looks_whenever(
    story: list[Step], forgetful: bool, strict: bool, past: list[Step], data: st.DataObject
) -> None:
    """What is lost is told as long as it lies ahead of the group; and behind it, to who may have passed it and not have looked."""
    stream = Stream(forgetful=forgetful)
    for step in past:
        do(stream, step)
    watch = joining(stream)
    told = watch.judge(stream.history, stream.group)
    known = {id_ for id_ in stream.lost if id_ <= stream.at or not stream.at}
    for step in story:
        if step[0] == "connected":
            reconnect(watch, stream, data, strict=strict)
        elif step[0] != "look":
            do(stream, step)
        else:
            history, lost = stream.history, set(stream.lost)
            do(stream, data.draw(steps))
            if strict:
                watch.connected(forgetful=forgetful, strict=True)
            told += watch.judge(history, stream.group, ours=True)
            if not strict:
                known |= {id_ for id_ in stream.lost if id_ <= stream.at}
            untold = {id_ for id_ in lost - known if not any(is_between(found, StreamId(id_)) for found in told)}
            assert not untold
            known |= {id_ for id_ in stream.lost - lost if id_ <= stream.at}  # between the two questions


def reconnect(watch: GroupHistory, stream: Stream, data: st.DataObject, *, strict: bool) -> None:
    watch.connected(forgetful=stream.forgetful, strict=strict)
    if stream.forgetful and stream.place is not None and data.draw(st.booleans()):  # it was a failover
        stream.place = data.draw(st.integers(0, stream.place))


def is_between(found: Gap, id_: StreamId) -> bool:
    return found.after < id_ and (found.before is None or id_ < found.before)
