"""An input costs what it touches, however many idle links an engine has."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.connection.dials import MOST as AT_A_TIME
from streamcore.connection.exchange import Exchange
from streamcore.engine.engine import Engine
from streamcore.engine.script import WAIT, Script, ScriptRunner
from streamcore.engine.timers import MOST
from streamcore.testing.pair import Pair
from streamcore.testing.resp import resp
from tests.core.support.calls import Calls
from tests.core.support.lanes import link_of


class Crowd(Engine):
    """So many links; the script of each waits for ever."""

    def __init__(self, links: int) -> None:
        super().__init__()
        self.runners = [ScriptRunner(self, self._wait, f"link {number}") for number in range(links)]

    def _wait(self) -> Script:
        while True:
            yield WAIT


def an_exchange(pair: Pair, crowd: Crowd) -> int:
    """Count the calls of a command and its reply over the first link to be up, in a driver's way."""
    link = link_of(crowd.runners[0].link)
    with Calls() as calls:
        link.send(Exchange([("PING",)]))
        for changed in crowd.changed_links():
            changed.data_sent(len(changed.data_to_send()))
        if (due := crowd.next_timeout()) is not None and due <= pair.now:
            crowd.handle_timeout(pair.now)
        link.receive_data(resp("PONG"), pair.now)
        assert not crowd.changed_links()
        crowd.next_timeout()
    return calls.made


def a_wait(pair: Pair, crowd: Crowd) -> int:
    """Count the calls of a deadline that passes: the PING of the link that is idle longest."""
    with Calls() as calls:
        due = crowd.next_timeout()
        assert due is not None
        crowd.handle_timeout(due)
        [link] = crowd.changed_links()
    assert link is link_of(crowd.runners[0].link)
    return calls.made


@pytest.mark.parametrize("measure", [an_exchange, a_wait])
def test_an_input_costs_the_same_among_a_thousand_idle_links(measure: Any) -> None:
    made = []
    for links in (1, 10, 1000):
        pair = Pair(crowd := Crowd(links))
        crowd.runners.insert(0, crowd.runners.pop(links // 2))
        for runner in crowd.runners:
            link_of(runner.link).open()
            pair.settle()
            pair.now += 0.001
        assert all(link_of(runner.link).is_up for runner in crowd.runners)
        made.append(measure(pair, crowd))
    alone, few, many = made
    assert max(few, many) <= alone + 3 * MOST  # for the heap, which a few do without


def test_a_thousand_links_are_dialled_a_few_at_a_time() -> None:
    crowd = Crowd(1000)
    for runner in crowd.runners:
        link_of(runner.link).open()
    dialled = [link for link in crowd.links() if link.wants_connection]
    assert dialled == crowd.links()[:AT_A_TIME]
    crowd.close()
    assert not any(link.wants_connection for link in crowd.links())


def test_changed_links_come_once_and_in_the_order_of_all_links() -> None:
    crowd = Crowd(5)
    for runner in crowd.runners:
        link_of(runner.link).open()
    pair = Pair(crowd)
    assert not crowd.changed_links()
    for number in (3, 0, 3, 4):
        link_of(crowd.runners[number].link).send(Exchange([("PING",)]))
    assert [link.name for link in crowd.changed_links()] == ["link 0", "link 3", "link 4"]
    assert not crowd.changed_links()
    link_of(crowd.runners[2].link).pause()
    link_of(crowd.runners[2].link).pause()
    assert [link.name for link in crowd.changed_links()] == ["link 2"]
    link_of(crowd.runners[2].link).resume()
    assert [link.name for link in crowd.changed_links()] == ["link 2"]
    link_of(crowd.runners[1].link).connection_lost(None, pair.now)
    crowd.close()
    assert crowd.changed_links() == crowd.links()
