from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import LoadingError, NoPermissionError, ReplyError, WrongTypeError
from streamcore.events import Degraded, Event, Gap
from streamcore.group.consumer import GroupConsumer
from streamcore.group.group_history import Reached
from streamcore.options import Options
from streamcore.reading.stream_identity import Sameness
from streamcore.testing.net import Net
from tests.core.support.group_gaps import VALKEY9, anchor, audit, group, said, watching
from tests.core.support.group_stream import S, Stream, reading
from tests.core.support.server import Server

GAPS_OFF = Degraded("gap detection", "+xinfo|stream")
REDIS7 = {b"server": b"redis", b"version": b"7.0.15"}


# -- the watch over several streams ------------------------------------------------------------------------------------


def test_what_two_histories_say_is_asked_again_once() -> None:
    """Seed 2003724: a failover came between the replies to XINFO STREAM and XINFO GROUPS."""
    stream, _ = reading()
    gaps, events = watching("s")
    audit(gaps, stream)
    before, former = [said(stream)], stream.group._replace(lag=6)
    stream.delete(6, 7)
    torn = [said(stream)]
    for _ in range(2):
        gaps.hear(S, torn, former)
        gaps.hear(S, before, former)
        assert events == [], "the stream has gone back"
    gaps.hear(S, torn, former)
    gaps.hear(S, torn, former)
    assert len(events) == 1, "a server that says so all the time is believed"


def test_the_first_look_is_believed() -> None:
    stream, _ = reading()
    stream.delete(6, 7)
    gaps, events = watching("s")
    gaps.hear(S, [said(stream)], stream.group._replace(lag=6))
    assert len(events) == 1


def test_each_stream_is_asked_about_and_judged_by_itself() -> None:
    gaps, events = watching("s", "t", detect_gaps="audit")
    (s, _), (t, _) = reading(), reading(read=6)
    assert gaps.questions(b"t") == (("XINFO", "STREAM", b"t"),)
    for _ in range(2):
        audit(gaps, s)
        audit(gaps, t, b"t")
        s.trim(3)
        t.trim(3)
    assert events == [Gap(b"s", StreamId(4), StreamId(8), 3), Gap(b"t", StreamId(6), StreamId(8), 1)]


def test_in_front_of_reads_nothing_is_asked_unless_told_so() -> None:
    assert watching("s", detect_gaps="audit")[0].look([b"s"], 5.0) is None
    gaps, events = watching("s", detect_gaps=None)
    assert (gaps.look([b"s"], 5.0), gaps.questions(b"s")) == (None, ())
    gaps.hear(b"s", [], reading()[0].group)
    assert events == []


def test_one_look_asks_about_all_of_them_and_of_each_stream_first() -> None:
    gaps, events = watching("s", "t")
    s, _ = reading()
    s.trim(3)
    look = gaps.look([b"s", b"t"], 5.0)
    assert look is not None
    assert look.commands == [
        ("XINFO", "STREAM", b"s"),
        ("XINFO", "GROUPS", b"s"),
        ("XINFO", "STREAM", b"t"),
        ("XINFO", "GROUPS", b"t"),
    ]
    missing = ReplyError("ERR", "no such key")
    look.replies = [said(s), [group(s, b"another"), group(s)], missing, missing]
    gaps.saw(look)
    assert events == [Gap(b"s", StreamId(4), StreamId(8), 3)]


def test_a_group_that_is_missing_is_no_gap() -> None:
    gaps, events = watching("s")
    gaps.hear(b"s", [said(reading()[0])], None)
    assert events == []


def test_a_stream_that_was_gone_is_another_one() -> None:
    gaps, events = watching("s")
    stream, _ = reading()
    audit(gaps, stream)
    gaps.hear(b"s", [ReplyError("ERR", "no such key")], None)
    gaps.hear(b"s", [said(stream), []], None)
    assert gaps.sameness(b"s", [said(Stream())]) is Sameness.OTHER
    audit(gaps, Stream())
    assert events == [Gap(S, StreamId(4), None, 6, certain=False)]


