"""The world of the simulator: what the network promises, a process that is paused or dead, links that are late."""

from __future__ import annotations

import pytest

from streamcore import Multiplexer
from streamcore.commands import echo
from streamcore.connection.link_state import State
from streamcore.testing.model import Server
from tests.simulation.support import run
from transports.simulation.world.actor import ADDRESS, OPTIONS, Program
from transports.simulation.world.driver import Node, World
from transports.simulation.world.invariants import Recovers
from transports.simulation.world.scheduler import Violation
from transports.simulation.world.server_host import Host


class Requester(Program):
    """Asks for echoes, one after the other."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "requester")
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


def stage(seed: int = 0) -> tuple[World, Host, Requester, Node]:
    world = World(seed)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    requester = Requester(world)
    requester.start()
    assert requester.node is not None
    return world, host, requester, requester.node


def test_nothing_is_lost_or_reordered_whatever_is_split_and_delayed() -> None:
    for seed in range(20):
        world, _, requester, _ = stage(seed)
        for _ in range(10):
            requester.ask(30)
            run(world, 0.01)
        run(world, 0.5)
        assert requester.answers == [b"%d" % number for number in range(1, 301)]


def test_a_fuse_lets_so_many_bytes_pass_and_no_more() -> None:
    world, _, requester, node = stage()
    run(world, 0.2)
    [wire] = node.wires.values()
    wire.down.fuse = 9  # "$1\r\n1\r\n" and two bytes of the second reply
    requester.ask(2)
    run(world, 0.1)
    assert requester.answers[0] == b"1"
    assert world.faults == {"cut in a reply": 1}
    assert node.dials == 2
    assert requester.answers[1:] == [b"2"]  # an ECHO may be asked again


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
    world, _, requester, node = stage()
    run(world, 0.2)
    [wire] = node.wires.values()
    wire.babble(b"$100\r\n", b"x", 0.05)
    requester.ask(1)
    run(world, 0.2)
    assert requester.answers == []
    assert list(node.wires.values()) == [wire]
    run(world, 0.28)
    assert requester.answers == [b"1"]  # an ECHO may be asked again
    assert wire not in node.wires.values()


def test_what_comes_for_a_paused_process_waits() -> None:
    world, _, requester, node = stage()
    run(world, 0.2)
    requester.ask(1)
    node.pause()
    run(world, 0.3)
    assert requester.answers == []
    node.resume()
    assert requester.answers == [b"1"]


def test_a_dead_process_does_nothing_more() -> None:
    world, host, requester, node = stage()
    run(world, 0.2)
    requester.crash(silently=True, away=0.5)
    assert (node.alive, world.nodes, len(host.server.sessions)) == (False, [], 2)
    run(world, 1.0)
    assert [one.label for one in world.nodes] == ["requester.2"]


def test_a_timer_may_come_early_and_a_write_in_parts() -> None:
    world, _, requester, node = stage()
    run(world, 0.2)
    [wire] = node.wires.values()
    wire.up.clogged_until = world.now + 0.1
    requester.ask(1)
    run(world, 0.05)
    assert requester.answers == []
    for _ in range(500):
        node.pump()
    run(world, 0.2)
    assert requester.answers == [b"1"]


def test_the_operator_is_spared_from_faults() -> None:
    _, host, _, _ = stage()
    host.server.faults.unavailable = "LOADING wait"
    host.do(b"SET", b"key", b"value")
    assert host.server.databases[0].values == {b"key": b"value"}


class Opened:
    """A link as an oracle sees it."""

    wants_connection = True
    is_up = False
    name = "lease-3"

    state = State.GREETING


class Holder:
    """A node that has links."""

    label = "client-2.18/0"

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
