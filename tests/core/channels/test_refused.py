"""A channel that cannot be read is the end of that channel, for those who are in it, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.consumer.gap_detection import MAX_REFUSALS
from streamcore.errors import (
    ClosedError,
    LoadingError,
    NoPermissionError,
    RemoteProtocolError,
    ReplyError,
    WrongTypeError,
    reply_error,
)
from streamcore.events import ChannelEnded
from streamcore.testing.resp import Simple
from tests.core.support.hubs import GONE, NEVER, NO_KEY, QUEUED, Hub, joined, message
from tests.core.support.streams import info

WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"
ABORTED = "EXECABORT discarded"
STANDS = {b"a": ("5-0", 5), b"b": ("7-0", 7)}


def serve(hub: Hub, why: str = WRONG, *wrong: bytes) -> str:
    """Answer the reader, until it waits for messages: of which channels. Those that are ``wrong`` are refused."""
    hub.pair.settle()
    reader = hub.pair.server
    while True:
        command = reader.commands.popleft()
        key = command[command.index(b"STREAMS") + 1] if command[0] == b"XREAD" else command[-1]
        if command[0] == b"XREAD" and b"BLOCK" in command:
            return b" ".join(command[command.index(b"STREAMS") + 1 :]).decode()
        key = command[1] if command[0] == b"XRANGE" else command[4] if command[0] == b"XREAD" else command[2]
        at, added = STANDS[key]
        if key in wrong:
            reader.answer(reply_error(why))
        elif command[0] == b"XREAD":
            reader.answer(None)
        else:
            reader.answer([message(at, "old")] if command[0] == b"XRANGE" else info(at, length=added, first="1-0"))


def two(**options: Any) -> Hub:
    """A hub whose first subscriber is in ``a`` and ``b``, and whose reader waits for messages of both."""
    hub = Hub(**options)
    for channel, (at, added) in STANDS.items():
        hub.join(hub.subscriber, channel.decode(), at, added)
    assert serve(hub) == "a b 5-0 7-0"
    hub.pair.events()
    return hub


def ended(hub: Hub) -> list[tuple[bytes, type[Exception]]]:
    """The channels that have come to an end, and why."""
    return [(one.stream, type(one.error)) for one in hub.pair.events() if isinstance(one, ChannelEnded)]


def raised(hub: Hub, kind: type[Exception] = WrongTypeError) -> str:
    with pytest.raises(kind) as caught:
        hub.got()
    return str(caught.value)


@pytest.mark.parametrize(("error", "kind"), [(WRONG, WrongTypeError), ("NOPERM not for you", NoPermissionError)])
def test_a_channel_that_the_server_refuses_to_read_is_left_and_the_others_go_on(error: str, kind: Any) -> None:
    hub = two()
    other = hub.engine.subscribers.open()
    hub.join(other, "a", "5-0", 5)
    hub.pair.server.answer(reply_error(error))
    assert serve(hub, error, b"b") == "a 5-0"
    assert ended(hub) == [(b"b", kind)]
    assert "(channel 'b')" in raised(hub, kind)
    assert hub.engine.subscribers.channels(hub.subscriber) == {"a"}
    hub.bring("a", message("6-0", "6"))
    assert (hub.got(), hub.got(other)) == (["6"], ["6"])


def test_a_read_that_is_refused_when_the_other_channel_was_left_says_nothing_about_this_one() -> None:
    hub = two()
    hub.engine.leave(hub.subscriber, "b")
    hub.pair.server.answer(reply_error(WRONG))
    assert serve(hub) == "a 5-0"
    assert ended(hub) == []
    hub.bring("a", message("6-0", "6"))
    assert hub.got() == ["6"]


def test_it_is_told_behind_what_had_come_of_it() -> None:
    hub = two()
    hub.bring("b", message("8-0", "8"))
    serve(hub)
    hub.pair.server.answer(reply_error(WRONG))
    serve(hub, WRONG, b"b")
    taken: list[Any] = hub.engine.take_for(hub.subscriber)
    assert [item.data for item in taken] == ["8"]
    assert "channel 'b'" in raised(hub)
    assert hub.got() == []


def test_whoever_leaves_before_is_told_nothing() -> None:
    hub = two()
    other = hub.engine.subscribers.open()
    hub.join(other, "b", "7-0", 7)
    hub.pair.server.answer(reply_error(WRONG))
    serve(hub, WRONG, b"b")
    hub.engine.close_subscriber(other)
    with pytest.raises(ClosedError):
        hub.got(other)
    assert "channel 'b'" in raised(hub)


def test_it_may_be_joined_again() -> None:
    hub = two()
    hub.pair.server.answer(reply_error(WRONG))
    serve(hub, WRONG, b"b")
    raised(hub)
    hub.join(hub.subscriber, "b", "7-0", 7)
    hub.pair.server.answer(None)
    assert serve(hub) == "a b 5-0 7-0"
    hub.bring("b", message("8-0", "8"))
    assert hub.got() == ["8"]


def test_the_only_channel_may_come_to_its_end_too() -> None:
    hub = joined()
    hub.pair.server.answer(reply_error(WRONG))
    assert ended(hub) == [(b"a", WrongTypeError)]
    raised(hub)
    hub.pair.server.expect_nothing()
    hub.join(hub.subscriber, "a")
    hub.read("a", "5-0")


def test_when_it_is_found_on_another_connection() -> None:
    hub = two()
    hub.pair.server.close()
    hub.pair.advance(1)
    assert serve(hub, WRONG, b"b") == "a 5-0"
    assert ended(hub) == [(b"b", WrongTypeError)]
    raised(hub)
    hub.bring("a", message("6-0", "6"))
    assert hub.got() == ["6"]


def test_when_the_reader_begins_with_it() -> None:
    hub = Hub()
    for channel, (at, added) in STANDS.items():
        hub.join(hub.subscriber, channel.decode(), at, added)
    assert serve(hub, WRONG, b"b") == "a 5-0"
    assert ended(hub) == [(b"b", WrongTypeError)]
    raised(hub)
    assert hub.engine.subscribers.channels(hub.subscriber) == {"a"}


def behind() -> Hub:
    """A hub whose first subscriber has fallen behind in ``a``, and asks for a page."""
    hub = joined(queue_size=2)
    hub.bring("a", message("6-0", "6"), message("7-0", "7"))
    hub.pair.settle()
    hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
    hub.read("a", "7-0")
    hub.bring("a", message("8-0", "8"), proof=([message("5-0", "old")],))
    hub.pair.events()
    assert hub.got() == ["6", "7"]
    hub.asked("XRANGE", "a", "7-0")
    return hub


def test_a_page_of_it_that_is_refused_ends_it() -> None:
    hub = behind()
    hub.pair.peer("history").answer(
        Simple("OK"), QUEUED, QUEUED, QUEUED, [reply_error(WRONG), NEVER, reply_error(WRONG)]
    )
    assert ended(hub) == [(b"a", WrongTypeError)]
    raised(hub)
    assert not hub.engine.closed


@pytest.mark.parametrize(
    ("about", "left", "entries"),
    [
        ({}, NEVER, []),
        (info("9-0", length=5, first="1-0"), None, []),
        (info("9-0", length=5, first="1-0"), NEVER, [[b"x", []]]),
        (info("9-0", length=5, first="1-0"), NEVER, None),
    ],
)
def test_a_page_that_makes_no_sense_ends_it_by_the_servers_fault(about: Any, left: Any, entries: Any) -> None:
    hub = behind()
    hub.pair.peer("history").answer(Simple("OK"), QUEUED, QUEUED, QUEUED, [about, left, entries])
    assert ended(hub) == [(b"a", RemoteProtocolError)]
    raised(hub, RemoteProtocolError)
    assert not hub.engine.closed


def test_a_page_that_the_server_cannot_give_now_is_asked_for_on_another_connection() -> None:
    hub = behind()
    wait = reply_error("TRYAGAIN the cluster moves")
    hub.pair.peer("history").answer(Simple("OK"), wait, wait, wait, reply_error(ABORTED))
    assert hub.got() == []
    hub.pair.advance(1)
    hub.asked("XRANGE", "a", "7-0")
    hub.tell(info("8-0", length=8, first="1-0"), [message("8-0", "8")])
    assert hub.got() == ["8"]
    assert ended(hub) == []


def test_whoever_is_joining_it_is_told_by_that_call_only() -> None:
    hub = joined()
    other = hub.engine.subscribers.open()
    joining = hub.engine.join(other, "a")
    hub.asked("XREVRANGE", "a")
    hub.pair.server.answer(reply_error(WRONG))  # the reader is told first
    raised(hub)
    with pytest.raises(WrongTypeError, match="channel 'a'"):
        joining.poll()
    hub.tell(NO_KEY, [], GONE)
    hub.engine.end(joining)
    assert hub.got(other) == []
    assert hub.engine.subscribers.channels(other) == frozenset()
    assert ended(hub) == [(b"a", WrongTypeError)]


def test_a_read_that_is_refused_though_no_channel_is_ends_the_hub_in_the_end() -> None:
    hub = two()
    for _ in range(MAX_REFUSALS):
        hub.pair.server.answer(reply_error(WRONG))
        assert serve(hub) == "a b 5-0 7-0"
    hub.pair.server.answer(reply_error(WRONG))
    with pytest.raises(ReplyError):
        hub.got()
    assert hub.engine.closed


def test_a_read_that_the_server_cannot_serve_now_is_sent_again_on_another_connection() -> None:
    hub = two()
    hub.pair.server.answer(LoadingError("LOADING", "wait"))
    assert not hub.engine.closed
    assert ended(hub) == []
    assert not hub.pair.server.connected


def test_where_nobody_but_who_is_joining_is_left_nothing_else_tells() -> None:
    hub = joined()
    other = hub.engine.subscribers.open()
    joining = hub.engine.join(other, "a")
    hub.asked("XREVRANGE", "a")
    hub.engine.leave(hub.subscriber)
    hub.pair.server.answer(reply_error(WRONG))
    with pytest.raises(WrongTypeError):
        joining.poll()
    hub.engine.end(joining)
    assert ended(hub) == []
    assert not hub.engine.closed