def test_one_that_is_in_doubt_is_asked_for_its_anchor() -> None:
    gaps, events = watching("s", "t")
    stream, _ = reading()
    gaps.received(b"s", [[b"9-0", []]])
    gaps.doubt(b"s")
    assert gaps.questions(b"s") == (("XINFO", "STREAM", b"s"),)
    assert gaps.sameness(b"s", [said(stream)]) is Sameness.OTHER, "nothing is known of it"
    audit(gaps, stream)
    stream.read(2)
    gaps.received(b"s", [[b"5-0", []], [b"6-0", []]])
    gaps.doubt(b"s")
    assert gaps.questions(b"s") == (("XINFO", "STREAM", b"s"), ("XRANGE", b"s", "10-0", "10-0"))
    stream.add(10)
    stream.trim(8)
    refused = NoPermissionError("NOPERM", "no permission")
    for reply, sameness in (anchor("10-0"), Sameness.SAME), ([], Sameness.UNPROVEN), (refused, Sameness.UNPROVEN):
        assert gaps.sameness(b"s", [said(stream), reply]) is sameness
    look = gaps.look([b"s", b"t"], 5.0)
    assert look is not None
    assert look.parts == {b"s": 3, b"t": 2}
    look.replies = [said(stream), anchor("10-0"), [group(stream)], *[ReplyError("ERR", "no such key")] * 2]
    gaps.saw(look)
    assert events == [Gap(S, StreamId(6), StreamId(13), 6)]
    assert gaps.questions(b"s") == (("XINFO", "STREAM", b"s"),)
    assert gaps.sameness(b"s", [refused]) is Sameness.OTHER
    assert gaps.sameness(b"another", [said(stream)]) is Sameness.OTHER


def test_where_gaps_are_not_to_be_told_only_who_creates_the_group_again_asks() -> None:
    gaps, events = watching("s", detect_gaps=None)
    stream, _ = reading()
    gaps.hear(b"s", [], Reached(StreamId(0)))
    assert (gaps.questions(b"s"), gaps.questions(b"s", group_is_gone=True)) == ((), (("XINFO", "STREAM", b"s"),))
    gaps.hear(b"s", [], stream.group)
    gaps.doubt(b"s")
    assert gaps.questions(b"s", group_is_gone=True)[1:] == (("XRANGE", b"s", "4-0", "4-0"),)
    assert gaps.sameness(b"s", [said(stream), anchor("4-0")]) is Sameness.SAME
    assert gaps.sameness(b"s", [said(stream), []]) is Sameness.UNPROVEN
    gaps.hear(b"s", [NoPermissionError("NOPERM", "no permission")], None)
    assert (gaps.questions(b"s", group_is_gone=True), events) == ((), [])


def test_after_a_reconnect_whoever_looks_before_every_read_may_have_passed_a_gap_unseen() -> None:
    for detect_gaps, told in (("audit", []), ("always", [Gap(S, StreamId(4), StreamId(7), None, certain=False)])):
        gaps, events = watching("s", detect_gaps=detect_gaps)
        stream, _ = reading()
        audit(gaps, stream)
        gaps.connected(VALKEY9)
        stream.trim(4)
        stream.read(4)
        audit(gaps, stream, ours=True)
        assert events == told


def test_a_stream_whose_history_is_forbidden_is_not_asked_about_again() -> None:
    gaps, events = watching("s", "t")
    error = NoPermissionError("NOPERM", "no permission")
    before = gaps.look([b"s", b"t"], 5.0)
    gaps.hear(b"s", [error], reading()[0].group)
    gaps.hear(b"s", [error], None)
    assert events == [GAPS_OFF]
    assert gaps.questions(b"s") == ()
    assert before is not None
    assert list(before.parts) == [b"s", b"t"]
    assert [list(one.parts) for one in (gaps.look([b"s", b"t"], 5.0),) if one] == [[b"t"]]
    gaps.hear(b"t", [error], None)
    assert (gaps.look([b"s", b"t"], 5.0), events) == (None, [GAPS_OFF]), "once"


def test_on_the_next_connection_a_forbidden_history_is_asked_for_again() -> None:
    gaps, _ = watching("s")
    gaps.hear(b"s", [NoPermissionError("NOPERM", "no permission")], None)
    gaps.connected(VALKEY9)
    assert gaps.questions(b"s") == (("XINFO", "STREAM", b"s"),)


def test_an_anchor_that_is_forbidden_is_told() -> None:
    gaps, events = watching("s")
    stream, _ = reading()
    audit(gaps, stream)
    gaps.hear(b"s", [said(stream), NoPermissionError("NOPERM", "no permission")], stream.group)
    assert events == [Degraded("gap detection", "+xrange")]


def test_a_stream_that_is_read_no_more_is_forgotten() -> None:
    gaps, events = watching("s")
    stream, _ = reading()
    audit(gaps, stream)
    gaps.hear(b"s", [NoPermissionError("NOPERM", "no permission")], None)
    gaps.forget(b"s")
    assert gaps.questions(b"s")
    stream.create(4)
    stream.trim(3)
    audit(gaps, stream)
    assert [type(event) for event in events] == [Degraded, Gap], "whoever comes anew knows less"


