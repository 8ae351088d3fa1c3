"""Publishing, looking back and clearing away: what is sent, and sent again."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from streamcore.channels import PUBLISH, ChannelMessage, Naming, Publisher, Settings, UnreadableMessage
from streamcore.commands import scan
from streamcore.engine.degradation import MARKING
from streamcore.entries import StreamId
from streamcore.errors import (
    ConnectionLost,
    InvalidArgument,
    NoPermissionError,
    RemoteProtocolError,
    ReplyError,
    RequestTimeout,
    WrongTypeError,
    reply_error,
)
from streamcore.events import Degraded
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair
from streamcore.testing.resp import Simple
from tests.core.support.entropy import entropy

NOSCRIPT = reply_error("NOSCRIPT No matching script")


class Desk:
    """A store, its client, and the server behind them."""

    def __init__(self, decode: str | None = "utf-8", **options: Any) -> None:
        settings = Settings(prefix=options.pop("prefix", ""), **options)
        self.client = Multiplexer(entropy=entropy)
        self.publisher = Publisher(self.client, settings, Naming(settings.prefix, decode))
        self.pair = Pair(self.client)
        self.ended: list[Request] = []

    def publish(self, data: Any, *channels: str) -> Request:
        request = self.publisher.publish(self.publisher.publications(data, channels), self.ended.append)
        self.pair.settle()
        return request

    def expect(self, word: str, again: int) -> list[bytes]:
        """The script is called; its keys and arguments."""
        command = self.pair.server.expect(word)
        keys = int(command[2])
        assert command[3 + keys] == b"%d" % again
        return command[3:]

    def degraded(self) -> list[Degraded]:
        return [event for event in self.pair.events() if isinstance(event, Degraded)]


def test_a_message_is_published_by_one_script_for_all_its_channels() -> None:
    desk = Desk(history=5, retention=20, ttl=1.5, approximate=True)
    request = desk.publish("x", "a", "b", "a")
    a, b, mark, again, nonce, how, maxlen, ttl, field, data, *_ = desk.expect("EVALSHA", 0)
    assert [a, b, again, how, maxlen, ttl, field, data] == [b"a", b"b", b"0", b"~", b"20", b"1500", b"data", b"x"]
    assert mark == b"{a}:said:" + nonce
    desk.pair.server.answer(["1-0", "2-0"])
    assert desk.publisher.published(request) == [StreamId(1), StreamId(2)]
    desk.publish("x", "a")
    assert desk.expect("EVALSHA", 0)[3] != nonce
    assert desk.publisher.publications("x", []) == []


def test_a_server_that_does_not_know_the_script_is_told_it() -> None:
    desk = Desk()
    request = desk.publish("x", "a")
    first = desk.expect("EVALSHA", 0)
    desk.pair.server.answer(NOSCRIPT)
    assert not desk.ended
    assert desk.pair.server.commands[0][1] == PUBLISH.source
    assert desk.expect("EVAL", 0) == first
    desk.pair.server.answer(["1-0"])
    assert desk.ended == [request]
    assert desk.publisher.published(request) == [StreamId(1)]


@pytest.mark.parametrize("knows", [True, False])
def test_after_a_lost_reply_it_is_sent_with_the_word_that_it_may_be_there(knows: bool) -> None:
    desk = Desk()
    request = desk.publish("x", "a")
    first = desk.expect("EVALSHA", 0)
    if not knows:
        desk.pair.server.answer(NOSCRIPT)
        desk.expect("EVAL", 0)
    desk.pair.server.close()
    desk.pair.advance(1)
    second = desk.expect("EVALSHA" if knows else "EVAL", 1)
    assert [*first[:2], *first[3:]] == [*second[:2], *second[3:]]
    assert first[-1] == b"1"
    desk.pair.server.answer(NOSCRIPT) if knows else None
    if knows:  # the server is another one, and still it may be there
        assert desk.expect("EVAL", 1) == second
    desk.pair.server.answer(["1-0"])
    assert desk.publisher.published(request) == [StreamId(1)]
    assert desk.client.has_room
    assert desk.client._main.queued == 0


class TestWithoutAMark:
    @pytest.mark.parametrize("knows", [True, False])
    @pytest.mark.parametrize(
        ("refusal", "missing"),
        [
            ("NOPERM No permissions to access a key", "~{a}:said:"),
            (
                "ERR ACL failure in script: User bob has no permissions to run the 'get' command script: on @user_script:5.",
                "+get",
            ),
        ],
    )
    def test_a_user_who_may_not_mark_publishes_all_the_same(self, knows: bool, refusal: str, missing: str) -> None:
        desk = Desk()
        request = desk.publish("x", "a")
        first = desk.expect("EVALSHA", 0)
        if not knows:
            desk.pair.server.answer(NOSCRIPT)
            desk.expect("EVAL", 0)
        desk.pair.server.answer(reply_error(refusal))
        assert desk.expect("EVALSHA" if knows else "EVAL", 0) == [first[0], *first[2:-1], b"0"]
        assert desk.degraded() == []
        desk.pair.server.answer([b"1-0"])
        assert desk.publisher.published(request) == [StreamId(1)]
        [event] = desk.degraded()
        assert (event.what, event.missing.startswith(missing)) == (MARKING, True)
        request = desk.publish("x", "a")
        assert desk.expect("EVALSHA", 0)[-1] == b"0"
        desk.pair.server.close()
        desk.pair.advance(1)
        assert desk.expect("EVALSHA", 1)[-1] == b"0", "it stays as it was sent"
        desk.pair.server.answer([b"2-0"])
        desk.publish("x", "a")
        assert desk.expect("EVALSHA", 0)[-1] == b"1", "on a new connection it may be granted"

    def test_what_is_refused_without_it_as_well_is_raised(self) -> None:
        desk = Desk()
        request = desk.publish("x", "a")
        desk.pair.server.answer(reply_error("NOPERM No permissions to access a key"))
        desk.pair.server.answer(reply_error("NOPERM No permissions to access a key"))
        with pytest.raises(NoPermissionError):
            desk.publisher.published(request)
        assert desk.degraded() == []

    def test_a_name_that_keeps_no_slot_is_published_without(self) -> None:
        desk = Desk()
        request = desk.publish("x", "a}")
        assert desk.expect("EVALSHA", 0)[1].startswith(b"a}:said:")
        desk.pair.server.answer(reply_error("CROSSSLOT Keys in request don't hash to the same slot"))
        assert desk.expect("EVALSHA", 0)[-1] == b"0"
        desk.pair.server.answer([b"1-0"])
        assert desk.publisher.published(request) == [StreamId(1)]
        assert desk.degraded() == []

    def test_a_loss_behind_the_refusal_is_no_news_of_rights(self) -> None:
        desk = Desk()
        request = desk.publish("x", "a")
        desk.pair.server.answer(reply_error("NOPERM No permissions to access a key"))
        desk.pair.advance(6)
        with pytest.raises((RequestTimeout, ConnectionLost)):
            desk.publisher.published(request)
        assert desk.degraded() == []


def test_what_never_left_is_sent_for_the_first_time() -> None:
    desk = Desk()
    desk.pair.dials = False
    desk.pair.server.close()
    desk.publish("x", "a")
    desk.pair.dials = True
    desk.pair.advance(1)
    desk.expect("EVALSHA", 0)


def test_the_server_s_error_is_raised_and_so_is_silence() -> None:
    desk = Desk()
    request = desk.publish("x", "a")
    desk.pair.server.answer(reply_error("WRONGTYPE no stream"))
    with pytest.raises(WrongTypeError):
        desk.publisher.published(request)
    request = desk.publish("x", "a")
    desk.pair.advance(6)
    with pytest.raises((RequestTimeout, ConnectionLost)):
        desk.publisher.published(request)


def test_while_a_script_keeps_the_server_busy_a_publication_waits() -> None:
    desk = Desk()
    request = desk.publish("x", "a")
    desk.expect("EVALSHA", 0)
    desk.pair.server.answer(reply_error("BUSY a script runs"))
    assert not request.finished
    desk.pair.advance(1)
    desk.expect("EVALSHA", 0)  # it was not executed
    desk.pair.server.answer([b"1-0"])
    assert desk.publisher.published(request) == [StreamId(1)]


@pytest.mark.parametrize("channels", [["a"], ["a", "b"]])
def test_so_does_one_of_pubsub(channels: list[str]) -> None:
    desk = Desk(kind="pubsub")
    request = desk.publish("x", *channels)
    busy, count = reply_error("BUSY a script runs"), len(channels)
    several = count > 1
    desk.pair.server.answer(*[Simple("OK"), busy, busy, reply_error("EXECABORT discarded")] if several else [busy])
    assert not request.finished
    desk.pair.server.commands.clear()
    desk.pair.advance(1)
    desk.pair.server.expect("MULTI" if several else "PUBLISH")
    desk.pair.server.answer(*[Simple("OK"), Simple("QUEUED"), Simple("QUEUED"), [1, 1]] if several else [1])
    assert desk.publisher.published(request) == [None] * count


def test_a_caller_that_has_gone_is_not_called() -> None:
    desk = Desk()
    request = desk.publish("x", "a")
    request.finished = True
    desk.pair.server.answer(NOSCRIPT)
    assert desk.ended == []
    desk.expect("EVALSHA", 0)
    desk.pair.server.expect_nothing()


def test_pubsub_publishes_in_one_go() -> None:
    desk = Desk(kind="pubsub")
    request = desk.publish("x", "a")
    desk.pair.server.expect("PUBLISH", "a", "x")
    desk.pair.server.answer(1)
    assert desk.publisher.published(request) == [None]
    request = desk.publish("x", "a", "b")
    for words in (["MULTI"], ["PUBLISH", "a", "x"], ["PUBLISH", "b", "x"], ["EXEC"]):
        desk.pair.server.expect(*words)
    desk.pair.server.answer(Simple("OK"), Simple("QUEUED"), Simple("QUEUED"), [1, ReplyError("NOPERM", "no")])
    with pytest.raises(ReplyError, match="NOPERM"):
        desk.publisher.published(request)
    assert not desk.publisher.has_history
    with pytest.raises(InvalidArgument, match="history"):
        desk.publisher.history("a")


def test_looking_back() -> None:
    desk = Desk(history=7)
    assert desk.publisher.history("a").args == ("XREVRANGE", b"a", "+", "-", "COUNT", 7)
    command = desk.publisher.history("a", 2)
    assert command.parse is not None
    entries = [[b"2-0", [b"data", b"2"]], [b"1-0", [b"data", b"1"]]]
    assert command.parse(entries) == [ChannelMessage("a", "1", StreamId(1)), ChannelMessage("a", "2", StreamId(2))]
    nothing = desk.publisher.history("a", 0)
    assert nothing.parse is not None
    assert nothing.parse(entries) == []
    with pytest.raises(InvalidArgument, match="limit"):
        desk.publisher.history("a", -1)


def test_a_message_that_is_no_text_hides_no_other_one_of_its_history() -> None:
    command = Desk().publisher.history("a", 3)
    assert command.parse is not None
    entries = [[b"3-0", [b"data", b"3"]], [b"2-0", [b"data", b"\xff"]], [b"1-0", [b"data", b"1"]]]
    first, bad, last = command.parse(entries)
    assert [first.data, last.data] == ["1", "3"]
    assert isinstance(bad, UnreadableMessage)
    assert (bad.channel, bad.raw, bad.id) == ("a", b"\xff", StreamId(2))
    for _ in range(2):
        with pytest.raises(UnicodeDecodeError):
            _ = bad.data
    with pytest.raises(UnicodeDecodeError):
        _ = [*bad]
    assert repr(bad) == "UnreadableMessage(channel='a', raw=b'\\xff', id=StreamId(ms=2, seq=0))"
    assert pickle.loads(pickle.dumps(bad)) == bad  # our own
    assert len({bad, pickle.loads(pickle.dumps(bad)), first}) == 2
    assert bad not in {first, last}


@pytest.mark.parametrize(
    "reply", [None, {}, [None], [[b"1-0", None]], [[b"1-0", []]], [[b"1-0", [b"a"]]], [[b"x", [b"a", b"b"]]]]
)
def test_a_history_that_makes_no_sense_is_the_servers_fault(reply: Any) -> None:
    request = Request([Desk().publisher.history("a", 3)], lambda _: None, 1.0)
    request.replies.append(reply)
    with pytest.raises(RemoteProtocolError):
        request.answer()


def test_clearing_away_needs_a_prefix() -> None:
    publisher = Desk(prefix="p").publisher
    assert publisher.scan(3).data == scan(3, match=b"p_*", count=500, type="stream").data
    assert publisher.key("a") == b"p_a"
    with pytest.raises(InvalidArgument, match="prefix"):
        Desk().publisher.scan(0)


class TestTryingForLonger:
    def test_each_round_takes_a_request_timeout(self) -> None:
        publisher = Desk().publisher
        assert [publisher.rounds(timeout) for timeout in (None, 1, 5, 6, 30)] == [1, 1, 1, 2, 6]
        with pytest.raises(InvalidArgument, match="timeout"):
            publisher.rounds(0)

    def test_the_next_round_says_that_it_may_be_there(self) -> None:
        desk = Desk()
        commands = desk.publisher.publications("x", ["a", "b"])
        [again] = desk.publisher.again(commands, RequestTimeout("late"))
        assert [again.args[2:6], again.args[6], again.args[7:]] == [
            commands[0].args[2:6],
            "1",
            commands[0].args[7:],
        ]
        assert again.keys[:2] == (b"a", b"b")
        [still] = desk.publisher.again([again], reply_error("LOADING wait"))
        assert still.args == again.args

    @pytest.mark.parametrize("kind", ["streams", "pubsub"])
    def test_what_is_final_is_raised(self, kind: Any) -> None:
        publisher = Desk(kind=kind).publisher
        assert publisher.kind == kind
        commands = publisher.publications("x", "a")
        with pytest.raises(WrongTypeError):
            publisher.again(commands, reply_error("WRONGTYPE no"))

    @pytest.mark.parametrize("kind", ["streams", "pubsub"])
    @pytest.mark.parametrize("word", ["BUSY", "LOADING", "READONLY", "MASTERDOWN"])
    def test_what_one_attempt_waits_for_the_next_one_does_as_well(self, kind: Any, word: str) -> None:
        publisher = Desk(kind=kind).publisher
        commands = publisher.publications("x", "a")
        [again] = publisher.again(commands, reply_error(f"{word} wait"))
        assert again.args[-1] == commands[0].args[-1]

    def test_of_pubsub_nothing_is_sent_twice(self) -> None:
        publisher = Desk(kind="pubsub").publisher
        commands = publisher.publications("x", ["a", "b"])
        assert publisher.again(commands, ConnectionLost("not sent")) == commands
        for error in (ConnectionLost("sent", sent=True), RequestTimeout("late")):
            with pytest.raises(type(error)):
                publisher.again(commands, error)


def test_options() -> None:
    settings = Settings(history=30, retention=20)
    assert (settings.maxlen, settings.ttl_ms, settings.prefix) == (30, 0, "channels")
    with pytest.raises(InvalidArgument, match="when_full"):
        Settings(when_full="drop_newest")
