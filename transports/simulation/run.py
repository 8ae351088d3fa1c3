"""A run: the scenario is set up, faults strike, the world heals, everything comes to an end, and is judged.

*Safety*: faults strike, and oracles look on. *Healing*: all faults end at once; who is dead is started. *Liveness*: within
``PATIENCE`` of virtual time all is done, or an oracle tells what is missing. *Leaving*: programs end in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from streamcore import Address
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Server
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.model.versions import Flavour

from .context import Kind, Scene
from .faults import (
    cluster as cluster_faults,
)
from .faults import (
    data as data_faults,
)
from .faults import (
    network as network_faults,
)
from .faults import (
    process as process_faults,
)
from .faults import (
    server as server_faults,
)
from .scenarios import CLUSTER_SCENARIOS, SCENARIOS
from .steady_state.context import SteadyState
from .steady_state.trials import play
from .world.actor import ADDRESS
from .world.cluster_invariants import DialsBounded, RefreshesBounded
from .world.cluster_site import ClusterSite
from .world.driver import World
from .world.invariants import TICK, EventsInOrder, NoCrash, NoHotLoop, Oracle, Recovers
from .world.plan import Fault, Size, plan
from .world.scheduler import BEGIN, Violation
from .world.server_host import Host
from .world.stream_log import StreamLog

KINDS: Final[dict[str, Kind]] = {
    **network_faults.KINDS,
    **server_faults.KINDS,
    **data_faults.KINDS,
    **process_faults.KINDS,
}
"""Every kind of fault, by its name."""

PATIENCE: Final = 20.0
"""Seconds of virtual time after healing within which all must be done."""

LEAVING: Final = 3.0
"""Seconds of virtual time in which all programs have ended in order."""


@dataclass
class Outcome:
    """The outcome of a run. ``oracle`` is empty where all is well; ``digest`` is equal for equal seeds.

    ``possible``: gaps that groups told as possible; ``in_vain``: of these, gaps in which nothing had been lost.
    """

    seed: int
    oracle: str = ""
    message: str = ""
    digest: int = 0
    seconds: float = 0.0  # of virtual time
    healing: float = 0.0  # of these, from the last fault until all was done
    entries: int = 0
    handed: int = 0
    duplicates: int = 0
    lost: int = 0
    possible: int = 0
    in_vain: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.oracle)


def kinds_of(scenario: str | None = None) -> dict[str, Kind]:
    """The kinds of faults that strike in a scenario, or in any that is drawn."""
    chosen = [SCENARIOS[scenario]] if scenario is not None else [one for one in SCENARIOS.values() if one.weight]
    return {name: kind for one in chosen for name, kind in one.chosen(KINDS).items()}


def simulate(
    seed: int,
    *,
    scenario: str | None = None,
    only: Collection[int] | None = None,
    size: Size | None = None,
    faults: int | None = None,
    tells: bool = False,
) -> Outcome:
    """Run a seed. ``scenario``: drawn by default; ``tells``: keep the story.

    ``only``: the faults of its plan (by index) that strike, all by default.
    """
    size = size or Size()
    world = World(seed, tells=tells)
    outcome = Outcome(seed)
    try:
        scenario = scenario or _drawn(seed)
        scene = _stage(world, size, scenario)
        kinds, whole = kinds_of(scenario), planned(seed, scenario, size, faults)
        _play(scene, [(kinds[one.kind], one) for one in whole if only is None or one.index in only], size)
    except Violation as violation:
        outcome.oracle, outcome.message = violation.oracle, violation.message
    except Exception as error:  # noqa: BLE001  # whatever an engine raises into its driver
        outcome.oracle, outcome.message = NoCrash.__name__, f"{type(error).__name__}: {error} ({_where(error)})"
        world.tell("!", outcome.message)
    outcome.digest, outcome.seconds = world.digest, world.now - BEGIN
    outcome.healing = world.notes["healing ms"] / 1000
    outcome.entries, outcome.handed = world.notes["entries"], world.notes["handed"]
    outcome.duplicates, outcome.lost = world.notes["duplicates"], world.notes["lost"]
    outcome.possible, outcome.in_vain = world.notes["possible"], world.notes["in vain"]
    outcome.faults, outcome.story = world.faults, world.story
    return outcome


def simulate_cluster(seed: int, *, tells: bool = False) -> Outcome:
    """Run a seed in a cluster; it draws its scenario."""
    scenario = World(seed).lots("cluster cast").choice(CLUSTER_SCENARIOS)
    return simulate(seed, scenario=scenario, tells=tells)


def _where(error: Exception) -> str:
    trace, place = error.__traceback__, "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return place


def planned(seed: int, scenario: str | None = None, size: Size | None = None, faults: int | None = None) -> list[Fault]:
    """The faults that a seed means, in their order."""
    scenario = scenario or _drawn(seed)
    weights = {name: kind.weight for name, kind in kinds_of(scenario).items()}
    return plan(seed, weights, size or Size(), SCENARIOS[scenario].faults if faults is None else faults)


def _drawn(seed: int) -> str:
    [scenario] = World(seed).lots("cast").choices(list(SCENARIOS), [one.weight for one in SCENARIOS.values()])
    return scenario


def _stage(world: World, size: Size, scenario: str) -> Scene:
    flavour = world.lots("stage").choice([VALKEY9, VALKEY9, REDIS7, REDIS8])
    made = _cluster(world, flavour) if SCENARIOS[scenario].in_cluster else _server(world, flavour)
    scene = Scene(world, made, StreamLog(made), [])
    events = EventsInOrder(world)
    oracles: list[Oracle] = [NoHotLoop(world), Recovers(world), events]
    scene.oracles += oracles
    if isinstance(made, Host):
        server_faults.faults_of(scene)
    else:
        dials, refreshes = DialsBounded(world), RefreshesBounded(world, made)
        world.on_dial = dials.dialled
        scene.running.append(refreshes.command)
        scene.oracles += [dials, refreshes]
    SCENARIOS[scenario].enter(scene, size, events)
    return scene


def _server(world: World, flavour: Flavour) -> Host:
    server = Server(flavour, now=world.now, entropy=world.lots("server").randbytes)
    host = world.hosts[str(ADDRESS)] = Host(world, server)
    return host


def _cluster(world: World, flavour: Flavour) -> ClusterSite:
    lots = world.lots("gossip")
    scale = lots.choice([0.0, 0.05, 0.4])
    model = ModelCluster(
        3,
        1,
        flavour,
        now=world.now,
        gossip_delay=lambda _source, _target: scale * lots.random(),
        node_timeout=cluster_faults.NODE_TIMEOUT,
        entropy=world.lots("server").randbytes,
    )
    world.seeds = [Address("127.0.0.1", node.view.myself.port) for node in lots.sample(model.nodes, 2)]
    return ClusterSite(world, model)


def _play(scene: Scene, planned: list[tuple[Kind, Fault]], size: Size) -> None:
    world = scene.world
    for kind, fault in planned:
        world.at(BEGIN + fault.at, partial(_strike, scene, kind, fault))
    _look(scene)
    world.run(BEGIN + size.seconds)
    _heal(scene)
    world.run(world.now + PATIENCE, lambda: _is_done(scene))
    world.notes["healing ms"] = int((world.now - world.healed_at) * 1000)
    _judge(scene)
    if isinstance(scene.store, Host):
        play(SteadyState(scene, _events(scene), lambda: _is_done(scene), PATIENCE))
    _judge(scene)
    _leave(scene)
    _count(scene)


def _events(scene: Scene) -> EventsInOrder:
    return next(one for one in scene.oracles if isinstance(one, EventsInOrder))


def _strike(scene: Scene, kind: Kind, fault: Fault) -> None:
    for log in scene.delivery_logs:
        log.tenures.note()
    said = kind.strike(scene, fault)
    if said is not None:
        scene.world.fault(fault.kind, said)


def _look(scene: Scene) -> None:
    scene.note()
    for oracle in scene.oracles:
        oracle.look()
    scene.world.after(TICK, partial(_look, scene))


def _heal(scene: Scene) -> None:
    """End all faults that hinder a program; broken connections stay broken, until their programs find out."""
    world = scene.world
    world.faulty, world.healed_at = False, world.now
    world.tell("*", "the world heals")
    if isinstance(scene.store, Host):
        server_faults.restart(scene)
        scene.host.resume()
        server_faults.heal(scene)
    else:
        cluster_faults.heal(scene)
    if world.issuer is not None:
        world.issuer.is_down, world.issuer.delay = False, 0.0
    for node in list(world.nodes):
        node.isolated_until = 0.0
        for wire in node.wires.values():
            wire.up.fuse = wire.down.fuse = None
        node.resume()
    for program in scene.programs:
        program.heal()
        program.start()


def _is_done(scene: Scene) -> bool:
    return not _missing(scene)


def _missing(scene: Scene) -> str:
    for program in scene.programs:
        if missing := program.missing():
            return missing
    return next((left for oracle in scene.oracles if (left := oracle.left())), "")


def _judge(scene: Scene) -> None:
    scene.note()
    for oracle in scene.oracles:
        oracle.judge()
    if missing := _missing(scene):
        scene.world.violated("Liveness", f"{missing}, {PATIENCE:g} s after all was well")


def _leave(scene: Scene) -> None:
    world = scene.world
    world.tell("*", "all programs leave")
    for program in scene.programs:
        program.retires = True
        program.leave(0.0)
    world.run(world.now + LEAVING, lambda: not world.nodes)
    for node in world.nodes:
        world.violated("Liveness", f"{node.label} has not left within {LEAVING:g} s")


def _count(scene: Scene) -> None:
    notes = scene.world.notes
    notes["entries"] = len(scene.history.copies)
    for log in scene.delivery_logs:
        notes["handed"] += log.handed
        notes["duplicates"] += log.again