@pytest.mark.parametrize("error", [LoadingError("LOADING", "wait"), WrongTypeError("WRONGTYPE", "a string")])
def test_what_the_read_meets_as_well_is_its_business(error: ReplyError) -> None:
    gaps, events = watching("s")
    gaps.hear(b"s", [error], None)
    assert (events, gaps.questions(b"s")) == ([], (("XINFO", "STREAM", b"s"),))


def test_the_server_of_the_connection_decides_what_is_believed() -> None:
    stream, _ = reading()
    stream.trim(3)
    gaps, events = watching("s", detect_gaps="audit")
    gaps.connected(REDIS7)
    audit(gaps, stream)
    gaps.connected(VALKEY9)
    stream.read(1)
    audit(gaps, stream, ours=True)
    stream.trim(1)
    audit(gaps, stream)
    assert events == [
        Gap(b"s", StreamId(4), StreamId(8), None, certain=False),
        Gap(b"s", StreamId(8), StreamId(10), 1),
    ]


def consuming(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer of ``s``, with the first 4 entries in hand."""
    add(server, 1, 4)
    consumer = GroupConsumer("s", group="g", consumer="c", exclusive=False, **options)
    net = Net(server, consumer)
    while (batch := consumer.take()) is not None:
        batch.ack()
        net.serve()
    return consumer, net


def add(server: Server, first: int, last: int) -> None:
    for number in range(first, last + 1):
        server.add("s", f"{number}-0")


def gaps_told(net: Net) -> list[Event]:
    return [event for event in net.pair.events() if isinstance(event, Gap | Degraded)]


# -- in a consumer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detect_gaps", ["audit", "always", None])
def test_a_gap_that_lasts_until_the_next_audit_is_told_before_what_comes_after_it(detect_gaps: Any) -> None:
    server = Server()
    consumer, net = consuming(server, count=2, prefetch=1, detect_gaps=detect_gaps)
    add(server, 5, 7)
    net.serve()  # 5 waits for the application, and nothing more is read
    server.do("XTRIM", "s", "MAXLEN", 1)
    net.advance(5)
    told: list[str] = []
    for _ in range(4):
        if (batch := consumer.take()) is not None:
            told += [str(entry.id) for entry in batch]
        net.serve()
        told += [f"gap of {event.entries}" for event in gaps_told(net) if isinstance(event, Gap)]
    assert told == (["5-0", "7-0"] if detect_gaps is None else ["5-0", "gap of 1", "7-0"])


@pytest.mark.parametrize(("detect_gaps", "seen"), [("audit", []), ("always", [Gap(S, StreamId(5), StreamId(7), 1)])])
def test_one_between_two_audits_is_seen_by_who_looks_before_every_read(detect_gaps: Any, seen: list[Event]) -> None:
    server = Server()
    consumer, net = consuming(server, count=2, prefetch=1, detect_gaps=detect_gaps)
    net.advance(0.1)
    add(server, 5, 7)
    net.serve()
    server.do("XTRIM", "s", "MAXLEN", 1)
    net.advance(0.1)
    while consumer.take() is not None:
        net.serve()
    assert gaps_told(net) == seen


def test_where_it_is_forbidden_the_consumer_goes_on() -> None:
    server = Server()
    server.faults.denied = {"XINFO STREAM"}
    consumer, net = consuming(server, detect_gaps="always")
    [off] = gaps_told(net)
    assert off == GAPS_OFF
    net.advance(20)
    add(server, 5, 5)
    net.serve()
    batch = consumer.take()
    assert batch is not None
    assert batch.ids == [b"5-0"]
    assert gaps_told(net) == []


def test_a_stream_that_is_removed_is_not_looked_at() -> None:
    server = Server()
    consumer, net = consuming(server, detect_gaps="always")
    assert consumer.remove_stream("s")
    net.advance(1)
    server.seen.clear()
    net.advance(20)
    assert not [command for command in server.seen if command[0] == b"XINFO"]


def test_a_look_for_gaps_that_is_not_answered_is_given_up_after_the_request_timeout() -> None:
    consumer: GroupConsumer[bytes] = GroupConsumer(
        "s", group="g", consumer="c", exclusive=False, detect_gaps="always", options=Options(request_timeout=0.5)
    )
    look = consumer.members[0].loop.gaps.look([b"s"], consumer.options.request_timeout)
    assert look is not None
    assert look.timeout == 0.5
