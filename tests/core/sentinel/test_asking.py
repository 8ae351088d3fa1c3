"""The questions for the primary: of which Sentinels, how often, what is made of the answers, and what is told where there are none."""

from __future__ import annotations

from itertools import pairwise

import pytest

from streamcore.commands import get, incr
from streamcore.errors import ConnectionLost, NoSentinelError
from streamcore.events import ConnectAttemptFailed, Degraded, Event
from streamcore.options import Address, SentinelAddress
from streamcore.requests import Multiplexer
from streamcore.testing.cluster_net import ClusterNet
from streamcore.topology_events import PrimaryChanged
from tests.core.support.sentinels import FIRST, SECOND, SERVICE, START, Rig, sentinel, served

NO_SUCH = SentinelAddress("127.0.0.1", 1)
SEEDS = [sentinel(number) for number in range(3)]


def behind(rig: Rig, *numbers: int) -> None:
    """Let the Sentinels fail over, and these never know; nothing is published."""
    delays = [None if number in numbers else 0.0 for number in range(3)]
    rig.model.failover(rig.replica, delays=delays, hints=(None, None, None))


def lose(rig: Rig) -> None:
    """Break the connections to the first server, which cannot be dialled any more."""
    rig.crash(rig.primary)


# -- in which order, and how often ----------------------------------------------------------------------------------------


def test_two_are_compared_now_and_then() -> None:
    numbers = iter(range(10**6))
    rig = Rig(engine={"random": lambda: next(numbers) * 0.37 % 1}, refresh_interval=10.0)
    rig.advance(100.0)
    times = [at for at, _ in rig.asked]
    pairs = list(zip(times[1::2], times[2::2], strict=True))
    assert 8 <= len(pairs) <= 12
    assert all(later - first < 0.1 for first, later in pairs), "two at a time"
    pauses = [second[0] - first[0] for first, second in pairwise(pairs)]
    assert all(8.0 <= pause <= 12.2 for pause in pauses)
    assert len({round(pause, 2) for pause in pauses}) > 3, "jitter"
    assert not rig.events(PrimaryChanged)
    assert not rig.link("sentinel").wants_connection


def test_one_sentinel_is_enough() -> None:
    rig = Rig(model=served(sentinels=1), refresh_interval=5.0)
    rig.advance(30.0)
    assert 4 <= len(rig.take_asked()) <= 8
    rig.model.failover(rig.replica)
    rig.advance(0.3)
    assert rig.link().address == SECOND


def test_the_last_to_answer_is_asked_first() -> None:
    rig = Rig(seeds=SEEDS)
    rig.advance(1.1)
    rig.model.sentinels[0].is_up = False
    for session in [*rig.model.sentinels[0].sessions.values()]:
        session.lost()
    rig.net.serve()
    rig.take_asked()
    rig.advance(16.0)
    assert rig.take_asked()[0] == 1
    assert rig.service.board.order()[0] in SEEDS[1:]
    failed = [event.address for event in rig.events(ConnectAttemptFailed)]
    assert failed == ["127.0.0.1:26379"], "told once"
    rig.advance(30.0)
    assert not rig.events(ConnectAttemptFailed)


def test_a_sentinel_that_stands_still_is_passed_over_after_half_a_second() -> None:
    rig = Rig(seeds=SEEDS, starts=False)
    rig.pause(rig.model.sentinels[0])
    rig.start()
    ready = [rig.client.is_ready]
    for seconds in (0.4, 0.2):
        rig.advance(seconds)
        ready.append(rig.client.is_ready)
    assert ready == [False, False, True]
    [failed] = rig.events(ConnectAttemptFailed)
    assert "did not answer within 0.5 s" in str(failed.error)


def test_an_answer_that_comes_late_is_not_waited_for() -> None:
    rig = Rig(model=served(sentinels=2), refresh_interval=3.0)
    rig.advance(1.1)
    last = rig.model.sentinels[1]
    run = last.run
    rig.pause(last)
    while rig.link("sentinel").address != sentinel(1):
        rig.advance(0.02)
    rig.advance(0.3)
    for session in [*last.sessions.values()]:  # it greets us, and is silent again
        run(session, rig.model.now)
    rig.net.serve()
    asked = rig.link("sentinel").is_up
    rig.advance(0.21)
    rig.resume(last)
    assert (asked, rig.link("sentinel").is_up, rig.client.error) == (True, False, None)
    rig.take_asked()
    rig.advance(5.0)
    assert 1 in rig.take_asked()


