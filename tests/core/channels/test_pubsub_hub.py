"""The hub of pub/sub: one subscription for all who are in a channel, and nothing is lost without a word."""

from __future__ import annotations

import pytest

from streamcore.channels import BroadcastHub, ChannelMessage, Naming, Settings, hub_engine
from streamcore.channels.stream_hub import StreamHub
from streamcore.errors import InvalidArgument, NoPermissionError, RequestTimeout, reply_error
from streamcore.events import (
    Connected,
    Degraded,
    Disconnected,
    MessagesDropped,
    Reconnected,
    SubscriptionFailed,
    SubscriptionGap,
)
from streamcore.testing.pair import Pair
from streamcore.testing.resp import PushOf, resp
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


def test_it_is_ready_once_it_is_connected() -> None:
    hub, pair = broadcast()
    assert hub.is_ready
    pair.server.close()
    assert not hub.is_ready


def test_its_users_cannot_call_what_is_of_pubsub() -> None:
    hub, _ = broadcast()
    for name in ("subscribe", "unsubscribe", "take", "take_calls", "keep", "give_up", "subscriptions", "first"):
        assert not hasattr(hub, name)


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


def test_it_reads_on_however_much_comes_at_once() -> None:
    """What had filled a buffer that no subscriber waits for was the last that the hub ever read."""
    hub, pair = in_channel("a", queue_size=2)
    pair.server.reply(*(resp(PushOf(["message", "a", str(n)])) for n in range(10_001)))
    assert hub.links()[0].wants_data
    assert hub.take_for(hub.subscribers.first) == [ChannelMessage("a", "9999"), ChannelMessage("a", "10000")]
    pair.server.push("message", "a", "next")
    assert hub.take_for(hub.subscribers.first) == [ChannelMessage("a", "next")]


@pytest.mark.parametrize(
    "push", [["message", 5, "x"], ["message", None, "x"], ["message", "a", 5], ["message", "a"], ["unsubscribe"]]
)
def test_a_push_that_makes_no_sense_costs_the_connection_and_nothing_before_it(push: list[object]) -> None:
    hub, pair = in_channel("a")
    pair.server.push("message", "a", "1")
    pair.server.push(*push)
    assert not hub.is_ready
    [message, gap, lost] = hub.take_for(hub.subscribers.first, events=True)
    assert message == ChannelMessage("a", "1")
    assert isinstance(gap, SubscriptionGap)
    assert isinstance(lost, Disconnected)
    assert "makes no sense" in str(lost.error)


def test_a_push_of_another_kind_is_passed_over() -> None:
    hub, pair = in_channel("a")
    pair.server.reply(*(resp(PushOf(push)) for push in (["message", "a", "1"], ["new"], ["message", "a", "2"])))
    assert hub.take_for(hub.subscribers.first) == [ChannelMessage("a", "1"), ChannelMessage("a", "2")]
    assert hub.is_ready


def test_a_channel_that_is_refused_later_is_told_to_all() -> None:
    hub, pair = in_channel("a")
    pair.events()
    pair.server.close()
    pair.advance(1)
    pair.server.expect("SUBSCRIBE", "a")
    pair.server.answer(NOPERM)
    [failed] = [event for event in pair.events() if isinstance(event, SubscriptionFailed)]
    assert (failed.kind, failed.names) == ("channel", (b"a",))
    assert failed in hub.take_for(hub.subscribers.first, events=True)


def test_what_the_server_goes_on_to_send_of_a_channel_that_was_left_is_dropped() -> None:
    hub, pair = in_channel("a")
    pair.events()
    hub.leave(hub.subscribers.first)
    pair.settle()
    pair.server.expect("UNSUBSCRIBE", "a")
    pair.server.answer(NOPERM)
    pair.server.push("message", "a", "1")
    assert hub.take_for(hub.subscribers.first) == []
    assert pair.events() == [Degraded("ending subscriptions on the server", "+unsubscribe")]
