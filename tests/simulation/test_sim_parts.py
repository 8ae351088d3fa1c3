"""The parts of the simulator by themselves: purity, the network's promises, a paused process."""

from __future__ import annotations

import ast

import pytest

from streamcore import GroupBatch, GroupEntry, Multiplexer
from streamcore.commands import echo
from streamcore.connection.link import State
from streamcore.events import DeadLettered
from streamcore.testing.model import Server
from tests.test_architecture import FORBIDDEN, FORBIDDEN_CALLS, ROOT, imported
from transports.simulation.context import Scene
from transports.simulation.workloads.group.delivery_log import Book
from transports.simulation.workloads.group.invariants import AttemptsSeen, LettersDeserved
from transports.simulation.workloads.group.member import Member
from transports.simulation.workloads.group.workload import cast_group
from transports.simulation.world.actor import ADDRESS, OPTIONS, Program
from transports.simulation.world.driver import Node, World
from transports.simulation.world.invariants import EventsInOrder, Recovers
from transports.simulation.world.plan import Size
from transports.simulation.world.scheduler import Violation
from transports.simulation.world.server_host import Host
from transports.simulation.world.stream_log import STRANGER, History, Key, fields_of

TOO_OFTEN = "delivered too often"
SIMULATION = ROOT / "transports" / "simulation"
# Lots are drawn from streams that a seed begins, never from the module's own; and the face under test stands on top of it.
ALLOWED = (
    "random.Random",
    "transports.simulation",
    "streamcore.testing.model",
    "transports._facade",
    "transports.address",
)


