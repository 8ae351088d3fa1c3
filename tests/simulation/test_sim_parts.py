"""The parts of the simulator by themselves: purity, the network's promises, a paused process."""

from __future__ import annotations

import ast

from streamcore import Requests
from streamcore.commands import echo
from tests.test_architecture import FORBIDDEN, FORBIDDEN_CALLS, ROOT, imported
from transports.memory.model import Server
from transports.simulation.host import Host
from transports.simulation.node import Node
from transports.simulation.program import ADDRESS, OPTIONS, Program
from transports.simulation.world import World

SIMULATION = ROOT / "transports" / "simulation"
# Lots are drawn from streams that a seed begins, never from the module's own; and the face under test stands on top of it.
ALLOWED = (
    "random.Random",
    "transports.simulation",
    "transports.memory.model",
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

    def begin(self) -> Requests:
        return Requests(address=ADDRESS, options=OPTIONS)

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
    assert [link.is_up for link in node.engine.links()] == [True]


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
