from __future__ import annotations

import traceback
from collections.abc import Iterable
from math import inf
from typing import Any

import pytest

from streamcore.connection.link_state import State
from streamcore.engine.engine import Engine
from streamcore.engine.event_queue import MAX_EVENTS
from streamcore.engine.script import ScriptRunner
from streamcore.errors import AuthenticationError, ClosedError, ConnectionLost, InvalidArgument
from streamcore.events import (
    ConnectAttemptFailed,
    Connected,
    Disconnected,
    Event,
    EventsDropped,
    Reconnected,
    StaleConnectionKilled,
)
from streamcore.options import Address, Login, Options
from streamcore.testing.pair import Pair
from streamcore.testing.resp import OK, resp
from tests.core.support.lanes import link_of
from tests.core.support.story import SECRET, Story, asking, silent

# -- what every engine has ---------------------------------------------------------------------------------------------


def test_an_engine_without_links_wants_nothing() -> None:
    engine = Engine()
    assert list(engine.links()) == []
    assert engine.next_timeout() is None
    engine.handle_timeout(5.0)
    assert engine.next_event() is None
    engine.check()


class Alarm(Engine):
    """So many links, and a part with a timer."""

    def __init__(self, own_timer: float | None, dials: Iterable[float] = ()) -> None:
        super().__init__()
        self.timer = self.new_timer(self._ring)
        self.timer.set(inf if own_timer is None else own_timer)
        self.rings: list[tuple[float, float, list[State]]] = []
        for number, at in enumerate(dials):
            runner = ScriptRunner(self, lambda: iter(()), f"link {number}")  # type: ignore[arg-type,return-value]
            link_of(runner.link).open()
            link_of(runner.link).handle_timeout(at)

    def _ring(self, now: float) -> None:
        self.timer.set(inf)
        self.rings.append((now, self._clock.now, [link.state for link in self.links()]))


@pytest.mark.parametrize(
    ("own_timer", "dials", "due"),
    [
        (None, [], None),
        (7.0, [], 7.0),
        (None, [1.0, 0.0, 2.0], 5.0),
        (4.0, [1.0, 0.0, 2.0], 4.0),
        (99.0, [1.0, 0.0, 2.0], 5.0),
    ],
)
def test_the_next_timeout_is_the_earliest_of_all(own_timer: float | None, dials: list[float], due: float) -> None:
    engine = Alarm(own_timer, dials)
    assert engine.next_timeout() == due
    assert engine.next_timeout() == due


def test_a_link_without_a_deadline_does_not_count() -> None:
    engine = Alarm(9.0, [0.0, 1.0])
    engine.links()[0].close()
    assert engine.next_timeout() == 6.0
    engine.links()[1].close()
    assert engine.next_timeout() == 9.0


def test_the_engines_own_deadlines_come_before_those_of_its_links() -> None:
    engine = Alarm(5.0, [0.0])
    engine.handle_timeout(5.0)
    assert engine.rings == [(5.0, 5.0, [State.DIALLING])]
    assert engine.links()[0].state is State.DROPPING


def test_events_come_in_order_to_whoever_asks_and_whoever_listens() -> None:
    story = Story(silent)
    heard: list[Event] = []
    story.on_event = heard.append
    happened: list[Event] = [StaleConnectionKilled(1), StaleConnectionKilled(2)]
    for event in happened:
        story.tell(event)
    assert heard == happened
    assert [story.next_event(), story.next_event(), story.next_event()] == [*happened, None]


def test_whether_there_is_an_event_can_be_seen_without_taking_it() -> None:
    story = Story(silent)
    assert not story.has_event
    story.tell(StaleConnectionKilled(1))
    assert (story.has_event, story.has_event) == (True, True)
    assert story.next_event() == StaleConnectionKilled(1)
    assert not story.has_event


def test_events_that_nobody_takes_are_bounded_and_the_loss_is_told_in_its_place() -> None:
    story = Story(silent)
    for number in range(MAX_EVENTS + 7):
        story.tell(StaleConnectionKilled(number))
    assert story.next_event() == EventsDropped(7)
    assert [story.next_event() for _ in range(MAX_EVENTS)] == [StaleConnectionKilled(7 + n) for n in range(MAX_EVENTS)]
    assert story.next_event() is None
    story.tell(StaleConnectionKilled(-1))
    assert story.next_event() == StaleConnectionKilled(-1)


def test_without_data_events_are_in_their_place_at_once_and_are_told_once_there_too() -> None:
    story = Story(silent)
    happened: list[Event] = [StaleConnectionKilled(1), StaleConnectionKilled(2)]
    for event in happened:
        story.tell(event)
    due = [story.has_event_in_place]
    assert [story.next_event_in_place(), story.next_event()] == [StaleConnectionKilled(1), StaleConnectionKilled(1)]
    assert [story.next_event_in_place(), story.next_event_in_place()] == [StaleConnectionKilled(2), None]
    assert [*due, story.has_event_in_place] == [True, False]
    assert [story.next_event(), story.next_event()] == [StaleConnectionKilled(2), None]


