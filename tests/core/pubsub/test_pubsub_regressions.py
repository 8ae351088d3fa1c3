"""What an adversary found in pub/sub, and what mending it must not break."""

from __future__ import annotations

import pytest

from streamcore.connection.link import Link
from streamcore.errors import BusyError
from streamcore.events import Disconnected, MessagesDropped, SubscriptionFailed, SubscriptionGap
from streamcore.pubsub import Change, Kind, PubSub
from streamcore.pubsub.buffer import ConfirmationMarker, ErrorMarker, MessageBuffer, WhenFull
from streamcore.testing.resp import resp
from tests.core.pubsub.test_buffer import drain, gap, is_full
from tests.core.support.subscribers import NOPERM, Broker, pushed, subscribed

BUSY = BusyError("BUSY", "a script runs")


def is_done(change: Change) -> bool:
    return change.poll()


def answer_one(broker: Broker) -> None:
    """Answer the oldest command only."""
    broker.pair.server.reply(broker.answer(broker.pair.server.commands.popleft()))


def the_link(broker: Broker) -> Link:
    [link] = broker.engine.links()
    return link


# -- confirmations -------------------------------------------------------------------------------------------------------


def test_an_earlier_confirmation_is_not_taken_for_that_of_a_later_subscription() -> None:
    broker = subscribed("a")
    broker.engine.unsubscribe(Kind.CHANNEL, [b"a"])
    again = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.pair.settle()
    assert not is_done(again)  # the server has still to end the old one, and what comes before the new one is lost
    answer_one(broker)
    assert not is_done(again)
    answer_one(broker)
    assert is_done(again)


def test_an_unsubscription_waits_for_a_subscription_that_is_still_on_its_way() -> None:
    broker = subscribed()
    broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    change = broker.engine.unsubscribe(Kind.CHANNEL, [b"a"])
    broker.pair.settle()
    assert not is_done(change)
    answer_one(broker)
    assert not is_done(change)
    answer_one(broker)
    assert is_done(change)


def test_whoever_waits_for_the_end_of_a_subscription_does_not_keep_it() -> None:
    broker = subscribed("x")
    engine = broker.engine
    first = engine.subscribe(Kind.CHANNEL, {b"a": None})
    ending = engine.unsubscribe(Kind.CHANNEL, [b"a"])
    second = engine.subscribe(Kind.CHANNEL, {b"a": None})
    engine.give_up(first)
    assert engine.subscriptions.desired == {b"x", b"a"}
    engine.give_up(second)
    engine.keep(ending)
    assert engine.subscriptions.desired == {b"x"}


# -- what follows a dropped link in the same piece -------------------------------------------------------------------------


def test_an_answer_behind_nonsense_counts_for_nothing() -> None:
    broker = subscribed("a")
    broker.engine.subscribe(Kind.CHANNEL, {b"b": None})
    broker.pair.settle()
    broker.pair.server.commands.clear()
    broker.pair.server.reply(pushed("message", "a"), pushed("subscribe", "b", 2), pushed("message", "b", "too late"))
    assert [type(event) for event in broker.pair.events()] == [Disconnected]
    assert broker.data() == []  # else there would be no gap behind it
    assert [type(event) for event in broker.pair.events()] == [SubscriptionGap]
    assert broker.engine.subscriptions.confirmed == set()
    broker.refused[b"c"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"c": None}))
    broker.pair.advance(1.0)
    broker.serve()
    broker.publish("a", "1")
    assert broker.data() == [b"1"]
    assert SubscriptionFailed in map(type, broker.pair.events())


# -- client tracking -----------------------------------------------------------------------------------------------------


def test_tracking_that_is_refused_for_a_while_is_asked_for_again() -> None:
    broker = Broker(PubSub(on_invalidate=print))
    broker.pair.settle()
    broker.pair.server.commands.clear()
    broker.pair.server.reply(resp(BUSY))
    assert not broker.engine.closed
    broker.pair.advance(1.0)
    broker.serve()
    assert broker.engine.is_ready