def test_a_sentinel_that_stands_still_is_heard_no_more() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.pause(rig.model.sentinels[0])
    rig.advance(8.0)
    assert rig.link("sentinel events").address in SEEDS[1:]
    rig.model.failover(rig.replica)
    rig.advance(0.3)
    assert rig.link().address == SECOND


def test_what_was_published_before_another_is_heard_is_asked_for() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.pause(rig.primary)
    first = rig.model.sentinels[0]
    first.is_up = False
    for session in [*first.sessions.values()]:
        session.lost()
    rig.model.failover(rig.replica)
    rig.net.serve()
    assert rig.link().address == FIRST
    rig.advance(0.3)
    assert rig.link().address == SECOND


def test_the_only_sentinel_is_listened_to_again() -> None:
    rig = Rig(model=served(sentinels=1))
    rig.advance(1.1)
    for session in [*rig.model.sentinels[0].sessions.values()]:
        session.lost()
    rig.net.serve()
    rig.advance(0.3)
    assert rig.link("sentinel events").is_up


def test_hints_about_other_services_are_ignored() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.take_asked()
    for one in rig.model.sentinels:
        one.service.name = b"clicks"
        one.hint((b"h", 1), (b"h", 2))
    rig.net.serve()
    rig.advance(1.0)
    assert rig.take_asked() == []


def test_a_hint_alone_leads_nowhere() -> None:
    rig = Rig()
    rig.advance(1.1)
    rig.take_asked()
    for one in rig.model.sentinels:
        one.hint((b"127.0.0.1", 6379), (b"127.0.0.1", 6380))
    rig.advance(0.2)
    assert len(rig.take_asked()) == 2
    assert rig.link().address == FIRST


def test_without_the_right_to_subscribe_they_are_asked() -> None:
    rig = Rig(starts=False)
    for one in rig.model.sentinels:
        one.faults.denied.add("SUBSCRIBE")
    rig.start()
    rig.advance(1.1)
    [degraded] = rig.events(Degraded)
    assert degraded.what == "hearing of switches at once"
    lose(rig)
    request = rig.ask(incr("n"))
    rig.model.failover(rig.replica)
    assert rig.until(request) <= 1.2


# -- old news -------------------------------------------------------------------------------------------------------------


def test_a_sentinel_that_is_cut_off_tells_old_news() -> None:
    rig = Rig(seeds=SEEDS)
    rig.advance(1.1)
    behind(rig, 0)
    lose(rig)
    request = rig.ask(incr("n"))
    assert rig.until(request) <= 0.3
    assert rig.known.epoch == 1
    rig.service.board.heard(SEEDS[0], None)  # it is asked first
    rig.advance(40.0)
    assert rig.link().address == SECOND


def test_old_news_of_all_that_answer_are_not_believed_while_others_are_silent() -> None:
    rig = Rig(seeds=SEEDS)
    rig.advance(1.1)
    rig.model.failover(rig.replica)
    rig.advance(1.0)
    rig.model.failover(rig.primary, delays=(None, None, None))
    for one in rig.model.sentinels:
        one.service.epoch = 0
        one.service.primary = (b"127.0.0.1", 6379)
    rig.model.sentinels[2].is_up = False
    rig.crash(rig.replica)
    rig.advance(3.0)
    assert rig.known.address == SECOND
    rig.model.sentinels[2].is_up = True
    rig.advance(2.0)
    assert rig.known.address == FIRST, "all of them have begun anew"
    assert rig.ask(incr("n")).answer() == 1


def test_lower_epochs_do_not_matter_while_the_primary_serves() -> None:
    rig = Rig(seeds=SEEDS)
    rig.model.failover(rig.replica)
    rig.advance(1.1)
    for one in rig.model.sentinels:
        one.service.epoch = 0
        one.service.primary = (b"127.0.0.1", 6379)
    rig.advance(40.0)
    assert rig.known.address == SECOND