def test_events_that_nobody_wants_in_their_place_are_bounded_too() -> None:
    story = Story(silent)
    for n in range(MAX_EVENTS + 7):
        story.tell(StaleConnectionKilled(n))
        story.next_event()
    assert story.next_event_in_place() == EventsDropped(7)
    assert story.next_event_in_place() == StaleConnectionKilled(7)
    assert story.next_event() is None


def test_a_closed_engine_says_so_and_wakes_whoever_waits() -> None:
    pair = Pair(Story(silent))
    pair.engine.check()
    pair.engine.close()
    pair.engine.close()
    assert pair.wakeups == 1
    assert not pair.server.link.wants_connection
    with pytest.raises(ClosedError, match="this Story is closed; open a new one"):
        pair.engine.check()
    pair.settle()
    assert pair.server.link.state is State.RESTING
    assert pair.engine.next_timeout() is None


def test_a_closed_engine_can_be_dropped_without_anybody_listening() -> None:
    story = Story(silent)
    story.tell(StaleConnectionKilled(1))
    story.close()
    assert story.closed


def test_what_ended_an_engine_is_raised_to_everybody_with_the_traceback_it_had() -> None:
    pair = Pair(Story(silent))
    try:
        raise LookupError("a bug")
    except LookupError as error:
        pair.engine.fail(error)
    pair.engine.fail(ValueError("a later one"))
    pair.engine.close()
    lengths = []
    for _ in range(5):
        with pytest.raises(LookupError, match="a bug") as raised:
            pair.engine.check()
        lengths.append(len(list(traceback.walk_tb(raised.value.__traceback__))))
    assert len(set(lengths)) == 1


@pytest.mark.parametrize(("block", "fits"), [(0.1, True), (15.0, True), (15.1, False)])
def test_a_read_may_not_block_longer_than_the_keep_alive(block: float, fits: bool) -> None:
    engine = Engine(options=Options(keepalive_idle=10.0, keepalive_answer=5.0))
    if fits:
        engine.check_block(block)
    else:
        with pytest.raises(InvalidArgument, match=r"block=15\.1 is longer than the keep-alive of 15 s"):
            engine.check_block(block)


# -- what is told of links ---------------------------------------------------------------------------------------------


def test_a_link_that_comes_and_goes_is_told_about() -> None:
    pair = Pair(Story(silent, address=Address("server", 1)), dials=False)
    pair.dials, pair.refusal = True, OSError("refused")
    pair.settle()
    pair.advance(0.05)
    pair.refusal = None
    pair.advance(1.0)
    pair.server.close()
    pair.advance(1.0)
    first, second, up, down, again = pair.events()
    assert isinstance(first, ConnectAttemptFailed)
    assert isinstance(second, ConnectAttemptFailed)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.link, first.address) == ("main", "server:1")
    assert str(second.error) == "the connection to server:1 broke: refused"
    assert up == Connected("main", "server:1", "valkey 9.1.2")
    assert isinstance(down, Disconnected)
    assert isinstance(down.error, ConnectionLost)
    assert again == Reconnected("main", "server:1", "valkey 9.1.2")


@pytest.mark.parametrize("hello", [{}, {"server": 1, "version": None}, {"server": [b"x"], "version": 1.5}])
def test_a_server_that_does_not_say_who_it_is_is_welcome(hello: dict[str, Any]) -> None:
    pair = Pair(Story(silent), greets=False)
    pair.server.reply(resp(hello), OK, OK)
    assert pair.events() == [Connected("main", "localhost:6379", "? ?")]


def test_a_wrong_password_ends_the_engine_and_is_shown_nowhere() -> None:
    pair = Pair(Story(silent, login=Login("ann", SECRET)), greets=False)
    shown: list[str] = []
    pair.engine.on_event = lambda event: shown.append(f"{event} {event!r}")
    pair.server.close()
    pair.advance(1.0)
    pair.server.reply(f"-WRONGPASS {SECRET} is wrong\r\n".encode())
    with pytest.raises(AuthenticationError) as raised:
        pair.engine.check()
    shown += [str(raised.value), repr(raised.value), repr(pair.engine), repr(pair.engine.links())]
    assert SECRET not in "".join(shown)
    assert len(shown) == 5
    assert pair.wakeups == 1
    assert pair.engine.next_timeout() is None


def test_a_password_that_worked_before_may_work_again() -> None:
    pair = Pair(Story(silent))
    pair.greets = False
    pair.server.close()
    pair.advance(1.0)
    pair.server.reply(b"-WRONGPASS no\r\n")
    assert not pair.engine.closed
    assert isinstance(pair.events()[-1], ConnectAttemptFailed)


def test_nothing_is_told_of_the_links_of_a_closed_engine() -> None:
    pair = Pair(Story(silent))
    pair.events()
    pair.engine.close()
    pair.settle()
    assert pair.events() == []


def test_asking_for_outputs_again_changes_nothing() -> None:
    pair = Pair(Story(asking("a", "b")), budget=0)

    def outputs() -> tuple[Any, ...]:
        links = [
            (link.wants_connection, link.wants_data, bytes(link.data_to_send()), link.next_timeout())
            for link in pair.engine.links()
        ]
        return links, pair.engine.next_timeout()

    assert outputs() == outputs() == outputs()
    pair.budget = 1000
    pair.settle()
    assert outputs() == outputs() == outputs()
