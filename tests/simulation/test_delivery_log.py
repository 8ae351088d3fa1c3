"""The delivery log of a group, and what the invariants know by it: of letters, of what comes again, and of who had an entry before."""

from __future__ import annotations

from contextlib import nullcontext
from math import inf

import pytest

from streamcore import StreamId
from streamcore.events import AcksConfirmed, DeadLettered, Gap
from streamcore.testing.model import Server, Session
from tests.simulation.support import TOO_OFTEN, delivered, entry_of, run
from transports.simulation.context import Scene
from transports.simulation.faults.failover import promote, replica_of
from transports.simulation.steady_state.context import SteadyState
from transports.simulation.steady_state.entry_trials import race
from transports.simulation.steady_state.invariants import QuietWhenHealthy
from transports.simulation.workloads.group.delivery_log import DeliveryLog
from transports.simulation.workloads.group.invariants import LettersDeserved, NoNeedlessRepetition, OnlySaidIsSettled
from transports.simulation.workloads.group.member import Member
from transports.simulation.workloads.group.predecessors import Predecessors
from transports.simulation.workloads.group.workload import add_group
from transports.simulation.world.actor import ADDRESS
from transports.simulation.world.driver import World
from transports.simulation.world.invariants import EventsInOrder
from transports.simulation.world.plan import Size
from transports.simulation.world.scheduler import Violation
from transports.simulation.world.server_host import Host
from transports.simulation.world.stream_log import HELD, STRANGER, Key, StreamLog, fields_of

KEY = Key(b"s", b"1-1", b"p9:1")


def stage() -> tuple[Scene, DeliveryLog, Member]:
    """A member that has read one entry, and stands still."""
    world = World(3)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    scene = Scene(world, host, StreamLog(host), [])
    add_group(scene, Size(members=1, senders=0, entries=0), EventsInOrder(world))
    log = scene.delivery_logs[0]
    run(world, 0.5)
    log.tenures.note()
    member = next(one for one in log.members if isinstance(one, Member) and one.name == "member-1")
    assert member.node is not None
    member.node.pause()
    log.sent.add(KEY.name)
    host.do(b"XADD", KEY.stream, KEY.id, *fields_of(KEY.name))
    scene.note()
    return scene, log, member


def hold(log: DeliveryLog, member: Member, *, settled: bool = False) -> None:
    """The member was handed the entry, and perhaps has settled it."""
    fate = log.fate(KEY)
    fate.holder, fate.times, fate.excused, fate.settled, fate.at = (
        member.label,
        1,
        False,
        settled * 1.0,
        log.world.now,
    )


def wrong(log: DeliveryLog, member: Member, deliveries: int = 2) -> str:
    """What is wrong with a letter of which a member tells."""
    event = DeadLettered(KEY.stream, KEY.id, b"dead", b"1-1", deliveries, TOO_OFTEN)
    LettersDeserved(log.world, log, 2).heard(member, event)
    try:
        run(log.world, 0.01)
    except Violation as violation:
        return violation.message
    return ""


class TestLetters:
    @pytest.mark.parametrize("is_connected", [True, False])
    def test_who_has_no_connection_when_its_name_is_taken_counts_as_gone(self, is_connected: bool) -> None:
        """Seed 2004423."""
        scene, log, member = stage()
        assert member.node is not None
        member.node.resume()
        run(scene.world, 0.1)
        hold(log, member)
        member.node.isolated_until = inf  # it is not told that the name is not its own any more
        for wire in () if is_connected else list(member.node.wires.values()):
            wire.reset()
        run(scene.world, 0.1)
        twin = next(one for one in log.members if isinstance(one, Member) and one.is_twin)
        twin.start()
        run(scene.world, 0.3)
        assert wrong(log, twin, 3) == "", "it was spared once: seed 2020033"
        assert wrong(log, twin) == (
            "twin.1 has buried 1-1 (p9:1), which member-1.1 has in hand" if is_connected else ""
        )

    @pytest.mark.parametrize("between", [STRANGER, None])
    def test_what_a_failover_brings_back_is_not_buried_by_the_process_that_had_settled_it(
        self, between: bytes | None
    ) -> None:
        """Seed 2010420."""
        _, log, member = stage()
        delivered(log, KEY, member.consumer)
        log.tenures.handed(KEY, member.label)
        hold(log, member, settled=True)
        if between is not None:
            delivered(log, KEY, between, 2)
        delivered(log, KEY, member.consumer, 2)
        assert "which it had settled" in wrong(log, member), "whoever else had it in between"


