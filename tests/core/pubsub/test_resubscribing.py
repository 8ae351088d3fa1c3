"""Shard channels that are taken away, and any number of reconnects."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import ConnectionLost
from streamcore.events import Connected, Degraded, Disconnected, SubscriptionGap
from streamcore.options import Options
from streamcore.pubsub import Kind, PubSub
from streamcore.testing.pair import Pair
from tests.core.support.subscribers import NOPERM, Broker, pushed, subscribed, the_link, the_table
from tests.support.moments import CORE, moments

# -- shard channels ------------------------------------------------------------------------------------------------------


def test_a_shard_channel_that_the_server_takes_away_is_asked_for_again() -> None:
    broker = Broker(PubSub(shard_channels=["s", "t"], ignore_subscribe_messages=False)).serve()
    broker.pair.server.push("sunsubscribe", "s", 1)
    assert [message.kind for message in broker.engine.take()] == ["ssubscribe", "ssubscribe"]
    broker.serve()
    assert broker.commands == [[b"SSUBSCRIBE", b"s", b"t"], [b"SSUBSCRIBE", b"s"]]
    assert [message.kind for message in broker.engine.take()] == ["sunsubscribe", "ssubscribe"]
    gap = broker.pair.events()[-1]
    assert isinstance(gap, SubscriptionGap)
    assert gap.names == (b"s",)


def test_taken_away_while_we_un_subscribe_it() -> None:
    """The server's word stands for the answer; the answer itself comes when nothing is due."""
    broker = Broker(PubSub(shard_channels=["s"])).serve()
    change = broker.engine.unsubscribe(Kind.SHARD)
    broker.pair.settle()
    broker.pair.server.reply(pushed("sunsubscribe", "s", 0), pushed("sunsubscribe", "s", 0))
    assert change.poll()
    assert broker.engine.subscriptions.desired == set()


def test_taken_away_while_we_change_our_mind() -> None:
    broker = Broker(PubSub(shard_channels=["s"])).serve()
    broker.engine.unsubscribe(Kind.SHARD)
    change = broker.engine.subscribe(Kind.SHARD, {b"s": None})
    broker.pair.settle()
    broker.pair.server.reply(
        pushed("sunsubscribe", "s", 0), pushed("sunsubscribe", "s", 0), pushed("ssubscribe", "s", 1)
    )
    broker.pair.server.commands.clear()
    assert change.poll()
    broker.pair.settle()
    assert not broker.pair.server.commands


def test_taken_away_and_not_wanted() -> None:
    broker = subscribed(shard_channels=["s"])
    broker.refused[b"s"] = NOPERM
    broker.engine.unsubscribe(Kind.SHARD)
    broker.pair.settle()
    broker.serve()
    broker.pair.server.push("sunsubscribe", "s", 0)
    assert broker.engine.take() == []
    told = Degraded("ending subscriptions on the server", "a channel of SUNSUBSCRIBE")
    assert broker.pair.events() == [told], "what the server goes on sending reaches nobody"


# -- reconnects ----------------------------------------------------------------------------------------------------------


def test_more_than_a_thousand_reconnects_in_a_row() -> None:
    """Nothing grows, overflows, or is told more often than it happens."""
    broker = subscribed("a", channel_handlers={"h": print})
    for _ in range(1100):
        broker.pair.server.close()
        broker.pair.advance(6)
        broker.serve()
        broker.pair.events()
    broker.publish("a", "1")
    assert [message.data for message in broker.engine.take()] == [b"1"]
    assert [type(event) for event in broker.pair.events()] == [SubscriptionGap]
    assert len(broker.engine._buffer) + len(broker.engine._calls) <= 1
    assert broker.engine.subscriptions.confirmed == {b"a", b"h"}


def test_reconnects_in_the_middle_of_a_resubscription() -> None:
    names = [f"{n}" for n in range(1300)]
    broker = subscribed(*names)
    for answered in range(4):
        broker.lose()
        for _ in range(answered):
            broker.pair.server.reply(broker.answer(broker.pair.server.commands.popleft()))
    broker.serve()
    assert len(broker.engine.subscriptions.confirmed) == 1300
    assert len(broker.subscribed) == 1300
    assert broker.engine.take() == []
    assert sum(isinstance(event, SubscriptionGap) for event in broker.pair.events()) == 1


