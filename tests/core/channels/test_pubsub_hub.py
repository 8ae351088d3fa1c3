"""The hub of pub/sub: one subscription for all who are in a channel, and nothing is lost without a word."""

from __future__ import annotations

import pytest

from streamcore.channels import BroadcastHub, ChannelMessage, Naming, Settings, hub_engine
from streamcore.channels.stream_hub import StreamHub
from streamcore.errors import InvalidArgument, NoPermissionError, RequestTimeout, reply_error
from streamcore.events import Connected, Disconnected, MessagesDropped, Reconnected, SubscriptionGap
from streamcore.testing.pair import Pair
from tests.core.support.hubs import broadcast

NOPERM = reply_error("NOPERM not for you")


def confirm(pair: Pair, word: str, *channels: str) -> None:
    pair.settle()
    pair.server.expect(word, *channels)
    for channel in channels:
        pair.server.push(word.lower(), channel, 1)


def in_channel(*channels: str, **options: object) -> tuple[BroadcastHub, Pair]:
    hub, pair = broadcast(**options)
    joining = hub.join(hub.subscribers.first, channels)
    confirm(pair, "SUBSCRIBE", *channels)
    assert joining.poll()
    hub.end(joining)
    hub.take_for(hub.subscribers.first, events=True)
    return hub, pair


def test_the_kind_chooses_the_hub() -> None:
    for kind, hub in (("streams", StreamHub), ("pubsub", BroadcastHub)):
        settings = Settings(kind=kind)  # type: ignore[arg-type]  # one of the words
        assert type(hub_engine(settings, Naming(settings.prefix, None))) is hub


def test_all_who_are_in_a_channel_get_its_messages() -> None:
    hub, pair = in_channel("a", "b")
    other = hub.subscribers.open()
    joining = hub.join(other, "a")
    assert joining.poll()
    hub.end(joining)
    pair.server.push("message", "a", "1")
    pair.server.push("message", "b", "2")
    pair.server.push("message", "left", "3")
    assert hub.take_for(hub.subscribers.first) == [ChannelMessage("a", "1"), ChannelMessage("b", "2")]
    assert hub.take_for(other) == [ChannelMessage("a", "1")]
    assert hub.subscribers.channels(other) == {"a"}
    assert hub.label == "Channels"


def test_the_last_one_who_leaves_ends_the_subscription() -> None:
    hub, pair = in_channel("a")
    other = hub.subscribers.open()
    hub.end(hub.join(other, "a"))
    hub.leave(hub.subscribers.first)
    pair.settle()
    pair.server.expect_nothing()
    hub.close_subscriber(other)
    pair.settle()
    pair.server.expect("UNSUBSCRIBE", "a")
    hub.end(hub.join(hub.subscribers.first, "a"))
    hub.close()
    hub.leave(hub.subscribers.first)


def test_a_refusal_leaves_no_trace() -> None:
    hub, pair = broadcast()
    joining = hub.join(hub.subscribers.first, ["a"])
    assert isinstance(hub.why_not(joining), RequestTimeout)
    pair.settle()
    pair.server.expect("SUBSCRIBE", "a")
    pair.server.answer(NOPERM)
    with pytest.raises(NoPermissionError):
        joining.poll()
    assert isinstance(hub.why_not(joining), NoPermissionError)
    hub.end(joining)
    assert hub.subscribers.channels(hub.subscribers.first) == frozenset()


def test_a_refused_join_stays_refused_where_the_server_grants_a_later_call() -> None:
    hub, pair = broadcast()
    refused = hub.join(hub.subscribers.first, ["a"])
    pair.settle()
    pair.server.expect("SUBSCRIBE", "a")
    pair.server.answer(NOPERM)
    with pytest.raises(NoPermissionError):
        refused.poll()
    other = hub.subscribers.open()
    granted = hub.join(other, ["a"])
    confirm(pair, "SUBSCRIBE", "a")
    assert granted.poll()
    with pytest.raises(NoPermissionError):
        refused.poll()
    hub.end(refused)
    hub.end(granted)
    assert hub.subscribers.channels(hub.subscribers.first) == frozenset()
    assert hub.subscribers.channels(other) == {"a"}


def test_a_second_call_waits_for_the_first_one() -> None:
    hub, pair = broadcast()
    first, second = hub.join(hub.subscribers.first, "a"), hub.join(hub.subscribers.first, "a")
    assert not second.poll()
    confirm(pair, "SUBSCRIBE", "a")
    assert first.poll()
    assert second.poll()
    hub.end(second)
    hub.end(first)
    assert hub.subscribers.channels(hub.subscribers.first) == {"a"}


def test_who_gives_up_is_not_in_the_channel() -> None:
    hub, pair = broadcast()
    joining = hub.join(hub.subscribers.first, ["a"])
    hub.end(joining)
    assert hub.subscribers.channels(hub.subscribers.first) == frozenset()
    assert hub.patience == 5.0
    pair.settle()
    hub.close()


def test_a_gap_is_told_to_all_and_one_of_single_channels_to_those_in_them() -> None:
    hub, pair = in_channel("a")
    other = hub.subscribers.open()
    joining = hub.join(other, "b")
    confirm(pair, "SUBSCRIBE", "b")
    hub.end(joining)
    pair.server.push("unsubscribe", "b", 1)  # taken away
    assert hub.take_for(hub.subscribers.first, events=True) == []
    [gap] = hub.take_for(other, events=True)
    assert isinstance(gap, SubscriptionGap)
    assert gap.names == (b"b",)
    pair.server.close()
    pair.advance(1)
    for subscriber in (hub.subscribers.first, other):
        kinds = [type(item) for item in hub.take_for(subscriber, events=True)]
        assert sorted(kinds, key=str) == sorted([SubscriptionGap, Disconnected, Reconnected], key=str)


def test_messages_of_a_slow_one_are_dropped_and_counted_and_the_quick_one_gets_all() -> None:
    hub, pair = in_channel("a", queue_size=2)
    quick = hub.subscribers.open()
    hub.end(hub.join(quick, "a"))
    for n in range(5):
        pair.server.push("message", "a", str(n))
        assert hub.take_for(quick) == [ChannelMessage("a", str(n))]
    assert hub.take_for(hub.subscribers.first, events=True) == [
        MessagesDropped(3),
        ChannelMessage("a", "3"),
        ChannelMessage("a", "4"),
    ]
    assert MessagesDropped(3) in pair.events()
    assert Connected not in map(type, hub.take_for(quick, events=True))


@pytest.mark.parametrize("arguments", [{"history": 1}, {"after": "1-1"}, {"history": -1}])
def test_there_is_no_history(arguments: dict[str, object]) -> None:
    hub, _ = broadcast()
    with pytest.raises(InvalidArgument, match="history"):
        hub.join(hub.subscribers.first, "a", **arguments)  # type: ignore[arg-type]  # of many types