@pytest.mark.parametrize("is_inherited", [True, False])
def test_a_delivery_to_a_former_process_of_the_name_counts(is_inherited: bool) -> None:
    """Seed 2019269: its connection was served by the server still, when the next process had come."""
    _, log, member = stage()
    hold(log, member)
    if is_inherited:
        log.tenures.ended(member.consumer)
        log.history.born[KEY.name] = 0.0
    letter = [
        b"dead:reason",
        TOO_OFTEN.encode(),
        b"dead:attempts",
        b"2",
        b"dead:stream",
        KEY.stream,
        b"dead:id",
        KEY.id,
    ]
    log.history.store.do(b"XADD", b"{s}:dead", b"1-1", *fields_of(KEY.name), *letter)
    with nullcontext() if is_inherited else pytest.raises(Violation, match="handed over once, and not refused"):
        LettersDeserved(log.world, log, 2).look()


def test_a_connection_is_not_taken_for_one_that_had_its_number_before_a_restart() -> None:
    """Seed 2022517."""
    server, predecessors = Server(), Predecessors()
    server.on_command = predecessors.before_command

    def send(session: Session, *words: str) -> None:
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)
        session.receive(b"*%d\r\n%b" % (len(words), parts), 0.0)

    def named(name: str) -> Session:
        session = server.connect(0.0)
        send(session, "CLIENT", "SETNAME", name)
        send(session, "PING")
        return session

    first = named("a")
    server.begin_anew()
    second, other = named("b"), named("c")
    assert second.number == first.number
    second.lost()
    send(other, "CLIENT", "LIST", "ID", str(second.number))
    assert (predecessors.was_gone(b"c", b"b"), predecessors.was_gone(b"c", b"a")) == (True, False)


class TestALetterThatAFailoverLoses:
    """Seed 2005529."""

    def failed_over(self, *, letter: bool, start: bytes = b"1-1") -> tuple[DeliveryLog, Member]:
        """The group and perhaps a letter were lost, and the group is created again."""
        scene, log, member = stage()
        do, old = scene.host.do, scene.host.server
        do(b"XGROUP", b"DESTROY", KEY.stream, log.group)
        replica = replica_of(scene, old, "replica", lag=inf)
        log.fate(KEY).times = 1
        if letter:
            do(b"XADD", b"{s}:dead", b"*", *fields_of(KEY.name))
        promote(scene, old, replica)
        scene.host.stop()
        scene.host.start(replica)
        do(b"XGROUP", b"CREATE", KEY.stream, log.group, start)
        return log, member

    def test_leaves_an_entry_that_is_passed_over_where_its_group_was_lost_as_well(self) -> None:
        log, _ = self.failed_over(letter=True)
        OnlySaidIsSettled(log.world, log).look()

    @pytest.mark.parametrize(("letter", "start"), [(False, b"1-1"), (True, b"0"), (True, b"$")])
    def test_excuses_nothing_else(self, letter: bool, start: bytes) -> None:
        log, _ = self.failed_over(letter=letter, start=start)
        log.history.store.do(b"XGROUP", b"SETID", KEY.stream, log.group, b"1-1")
        with pytest.raises(Violation, match="is settled, or passed over, and nobody has said so"):
            OnlySaidIsSettled(log.world, log).look()

    def test_and_not_for_ever(self) -> None:
        log, member = self.failed_over(letter=True)
        entry = entry_of(KEY)
        member._hand(entry._batch, [entry._raw])
        with pytest.raises(Violation):
            OnlySaidIsSettled(log.world, log).look()