def test_the_simulator_is_pure() -> None:
    problems = []
    for path in sorted(SIMULATION.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = imported(node, "transports.simulation")
            if isinstance(node, ast.ImportFrom) and node.module == "random":
                named = iter([f"random.{alias.name}" for alias in node.names])
            problems += [
                f"{path.name}:{getattr(node, 'lineno', 0)} imports {name}"
                for name in named
                if name.partition(".")[0] in FORBIDDEN and not name.startswith(ALLOWED)
            ]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                problems.append(f"{path.name}:{node.lineno} calls {node.func.id}()")
    assert sorted(SIMULATION.glob("*.py"))
    assert problems == []


class Asker(Program):
    """Asks for echoes, one after the other."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "asker")
        self.answers: list[object] = []
        self.asked = 0

    def begin(self) -> Multiplexer:
        return Multiplexer(address=ADDRESS, options=OPTIONS)

    def look(self) -> bool:
        return False

    def ask(self, count: int) -> None:
        assert self.node is not None
        for _ in range(count):
            self.asked += 1
            word = b"%d" % self.asked
            self.engine.submit([echo(word)], lambda request: self.answers.append(request.error or request.answer()))
        self.node.pump()


def stage(seed: int = 0) -> tuple[World, Host, Asker, Node]:
    world = World(seed)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    asker = Asker(world)
    asker.start()
    assert asker.node is not None
    return world, host, asker, asker.node


def run(world: World, seconds: float) -> None:
    world.run(world.now + seconds)


def test_nothing_is_lost_or_reordered_whatever_is_split_and_delayed() -> None:
    for seed in range(20):
        world, _, asker, _ = stage(seed)
        for _ in range(10):
            asker.ask(30)
            run(world, 0.01)
        run(world, 0.5)
        assert asker.answers == [b"%d" % number for number in range(1, 301)]


def test_a_fuse_lets_so_many_bytes_pass_and_no_more() -> None:
    world, _, asker, node = stage()
    run(world, 0.2)
    [wire] = node.wires.values()
    wire.down.fuse = 9  # "$1\r\n1\r\n" and two bytes of the second reply
    asker.ask(2)
    run(world, 0.1)
    assert asker.answers[0] == b"1"
    assert world.faults == {"cut in a reply": 1}
    assert node.dials == 2
    assert asker.answers[1:] == [b"2"]  # an ECHO may be asked again


def test_of_a_half_open_connection_only_one_end_knows() -> None:
    world, host, _, node = stage()
    run(world, 0.2)
    [wire] = node.wires.values()
    session = wire.session
    assert session is not None
    wire.vanish_for_client()
    assert session.is_open
    run(world, 0.2)
    assert len(host.server.sessions) == 3  # the operator's, the ghost's, and the new one
    [wire] = node.wires.values()
    wire.vanish_for_server()
    assert node.wires
    run(world, OPTIONS.keepalive_idle + OPTIONS.keepalive_answer + 0.5)
    assert [link.is_up for link in node.engine.links() if link.wants_connection] == [True]


def test_a_connection_that_babbles_answers_nothing_until_it_is_given_up() -> None:
    world, _, asker, node = stage()
    run(world, 0.2)
    [wire] = node.wires.values()
    wire.babble(b"$100\r\n", b"x", 0.05)
    asker.ask(1)
    run(world, 0.2)
    assert asker.answers == []
    assert list(node.wires.values()) == [wire]
    run(world, 0.28)
    assert asker.answers == [b"1"]  # an ECHO may be asked again
    assert wire not in node.wires.values()


def test_what_comes_for_a_paused_process_waits() -> None:
    world, _, asker, node = stage()
    run(world, 0.2)
    asker.ask(1)
    node.pause()
    run(world, 0.3)
    assert asker.answers == []
    node.resume()
    assert asker.answers == [b"1"]


def test_a_dead_process_does_nothing_more() -> None:
    world, host, asker, node = stage()
    run(world, 0.2)
    asker.crash(silently=True, away=0.5)
    assert (node.alive, world.nodes, len(host.server.sessions)) == (False, [], 2)
    run(world, 1.0)
    assert [one.label for one in world.nodes] == ["asker.2"]


def test_a_timer_may_come_early_and_a_write_in_parts() -> None:
    world, _, asker, node = stage()
    run(world, 0.2)
    [wire] = node.wires.values()
    wire.up.clogged_until = world.now + 0.1
    asker.ask(1)
    run(world, 0.05)
    assert asker.answers == []
    for _ in range(500):
        node.pump()
    run(world, 0.2)
    assert asker.answers == [b"1"]


def test_the_operator_is_spared_from_faults() -> None:
    _, host, _, _ = stage()
    host.server.faults.unavailable = "LOADING wait"
    host.do(b"SET", b"key", b"value")
    assert host.server.databases[0].values == {b"key": b"value"}


# -- oracles -----------------------------------------------------------------------------------------------------------


class Opened:
    """A link as an oracle sees it."""

    wants_connection = True
    is_up = False
    name = "lease-3"

    state = State.GREETING


class Holder:
    """A node that has links."""

    label = "clerk-2.18/0"

    def __init__(self, *links: Opened) -> None:
        self.engine = self
        self.opened = links

    def links(self) -> tuple[Opened, ...]:
        return self.opened


@pytest.mark.parametrize("late", [False, True])
def test_a_link_that_was_opened_a_moment_ago_is_not_late(late: bool) -> None:
    """Seed 502635: a lease that a caller was just given."""
    world = World(0)
    recovers = Recovers(world)
    world.healed_at = world.now
    world.now += 0.0 if late else 60.0
    world.nodes.append(Holder(Opened()))  # type: ignore[arg-type]  # it has what the oracle asks for
    recovers.look()
    world.now += Recovers.PATIENCE if late else Recovers.PATIENCE - 0.1
    if late:
        with pytest.raises(Violation, match="link lease-3 is GREETING"):
            recovers.judge()
    else:
        recovers.judge()


def group() -> tuple[World, Book, Member]:
    """A member that reads, in a world without faults and without entries."""
    world = World(3)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    scene = Scene(world, host, History(host), [])
    cast_group(scene, Size(members=1, senders=0, entries=0), EventsInOrder(world))
    book = scene.books[0]
    run(world, 0.5)
    book.tenures.note()
    return world, book, next(one for one in book.members if isinstance(one, Member) and one.name == "member-1")


def appended(book: Book, member: Member, number: int = 1) -> Key:
    """An entry that the server has delivered to the member, which stands still."""
    assert member.node is not None
    member.node.pause()
    key = Key(b"s", b"%d-1" % number, b"p9:%d" % number)
    book.sent.add(key.name)
    host = book.history.host
    host.do(b"XADD", key.stream, key.id, *fields_of(key.name))
    book.history.note(key.stream)
    assert host.server.databases[0].values
    return key


def entry_of(key: Key, deliveries: int = 1) -> GroupEntry[bytes]:
    batch = GroupBatch[bytes](key.stream, [[key.id, fields_of(key.name)]], inbox=len, deliveries=deliveries)  # type: ignore[arg-type]  # nobody listens
    return batch[0]


def test_an_entry_that_is_in_hand_twice_is_handled_twice() -> None:
    """Seed 501785: the first handling, whose lease was lost, ended the second one."""
    _, book, member = group()
    key = appended(book, member)
    member.habits.refuses = member.habits.buries = 0.0
    handlings = [(key, entry_of(key)), (key, entry_of(key, 2))]
    member.hands.begun += handlings
    member._finish(handlings[0])
    assert member.hands.begun == handlings[1:]
    member._finish(handlings[1])
    assert (member.hands.begun, book.fate(key).acked) == ([], True)
    member._finish(handlings[1])  # it was cancelled, say


def delivered(book: Book, key: Key, consumer: bytes, times: int = 1) -> None:
    """The server has given an entry to a consumer."""
    group = book.of(key.stream)
    assert group is not None
    group.deliver(key.number, consumer, book.history.host.server.ms, times)
    book.tenures.note()


def hand(book: Book, member: Member, key: Key, deliveries: int) -> None:
    oracle = AttemptsSeen(book.world, book)
    entry = entry_of(key, deliveries)
    oracle.handed(member, entry._batch, [entry._raw], [key])
    book.tenures.handed(key, member.label)
    book.fate(key).times += 1


@pytest.mark.parametrize(("owner", "excused"), [(b"gone", True), (None, False)])
def test_what_another_one_has_claimed_may_come_again(owner: bytes | None, excused: bool) -> None:
    """Seed 1258: before it was handed over."""
    _, book, member = group()
    key = appended(book, member)
    delivered(book, key, owner or member.consumer)
    assert member._was_robbed(key) is excused


class TestAttemptsSeen:
    def test_a_reconnect_explains_no_delivery(self) -> None:
        """Seed 5752."""
        world, book, member = group()
        key = appended(book, member)
        world.now += 60
        delivered(book, key, member.consumer)
        with pytest.raises(Violation, match="at delivery 2; it was handed over 0 times before, and 0 were lost"):
            hand(book, member, key, 2)

    def test_what_another_process_had_and_did_not_see_explains_one(self) -> None:
        _, book, member = group()
        key = appended(book, member)
        for consumer in (b"member-9", STRANGER, b"member-9"):
            delivered(book, key, consumer)
        book.fate(key).strangers = 1
        delivered(book, key, member.consumer)
        with pytest.raises(Violation):
            hand(book, member, key, 5)
        hand(book, member, key, 4)

    def test_what_it_has_seen_itself_is_counted(self) -> None:
        _, book, member = group()
        key = appended(book, member)
        for deliveries in (1, 2, 3):
            delivered(book, key, member.consumer, deliveries)
            hand(book, member, key, deliveries)
        delivered(book, key, b"member-9", 4)
        delivered(book, key, member.consumer, 4)
        hand(book, member, key, 5)

    def test_the_first_read_of_a_process_ends_what_its_name_has_inherited(self) -> None:
        world, book, member = group()
        member.crash(silently=True, away=10.0)
        key = Key(b"s", b"1-1", b"p9:1")
        book.sent.add(key.name)
        book.history.host.do(b"XADD", key.stream, key.id, *fields_of(key.name))
        book.history.note(key.stream)
        delivered(book, key, member.consumer)
        member.start()
        hand(book, member, key, 2)
        for _ in range(8):
            run(world, 0.2)
            book.tenures.note()
        with pytest.raises(Violation):
            hand(book, member, appended(book, member, 2), 2)

    def test_a_group_that_went_back_may_recount(self) -> None:
        _, book, member = group()
        key = appended(book, member)
        book.reset(key.stream)
        hand(book, member, key, 7)


class TestLetters:
    KEY = Key(b"s", b"1-1", b"p9:1")

    def wrong(self, world: World, book: Book, member: Member, *, deliveries: int = 2, reason: str = TOO_OFTEN) -> str:
        """What is wrong with the letter of which a member tells."""
        event = DeadLettered(self.KEY.stream, self.KEY.id, b"dead", b"1-1", deliveries, reason)
        LettersDeserved(world, book, 2).heard(member, event)
        try:
            run(world, 0.01)
        except Violation as violation:
            return violation.message
        return ""

    def held(self, *, settled: bool = False) -> tuple[World, Book, Member]:
        """A member that was handed an entry, once."""
        world, book, member = group()
        fate = book.fate(self.KEY)
        fate.holder, fate.times, fate.excused, fate.settled, fate.at = member.label, 1, False, settled * 1.0, world.now
        return world, book, member

    def test_what_was_settled_is_no_letter(self) -> None:
        """Seed 10334."""
        assert "which it had settled" in self.wrong(*self.held(settled=True))
        assert self.wrong(*self.held()) == ""

    def test_what_was_refused_for_the_first_time_is_none_either(self) -> None:
        assert "nobody was handed it before" in self.wrong(*self.held(), reason="refused")
        assert self.wrong(*self.held(), reason="refused", deliveries=3) == ""

    def test_what_a_process_of_the_same_name_has_in_hand_is_none(self) -> None:
        """Seed 12757."""
        world, book, _ = self.held()
        twin = next(one for one in book.members if isinstance(one, Member) and one.is_twin)
        run(world, 0.5)
        twin.start()
        book.tenures.note()
        assert "which member-1.1 has in hand" in self.wrong(world, book, twin)
