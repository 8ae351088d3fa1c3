"""Desired and confirmed state: refusals, healing, changes of mind, and any number of reconnects."""

from __future__ import annotations

import pytest

from streamcore.connection.exchange import Exchange, Subscribing
from streamcore.errors import BusyError, MovedError, NoPermissionError
from streamcore.events import Disconnected, Reconnected, SubscriptionFailed, SubscriptionGap
from streamcore.pubsub import Kind, with_handlers
from tests.core.support.subscribers import (
    BUSY,
    NOPERM,
    Broker,
    answer_one,
    is_done,
    is_over,
    pushed,
    subscribed,
    the_table,
)


def reasons(broker: Broker) -> dict[bytes, str]:
    return {name: error.code for name, error in broker.engine.subscriptions.failed.items()}


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


def pauses(broker: Broker, rounds: int) -> list[float]:
    """Seconds between two attempts to subscribe to what is refused."""
    found: list[float] = []
    for _ in range(rounds):
        broker.pair.settle()
        broker.serve()
        due = the_table(broker).retry.at
        found.append(round(due - broker.pair.now, 3))
        broker.pair.advance(found[-1])
    return found


def test_a_refused_channel_is_asked_for_less_and_less_often_until_all_are_granted() -> None:
    broker = subscribed()
    broker.refused[b"b"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"b": None}))
    assert pauses(broker, 9) == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    broker.refused.clear()
    broker.serve()
    broker.refused[b"c"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"c": None}))
    assert pauses(broker, 2) == [0.05, 0.1]