def test_the_back_off_begins_anew_after_each_success() -> None:
    broker = subscribed("a")
    for _ in range(5):
        broker.pair.server.close()
        broker.pair.advance(0.06)
        assert broker.pair.server.connected
        broker.serve()


@given(st.data())
def test_in_the_end_the_server_knows_what_is_desired(data: st.DataObject) -> None:
    """Whatever was said, answered, refused and lost in between."""
    broker = subscribed()
    names = [b"a", b"b", b"c"]
    desired: set[tuple[Kind, bytes]] = set()
    for step in data.draw(
        st.lists(st.sampled_from(["want", "want", "unwant", "answer", "lose", "refuse"]), max_size=30)
    ):
        kind, name = data.draw(st.sampled_from([Kind.CHANNEL, Kind.SHARD])), data.draw(st.sampled_from(names))
        match step:
            case "want":
                broker.engine.keep(broker.engine.subscribe(kind, {name: None}))
                desired.add((kind, name))
            case "unwant":
                broker.engine.keep(broker.engine.unsubscribe(kind, [name]))
                desired.discard((kind, name))
            case "answer" if broker.pair.server.commands:
                broker.pair.server.reply(broker.answer(broker.pair.server.commands.popleft()))
            case "lose":
                broker.lose()
            case "refuse":
                broker.refused = {} if broker.refused else {name: NOPERM}
        broker.pair.settle()
    broker.refused.clear()
    for _ in range(3):
        broker.serve()
        broker.pair.advance(4)
    broker.serve()
    assert broker.subscribed == {(kind.subscribe.lower(), name) for kind, name in desired}
    subscriptions = broker.engine.subscriptions
    assert not subscriptions.failed
    assert subscriptions.channels.confirmed == {name for kind, name in desired if kind is Kind.CHANNEL}
    assert subscriptions.shard_channels.confirmed == {name for kind, name in desired if kind is Kind.SHARD}
    table = broker.engine._subscriptions.table
    assert sum(map(len, table.values())) == len(desired)
    assert not the_table(broker).special


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


def test_two_gaps_with_a_message_between_them_are_told_in_their_places() -> None:
    broker = subscribed("a")
    broker.lose()
    broker.serve().publish("a", "1")
    broker.lose()
    broker.serve().publish("a", "2")
    told: list[Any] = []
    broker.engine.on_event = told.append
    for data in (b"1", b"2"):
        [message] = broker.engine.take()
        assert message.data == data
        [gap] = told
        assert isinstance(gap, SubscriptionGap)
        told.clear()


def test_a_gap_that_meets_another_one_tells_the_last_reason() -> None:
    broker = subscribed("a")
    for _ in range(2):
        broker.lose()
        broker.serve()
    broker.publish("a", "1")
    broker.pair.events()
    broker.engine.take()
    [gap] = broker.pair.events()
    assert isinstance(gap, SubscriptionGap)
    assert isinstance(gap.error, ConnectionLost)


@pytest.mark.parametrize("options", [{}, {"on_invalidate": print}])
def test_a_server_that_does_not_answer_a_subscriber_is_given_up_after_the_request_timeout(options: Any) -> None:
    engine: PubSub[bytes] = PubSub(() if options else "a", options=Options(request_timeout=0.5), **options)
    pair = Pair(engine)
    pair.advance(0.51)
    assert [type(event) for event in pair.events()] == [Connected, Disconnected]


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_loss_that_a_signal_handler_interrupts_anywhere_is_a_gap_and_everything_is_restored() -> None:
    """A subscription that the link still took for confirmed was never asked for again."""
    at, goes_on = 0, True
    while goes_on:
        broker, goes_on = subscribed("a", "b", "c"), True
        link, server = the_link(broker), broker.pair.server
        server.connected = False
        with suppress(KeyboardInterrupt):
            goes_on = moments(partial(link.connection_lost, None, broker.pair.now), at, interrupt, within=(CORE,))
        link.drop(ConnectionLost("torn"))  # as drivers do after such a call
        link.connection_lost(None, broker.pair.now)
        broker.subscribed.clear()
        broker.pair.advance(5)
        broker.serve()
        assert broker.subscribed == {("subscribe", name) for name in (b"a", b"b", b"c")}, f"interrupted at {at}"
        assert broker.engine.take() == []
        assert [type(event) for event in broker.pair.events()].count(SubscriptionGap) == 1, f"interrupted at {at}"
        at += 1
    assert at > 10