@pytest.mark.parametrize("denied", ["SENTINEL MASTER", "SENTINEL SENTINELS"])
def test_some_rights_can_be_missing(denied: str) -> None:
    rig = Rig(seeds=SEEDS, starts=False)
    for one in rig.model.sentinels:
        one.faults.denied.add(denied)
    rig.start()
    rig.advance(1.1)
    rig.model.switch(rig.replica, hints=(None, None, None))
    rig.advance(30.0)
    is_told = denied != "SENTINEL MASTER"
    assert (rig.known.address == SECOND) is is_told, (
        "without its epoch, another primary counts where the present serves not"
    )
    lose(rig)
    rig.model.failover(rig.replica)
    rig.advance(2.0)
    assert rig.link().address == SECOND
    assert rig.link().is_up


# -- which addresses ------------------------------------------------------------------------------------------------------


def test_addresses_are_translated() -> None:
    model = served()
    inner = {("127.0.0.1", port): ("127.0.0.1", port + 10000) for port in (6379, 6380, 26379, 26380, 26381)}
    rig = Rig(model=model, seeds=[SentinelAddress("127.0.0.1", 36379)], address_map=inner, starts=False)
    rig.net = ClusterNet(model, rig.client, routes={outer: own for own, outer in inner.items()})
    rig.advance(1.1)
    assert rig.known.address == Address("127.0.0.1", 16379)
    assert rig.client.is_ready
    assert set(rig.service.board.order()) == {SentinelAddress("127.0.0.1", port) for port in (36379, 36380, 36381)}
    rig.model.failover(rig.replica)
    rig.advance(0.5)
    assert rig.link().address == Address("127.0.0.1", 16380)


def test_what_a_sentinel_elsewhere_says_of_loopback_is_about_itself() -> None:
    model = served()
    routes = {("10.0.0.5", 26379): ("127.0.0.1", 26379)}
    rig = Rig(model=model, seeds=[SentinelAddress("10.0.0.5")], starts=False)
    rig.net = ClusterNet(model, rig.client, routes=routes)
    rig.advance(0.1)
    assert "names 127.0.0.1:6379 as the primary, which cannot be dialled from here" in str(rig.link().error)
    for one in model.sentinels:
        one.service.primary = (b"10.0.0.5", 6379)
    rig.advance(2.0)
    assert rig.known.address == Address("10.0.0.5", 6379)
    assert rig.service.board.order() == [SentinelAddress("10.0.0.5")], "the others cannot be dialled"


# -- no Sentinel ----------------------------------------------------------------------------------------------------------


def test_a_service_that_is_not_known_is_told_at_once() -> None:
    model = served()
    rig = Rig(model=model, name="clicks", seeds=[*SEEDS, NO_SUCH], starts=False)
    rig.start()
    rig.advance(0.2)
    error = rig.link().error
    assert isinstance(error, NoSentinelError)
    assert not error.permanent, "a silent Sentinel may know it"
    assert str(error) == (
        "no Sentinel knows 'clicks' (asked 4: 127.0.0.1:26379, 127.0.0.1:26380, 127.0.0.1:26381: knows orders; 127.0.0.1:1: "
        "the connection to 127.0.0.1:1 broke: no server runs at 127.0.0.1:1); check the service's name"
    )
    other = Rig(name="clicks", seeds=SEEDS)
    assert isinstance(other.client.error, NoSentinelError)
    assert other.client.error.permanent
    with pytest.raises(NoSentinelError, match="no Sentinel knows 'clicks'"):
        other.client.submit([get("a")], print)


def test_a_sentinel_may_not_tell_which_services_it_knows() -> None:
    rig = Rig(name="clicks", starts=False)
    rig.model.sentinels[0].faults.denied.add("SENTINEL MASTERS")
    rig.start()
    assert "127.0.0.1:26379: knows no such service)" in str(rig.client.error)


def test_sentinels_that_are_down_are_asked_again() -> None:
    rig = Rig(seeds=[NO_SUCH])
    request = rig.ask(incr("n"))
    rig.until(request)
    with pytest.raises(
        ConnectionLost,
        match=r"no connection to any node within 5 s: no Sentinel tells the primary of 'orders' \(asked 1: 127",
    ):
        request.answer()
    assert len(rig.events(ConnectAttemptFailed)) == 1
    rig.service.board._seeds = (sentinel(0),)
    rig.advance(1.1)
    assert rig.client.is_ready
    assert rig.link().error is None


def test_a_server_with_data_is_no_sentinel() -> None:
    rig = Rig(seeds=[SentinelAddress("127.0.0.1", 6379)])
    assert isinstance(rig.client.error, NoSentinelError)
    assert "127.0.0.1:6379: it is no Sentinel but a server with data" in str(rig.client.error)