def test_tracking_alone_is_a_success_of_the_link() -> None:
    broker = Broker(PubSub(on_invalidate=print)).serve()
    for _ in range(5):
        broker.lose()
        broker.pair.advance(10.0)
        broker.serve()
        assert the_link(broker).attempts == 0


# -- bounds --------------------------------------------------------------------------------------------------------------


def test_a_gap_that_no_handler_comes_to_does_not_stop_the_reading() -> None:
    broker = subscribed("a", queue_size=1)
    broker.lose()
    broker.serve()
    broker.publish("a", "1")
    assert broker.data() == [b"1"]
    assert the_link(broker).wants_data


def test_thousands_of_shard_channels_that_are_taken_away_are_one_gap() -> None:
    names = [b"%d" % n for n in range(5_000)]
    broker = Broker(PubSub(shard_channels=names)).serve()
    broker.pair.server.reply(*(pushed("sunsubscribe", name, 0) for name in names))
    broker.pair.events()
    assert broker.data() == []
    [gap] = broker.pair.events()
    assert isinstance(gap, SubscriptionGap)
    assert gap.names == tuple(names)


def test_links_that_are_lost_behind_a_lost_shard_channel_are_one_gap_of_all() -> None:
    broker = Broker(PubSub(shard_channels=["a", "b"])).serve()
    broker.pair.server.reply(pushed("sunsubscribe", "a", 0))
    broker.serve()
    for _ in range(2):
        broker.lose()
        broker.serve()
    broker.pair.events()
    assert broker.data() == []
    [gap] = broker.pair.events()
    assert isinstance(gap, SubscriptionGap)
    assert gap.names is None


def test_gaps_and_drops_do_not_pile_up() -> None:
    box: MessageBuffer[str] = MessageBuffer(1, 100, "drop_newest", len)
    box.add(["a"])
    for _ in range(1_000):
        box.add(["b"])
        box.add_marker(gap())
    assert len(box) == 3
    assert drain(box) == ["a", MessagesDropped(1_000), gap().event]


def test_drops_behind_a_gap_behind_a_message_are_told_in_their_place() -> None:
    box: MessageBuffer[str] = MessageBuffer(1, 100, "drop_newest", len)
    box.add(["a"])
    box.add_marker(gap())
    box.add(["b", "c"])
    assert drain(box) == ["a", gap().event, MessagesDropped(2)]


def test_messages_that_are_no_text_are_dropped_as_others_are() -> None:
    box: MessageBuffer[str] = MessageBuffer(2, 100, "drop_newest", len)
    for _ in range(1_000):
        box.add_marker(ErrorMarker(ValueError("no text")))
    assert len(box) == 3
    assert box.dropped == 998


@pytest.mark.parametrize("when_full", ["block", "drop_newest"])
def test_the_servers_words_are_bounded(when_full: WhenFull) -> None:
    box: MessageBuffer[str] = MessageBuffer(3, 100, when_full, len)
    for _ in range(1_000):
        box.add_marker(ConfirmationMarker("subscribed"))
    assert not is_full(box)
    assert drain(box) == ["subscribed"] * 4 + [MessagesDropped(996)]


def test_one_that_was_refused_and_whose_end_was_refused_as_well_is_asked_for_again() -> None:
    """Found by the simulator (seed 1040): it was taken for subscribed, and nobody asked for it any more."""
    broker = subscribed()
    broker.refused = {b"a": NOPERM}
    given_up = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.pair.settle()
    broker.engine.give_up(given_up)
    broker.engine.unsubscribe(Kind.CHANNEL, [b"a"])
    broker.pair.settle()
    answer_one(broker)
    broker.refused = {b"a": BUSY}
    broker.serve()
    broker.refused.clear()
    again = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.pair.settle()
    broker.serve()
    assert is_done(again)
    assert broker.subscribed == {("subscribe", b"a")}
