"""Desired and confirmed state: refusals, healing, changes of mind, and any number of reconnects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.connection.exchange import Exchange, Subscribing
from streamcore.errors import BusyError, MovedError, NoPermissionError
from streamcore.events import Degraded, Disconnected, Reconnected, SubscriptionFailed, SubscriptionGap
from streamcore.pubsub import Kind, PubSub, with_handlers
from tests.core.support.subscribers import NOPERM, Broker, pushed, subscribed

BUSY = BusyError("BUSY", "a script runs")


def is_over(broker: Broker) -> bool:
    return broker.engine.is_over


def reasons(broker: Broker) -> dict[bytes, str]:
    return {name: error.code for name, error in broker.engine.subscriptions.failed.items()}


# -- refusals ------------------------------------------------------------------------------------------------------------


def test_a_refusal_names_the_channel_and_leaves_nothing() -> None:
    broker = subscribed("a")
    broker.refused[b"secret"] = NoPermissionError("NOPERM", "no permissions")
    change = broker.engine.subscribe(Kind.CHANNEL, {b"b": None, b"secret": None, b"c": None})
    broker.pair.settle()
    broker.serve()
    with pytest.raises(
        NoPermissionError, match=r"NOPERM no permissions \(channel 'secret'\) \(in reply to SUBSCRIBE\)"
    ):
        change.poll()
    broker.engine.give_up(change)
    broker.pair.settle()
    broker.serve()
    assert broker.commands == [
        [b"SUBSCRIBE", b"b", b"secret", b"c"],
        [b"SUBSCRIBE", b"b"],
        [b"SUBSCRIBE", b"secret"],
        [b"SUBSCRIBE", b"c"],
        [b"UNSUBSCRIBE", b"b", b"c"],
    ]
    assert broker.subscribed == {("subscribe", b"a")}
    assert broker.engine.subscriptions.desired == {b"a"}
    assert broker.pair.events() == []
    broker.pair.advance(10)
    assert list(broker.pair.server.commands) == [[b"PING"]]


def test_many_refusals_are_one_error_with_some_of_the_names() -> None:
    broker = subscribed()
    names = {b"%d" % n: None for n in range(8)}
    broker.refused = dict.fromkeys(names, NOPERM)
    change = broker.engine.subscribe(Kind.PATTERN, names)
    broker.pair.settle()
    broker.serve()
    with pytest.raises(
        type(NOPERM), match=r"\(patterns '0', '1', '2', '3', '4' and 3 more\) \(in reply to PSUBSCRIBE\)"
    ):
        change.poll()
    assert change.refusal is not None


def test_a_lazy_subscription_that_is_refused_is_told_and_asked_for_again() -> None:
    broker = subscribed()
    broker.refused[b"b"] = broker.refused[b"c"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": None, b"b": None, b"c": None}))
    broker.pair.settle()
    broker.serve()
    [failed] = broker.pair.events()
    assert isinstance(failed, SubscriptionFailed)
    assert (failed.kind, failed.names) == ("channel", (b"b", b"c"))
    assert "'b', 'c'" in str(failed.error)
    assert reasons(broker) == {b"b": "NOPERM", b"c": "NOPERM"}
    assert broker.engine.subscriptions.confirmed == {b"a"}
    broker.commands.clear()
    for _ in range(12):
        broker.pair.advance(5)
        broker.serve()
    assert 12 <= len(broker.commands) <= 60  # each round: both together, then each alone; and a PING now and then
    assert broker.pair.events() == []  # nothing new

    broker.refused.clear()
    broker.pair.advance(5)
    broker.serve().publish("b", "1")
    assert reasons(broker) == {}
    assert broker.data() == [b"1"]
    [gap] = broker.pair.events()
    assert isinstance(gap, SubscriptionGap)
    assert gap.names == (b"b", b"c")
    broker.pair.advance(5)
    assert not [command for command in broker.pair.server.commands if command != [b"PING"]]


def test_a_refusal_is_no_word_on_a_subscription() -> None:
    broker = subscribed(ignore_subscribe_messages=False)
    broker.refused[b"a"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": None}))
    broker.pair.settle()
    broker.serve()
    assert broker.engine.take() == []


def test_another_reason_is_told_again() -> None:
    broker = subscribed()
    broker.refused[b"s"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.SHARD, {b"s": None}))
    broker.pair.settle()
    broker.serve()
    broker.refused[b"s"] = MovedError("MOVED", "1 host:1")
    broker.pair.advance(0.1)
    broker.serve()
    codes = [event.error.code for event in broker.pair.events() if isinstance(event, SubscriptionFailed)]  # type: ignore[attr-defined]  # a ReplyError
    assert codes == ["NOPERM", "MOVED"]


def test_a_right_that_is_taken_away_and_given_back() -> None:
    """The server closes the connection, refuses the channel, and later takes it again."""
    broker = subscribed("a", "b")
    broker.refused[b"b"] = NOPERM
    broker.lose()
    broker.serve()
    assert broker.engine.subscriptions.confirmed == {b"a"}
    assert reasons(broker) == {b"b": "NOPERM"}
    broker.publish("a", "1")
    assert broker.data() == [b"1"]
    kinds = [type(event) for event in broker.pair.events()]
    assert kinds == [Disconnected, Reconnected, SubscriptionFailed, SubscriptionGap]
    broker.refused.clear()
    broker.lose()
    broker.serve()
    assert broker.engine.subscriptions.confirmed == {b"a", b"b"}
    assert reasons(broker) == {}


def test_a_server_that_cannot_serve_now_is_asked_later_and_nobody_is_bothered() -> None:
    broker = subscribed()
    broker.refused[b"a"] = BUSY
    change = broker.engine.subscribe(Kind.CHANNEL, {b"a": None, b"b": None})
    broker.pair.settle()
    broker.serve()
    assert not change.poll()
    assert isinstance(change.refusal, BusyError)
    assert len(broker.commands) == 1
    broker.refused.clear()
    broker.pair.advance(0.1)
    broker.serve()
    assert change.poll()
    assert change.refusal is None


def test_asking_for_what_was_refused_asks_the_server_at_once() -> None:
    broker = subscribed()
    broker.refused[b"a"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": None}))
    broker.pair.settle()
    broker.serve()
    broker.refused.clear()
    change = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.pair.settle()
    broker.serve()
    assert change.poll()
    broker.pair.advance(5)
    assert broker.commands == [[b"SUBSCRIBE", b"a"]] * 2


def test_un_subscribing_that_is_refused_hands_nothing_over() -> None:
    broker = subscribed("a")
    broker.refused[b"a"] = NOPERM
    change = broker.engine.unsubscribe(Kind.CHANNEL, [b"a"])
    broker.pair.settle()
    broker.serve()
    assert change.poll()
    broker.publish("a", "1")
    assert broker.data() == []
    assert broker.engine.is_over
    broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.publish("a", "2")
    assert broker.data() == [b"2"]
    broker.engine.unsubscribe(Kind.CHANNEL, [b"a"])
    broker.lose()
    assert not is_over(broker)  # the gap is still to be told
    assert broker.data() == []
    assert is_over(broker)


# -- changes of mind -----------------------------------------------------------------------------------------------------


def test_what_is_told_last_holds() -> None:
    broker = subscribed()
    for _ in range(3):
        broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": None}))
        broker.engine.keep(broker.engine.unsubscribe(Kind.CHANNEL, [b"a"]))
    change = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.pair.settle()
    broker.serve()
    assert change.poll()
    assert broker.subscribed == {("subscribe", b"a")}


def test_a_refusal_of_what_is_not_wanted_any_more_does_not_matter() -> None:
    broker = subscribed()
    broker.refused[b"a"] = NOPERM
    one = broker.engine.subscribe(Kind.CHANNEL, {b"a": None, b"b": None})
    other = broker.engine.unsubscribe(Kind.CHANNEL, [b"a"])
    broker.pair.settle()
    broker.refused.clear()
    refusal = broker.pair.server.commands.popleft()
    assert refusal == [b"SUBSCRIBE", b"a", b"b"]
    broker.pair.server.answer(NOPERM)
    broker.serve()
    assert one.poll()
    assert other.poll()
    assert broker.engine.subscriptions.confirmed == {b"b"}


def test_a_refusal_of_one_name_that_is_asked_for_again_meanwhile() -> None:
    broker = subscribed()
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": None}))
    broker.engine.keep(broker.engine.unsubscribe(Kind.CHANNEL, [b"a"]))
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": None}))
    broker.pair.settle()
    broker.pair.server.commands.popleft()
    broker.pair.server.answer(NOPERM)
    broker.serve()
    assert broker.engine.subscriptions.confirmed == {b"a"}
    assert broker.pair.events() == []


def test_a_refusal_that_is_given_up_before_it_is_told() -> None:
    broker = subscribed()
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": None}))
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"b": None}))
    broker.pair.settle()
    broker.pair.server.commands.clear()
    broker.pair.server.answer(NOPERM)
    broker.engine.keep(broker.engine.unsubscribe(Kind.CHANNEL, [b"a"]))
    broker.pair.settle()
    broker.pair.server.push("subscribe", "b", 1)
    broker.serve()
    assert broker.pair.events() == []


def test_a_call_that_is_given_up_takes_back_what_it_added() -> None:
    broker = subscribed("a")
    change = broker.engine.subscribe(Kind.CHANNEL, {b"a": None, b"b": None})
    broker.engine.give_up(change)
    broker.pair.settle()
    broker.serve()
    assert broker.subscribed == {("subscribe", b"a")}


def test_a_call_that_is_given_up_after_somebody_else_has_un_subscribed() -> None:
    broker = subscribed()
    change = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.engine.keep(broker.engine.unsubscribe(Kind.CHANNEL, [b"a"]))
    assert change.poll()
    change.done = False
    broker.engine.give_up(change)
    broker.pair.settle()
    broker.serve()
    assert broker.subscribed == set()


def test_unless_another_call_waits_for_the_same() -> None:
    broker = subscribed()
    one = broker.engine.subscribe(Kind.CHANNEL, {b"a": None, b"b": None})
    other = broker.engine.subscribe(Kind.CHANNEL, {b"b": None})
    broker.engine.give_up(one)
    broker.pair.settle()
    broker.serve()
    assert other.poll()
    assert broker.subscribed == {("subscribe", b"b")}
    broker.engine.give_up(other)
    assert broker.engine.subscriptions.desired == {b"b"}


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
    assert not broker.engine._subscriptions.special


def test_names_with_handlers_come_in_mappings_too() -> None:
    assert with_handlers(Kind.CHANNEL, ["a", {b"b b": print, "c": None}], {"d": repr}) == {
        b"a": None,
        b"b b": print,
        b"c": None,
        b"d": repr,
    }


def test_an_answer_that_is_about_something_else_is_none() -> None:
    subscribing = Subscribing("SUBSCRIBE", [b"a"])
    assert isinstance(subscribing, Exchange)
    for push in (
        ["subscribe"],
        [b"subscribe", b"b", 1],
        [b"subscribe", None, 1],
        [5, b"a", 1],
        [b"message", b"a", b"1"],
    ):
        assert not subscribing.is_confirmed_by(push)
    assert subscribing.is_confirmed_by([b"subscribe", b"a", 1])