def test_a_refused_login_is_told_at_once() -> None:
    model = served()
    for one in model.sentinels:
        one.passwords[b"default"] = b"secret"
    rig = Rig(model=model)
    assert isinstance(rig.client.error, NoSentinelError)
    assert "check sentinel_username= and sentinel_password=" in str(rig.client.error)
    assert Rig(model=model, password="secret").client.is_ready


def test_a_user_who_may_not_ask_is_told_so() -> None:
    rig = Rig(starts=False)
    rig.model.sentinels[0].faults.denied.add("SENTINEL")
    rig.start()
    assert isinstance(rig.client.error, NoSentinelError)
    assert "no permissions" in str(rig.client.error).lower()


def test_an_answer_without_sense_is_passed_over() -> None:
    rig = Rig(seeds=SEEDS, starts=False)
    rig.model.sentinels[0].service.primary = (b"\xff", 6379)
    rig.start()
    assert rig.client.is_ready
    assert len(rig.events(ConnectAttemptFailed)) == 1


def test_an_interruption_goes_through() -> None:
    def interrupt(host: str, port: int) -> tuple[str, int]:
        raise KeyboardInterruptError

    class KeyboardInterruptError(Exception):
        """A signal handler has raised it."""

    with pytest.raises(KeyboardInterruptError):
        Rig(address_map=interrupt)


def test_a_sentinel_that_forgets_the_service_is_passed_over() -> None:
    rig = Rig(seeds=SEEDS)
    rig.advance(1.1)
    for one in rig.model.sentinels:
        one.service.name = b"clicks"
    rig.advance(20.0)
    assert rig.client.error is None
    assert rig.ask(incr("n")).answer() == 1
    for one in rig.model.sentinels:
        one.service.name = SERVICE.encode()
    lose(rig)
    rig.model.failover(rig.replica)
    rig.advance(2.2)
    assert rig.ask(get("a")).answer() is None


# -- the end --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ConnectAttemptFailed, PrimaryChanged])
def test_an_application_may_close_the_client_at_any_event(kind: type[Event]) -> None:
    rig = Rig(seeds=[*SEEDS, NO_SUCH])
    rig.advance(1.1)

    def close(event: Event) -> None:
        if isinstance(event, kind):
            rig.client.close()

    rig.client.on_event = close
    for one in rig.model.sentinels:
        one.is_up = kind is PrimaryChanged
        for session in [*one.sessions.values()]:
            session.lost()
    rig.model.failover(rig.replica)
    rig.advance(30.0)
    assert rig.client.closed
    assert rig.client.next_timeout() is None
    assert not any(link.wants_connection for link in rig.client.links())


def test_a_client_that_learns_of_another_primary_may_be_closed_by_that() -> None:
    rig = Rig()
    rig.advance(1.1)
    other = Multiplexer(**rig.keywords)
    net = rig.join(other)
    other.on_event = lambda event: other.close()
    rig.model.failover(rig.replica)
    rig.advance(0.3)
    net.advance(1.5)
    assert other.closed
    assert other.next_timeout() is None


def test_a_client_that_is_closed_while_it_asks_leaves_its_turn() -> None:
    rig = Rig(seeds=[NO_SUCH, *SEEDS], starts=False)
    for one in rig.model.sentinels:
        rig.pause(one)
    rig.start()
    rig.client.close()
    rig.net.serve()
    for one in rig.model.sentinels:
        rig.resume(one)
    assert rig.service.board.take_turn(START + 0.2)


def test_two_routers_do_not_ask_at_the_same_time() -> None:
    rig = Rig(seeds=SEEDS)
    net = rig.join(Multiplexer(**rig.keywords))
    for each in (rig.net, net):
        each.advance(1.1)
    rig.take_asked()
    lose(rig)
    net.hidden.add(rig.primary)
    for _ in range(40):
        rig.net.advance(0.05)
        net.advance(0.05)
    assert len(rig.take_asked()) <= 26, "a turn in 0.1 s at most, doubling"
    rig.model.failover(rig.replica)
    for _ in range(10):
        rig.net.advance(0.1)
        net.advance(0.1)
    assert all(each.pair.peer("main").link.is_up for each in (rig.net, net))