class TestWhatIsWantedAgain:
    def wanted(self) -> tuple[Scene, DeliveryLog]:
        """A stranger has set the group back, and the entry has come for that."""
        scene, log, member = stage()
        delivered(log, KEY, member.consumer)
        log.want_again(KEY.stream, KEY.number)
        assert (log.comes_again(KEY), log.comes_again(KEY)) == (True, False)
        return scene, log

    def test_comes_once_more_where_a_failover_has_taken_that_back(self) -> None:
        """Seed 2009501."""
        scene, log = self.wanted()
        scene.rewind(KEY.stream)
        assert (log.comes_again(KEY), log.comes_again(KEY)) == (True, False)

    @pytest.mark.parametrize("is_lost", [True, False])
    def test_is_wanted_as_before_where_a_failover_brings_its_stream_back(self, is_lost: bool) -> None:
        """Seed 2009166."""
        scene, log = self.wanted()
        old = scene.host.server
        scene.host.do(b"XGROUP", b"SETID", KEY.stream, log.group, b"0")
        replica = replica_of(scene, old, "replica", lag=inf if is_lost else 0.0)
        scene.drop(KEY.stream)
        scene.rewind(KEY.stream)
        scene.host.do(b"DEL", KEY.stream)
        promote(scene, old, replica)
        assert log.comes_again(KEY) is is_lost


@pytest.mark.parametrize(("read_at", "deliveries", "is_wrong"), [(1.0, 2, False), (1.0, 1, True), (3.0, 2, True)])
def test_what_was_read_before_it_was_settled_may_be_handed_over(
    read_at: float, deliveries: int, is_wrong: bool
) -> None:
    """Seed 2023010: it waited for others that were read along, and its reader stood still."""
    scene, log, member = stage()
    hold(log, member)
    fate, now = log.fate(KEY), scene.world.now
    fate.settled, member.hands.since = now + 2.0, now + 4.0
    log.asked[member.consumer, KEY.stream, bytes(StreamId.parse(KEY.id).before())] = now + read_at
    fate.excused = True
    entry = entry_of(KEY, deliveries)
    oracle = NoNeedlessRepetition(scene.world, log)
    if is_wrong:
        with pytest.raises(Violation, match="has settled, and the server has confirmed it"):
            oracle.handed(member, entry._batch, [entry._raw], [KEY])
    else:
        oracle.handed(member, entry._batch, [entry._raw], [KEY])


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_confirmation_is_of_what_was_said_first(is_reset: bool) -> None:
    """Seed 2017987: an acknowledgement was repeated, and answered, when its entry had come again in a new group."""
    _, log, member = stage()
    entry, fate = entry_of(KEY), log.fate(KEY)
    member._hand(entry._batch, [entry._raw])
    fate.acked = True
    if is_reset:
        log.reset(KEY.stream)
    fate.refused = fate.excused = True
    again = entry_of(KEY, 2)
    member._hand(again._batch, [again._raw])
    confirmed: list[bool] = []
    for _ in range(2):
        member._heard(AcksConfirmed(KEY.stream, (KEY.id,)))
        confirmed.append(fate.settled > 0)
    assert confirmed == [not is_reset, True]


@pytest.mark.parametrize("settled", [False, True])
def test_a_stranger_strikes_while_there_is_something_to_claim(settled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds 2007904 and 2007954: a claim that came in pieces was not noticed, and its entry was buried before the next one."""
    scene, log, _ = stage()
    steady = SteadyState(scene, EventsInOrder(scene.world), lambda: True, 1.0)

    def run_on(_: float) -> None:
        before = scene.host.before
        assert before is not None
        key = steady.key(HELD + b":1")
        log.fate(key)
        delivered(log, key, b"gone")
        if settled:
            scene.host.do(b"XACK", key.stream, log.group, key.id)
        before(b"$6\r\nXCLAIM " + key.id)
        run(scene.world, 0.01)
        assert steady.owner(log, key) == (None if settled else STRANGER)

    monkeypatch.setattr(steady, "run", run_on)
    race(steady, log)


@pytest.mark.parametrize("is_believed", [False, True])
def test_a_gap_may_be_told_in_the_steady_state_where_somebody_has_set_the_counters(is_believed: bool) -> None:
    """Seed 2023217: the entry that was counted, and never was, is missed when the next ones come."""
    scene, log, member = stage()
    events = EventsInOrder(scene.world)
    assert member.node is not None
    events.listen(member.label, member.engine)
    quiet = QuietWhenHealthy(scene.world, events, scene.delivery_logs)
    quiet.begin()
    if is_believed:
        log.losses.believed.add(KEY.stream)
    member.engine.on_event(Gap(KEY.stream, StreamId(1), StreamId(2), 1))
    if is_believed:
        quiet.end()
    else:
        with pytest.raises(Violation, match="nothing was wrong"):
            quiet.end()
