"""Faults of a cluster: slots that move, primaries that fail over, are killed, stand still, are parted; nodes that come and go.

A shard has trouble of a kind at a time (``ClusterSite.busy``). A loss is chosen by its fault: a replica that was late is promoted,
and the history of the streams of that shard goes back. Otherwise a promoted replica has all that its primary had answered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from streamcore.commands.cluster import SLOTS
from streamcore.testing.model.values import Stream

from ..context import Kind, Scene, pick
from ..world.plan import Fault
from .failover import losing
from .slots import (
    finish_move,
    finish_moves,
    is_heir,
    move_slot,
    move_slot_at_once,
    name_of,
    owners,
    primaries,
    raise_epoch,
    replica,
    settled,
    streams_of,
    tell_replicas,
    victim,
    way,
)

if TYPE_CHECKING:
    from streamcore.testing.model.cluster.node import Node

    from ..world.cluster_site import ClusterSite

NODE_TIMEOUT: Final = 0.4
"""Seconds of silence after which a node suspects another."""

MOST_NODES: Final = 8
"""Nodes of a cluster, at most."""


# -- failures of nodes -------------------------------------------------------------------------------------------------


def fail_over(scene: Scene, fault: Fault) -> str | None:
    """A planned failover: a replica takes its primary's place, and nothing is lost."""
    site = scene.site
    primary = settled(scene, pick(owners(site), fault.a))
    heir = None if primary is None else replica(site, primary)
    if primary is None or heir is None:
        return None
    take_over(scene, primary, heir)
    return f"{name_of(heir)} takes the place of {name_of(primary)}, which follows it"


def _elect(site: ClusterSite, primary: Node, heir: Node) -> None:
    """The majority elects no replica that claims slots which others have by a newer epoch, or has missed slots of its primary."""
    owned = {slot for slot in primary.view.slots_of(primary.id) if site.owner(slot) is primary}
    heir.view.assign(owned - heir.view.slots_of(primary.id), primary.id)
    for node in site.hosts:
        if node not in (primary, heir) and node.view.myself.primary is None:
            lost = node.view.slots_of(node.id) & heir.view.slots_of(primary.id)
            if lost and node.view.myself.epoch > primary.view.myself.epoch:
                heir.view.assign(lost, node.id)


def take_over(scene: Scene, primary: Node, heir: Node) -> None:
    """A replica takes a primary's place, with all that it had answered."""
    site = scene.site
    site.tell_time()
    site.agree(primary, heir)
    _elect(site, primary, heir)
    raise_epoch(site, heir)
    site.cluster.set_lag(heir, 0.0)
    site.cluster.failover(heir)
    site.flush_all()


def promote(scene: Scene, primary: Node, heir: Node) -> int | None:
    """A replica is elected, with what it had got; how many writes are lost. None where it has heard of another primary meanwhile."""
    site = scene.site
    site.tell_time()
    site.agree(heir)
    if heir.view.myself.primary != primary.id:
        return None
    _elect(site, primary, heir)
    lost = primary.journal.end - (heir.replication.position or 0)
    raise_epoch(site, heir)
    elect = partial(site.cluster.bus.promote, heir)
    if lost:
        losing(scene, streams_of(scene, primary), elect)
    else:
        elect()
    site.cluster.set_lag(heir, 0.0)
    site.busy[primary] = heir
    site.flush_all()
    return lost


def kill(scene: Scene, fault: Fault) -> str | None:
    """SIGKILL of a primary: it starts again with its data, or a replica takes its place, which may have been late."""
    site = scene.site
    primary = settled(scene, victim(site, fault.a))
    if primary is None:
        return None
    heir = replica(site, primary)
    late = heir is not None and fault.c < 0.3
    site.busy[primary] = primary
    site.tell_time()  # a slot that has come is on the replica whole
    if late and heir is not None:
        site.cluster.set_lag(heir, inf)
    scene.world.after(fault.b * 0.3 if late else 0.0, partial(_kill, scene, fault, primary, heir))
    return f"{name_of(primary)} is about to be killed" + (", and its replica is late" if late else "")


def _kill(scene: Scene, fault: Fault, primary: Node, heir: Node | None) -> None:
    site, world = scene.site, scene.world
    if primary not in site.busy or not site.hosts[primary].is_well:
        return
    site.tell_time()
    site.kill(primary)
    world.fault("primary killed", f"{name_of(primary)} is killed")
    if heir is None or fault.b < 0.2:
        world.after(0.02 + fault.b * 1.5, partial(restart, scene, primary))
    else:
        world.after(0.05 + fault.b * 0.5, partial(_replace, scene, fault, primary, heir))


def _replace(scene: Scene, fault: Fault, primary: Node, heir: Node) -> None:
    if primary in scene.site.busy:
        _elect_heir(scene, primary, heir)
    scene.world.after(0.05 + fault.b * 0.5, partial(restart, scene, primary))


def _elect_heir(scene: Scene, primary: Node, heir: Node) -> None:
    lost = promote(scene, primary, heir) if is_heir(scene.site, primary, heir) else None
    if lost is not None:
        scene.world.fault("failover", f"{name_of(heir)} takes the place of {name_of(primary)}; {lost} writes are lost")


def restart(scene: Scene, node: Node) -> None:
    """A node that was killed runs again; a former primary follows its heir."""
    site = scene.site
    if node in site.hosts and not site.hosts[node].is_up:
        site.restart(node)
        scene.world.tell(name_of(node), "is started")
    site.busy.pop(node, None)


def lose_data(scene: Scene, fault: Fault) -> str | None:
    """A primary is killed and starts again without its data, before a replica takes its place."""
    site = scene.site
    primary = settled(scene, victim(site, fault.a)) if fault.c <= 0.4 else None
    if primary is None:
        return None
    site.tell_time()
    scene.note()
    for stream in streams_of(scene, primary):
        scene.drop(stream)
        scene.rewind(stream)
    site.kill(primary)
    site.restart(primary, empty=True)
    return f"{name_of(primary)} starts again, empty"


def stop(scene: Scene, fault: Fault) -> str | None:
    """SIGSTOP and SIGCONT of a primary; where it takes long, a replica takes its place meanwhile."""
    site = scene.site
    primary = settled(scene, victim(site, fault.a))
    if primary is None:
        return None
    heir = replica(site, primary)
    site.busy[primary] = primary
    site.pause(primary)
    seconds = 0.02 + fault.b**2 * 1.6
    if heir is not None and seconds > 2 * NODE_TIMEOUT:
        scene.world.after(1.5 * NODE_TIMEOUT, partial(_replace_stopped, scene, primary, heir))
    scene.world.after(seconds, partial(go_on, scene, primary))
    return f"{name_of(primary)} stands still for {seconds:.2f} s"


def _replace_stopped(scene: Scene, primary: Node, heir: Node) -> None:
    site = scene.site
    if primary in site.busy and site.hosts[primary].paused:
        _elect_heir(scene, primary, heir)


def go_on(scene: Scene, node: Node) -> None:
    """A node that stands still goes on. One that was replaced first answers what has come meanwhile: that is not in the history."""
    site, strayed = scene.site, list[bytes]()
    site.resume(node, partial(_note_strays, scene, node, strayed))
    site.busy.pop(node, None)
    if node.view.myself.primary is not None:
        losing(scene, strayed, _nothing)


def _note_strays(scene: Scene, node: Node, strayed: list[bytes]) -> None:
    for stream in scene.streams:
        if isinstance(there := node.databases[0].values.get(stream), Stream):
            scene.history.stray(stream, there)
            strayed.append(stream)


def _nothing() -> None:
    """The loss has happened elsewhere."""


def stop_replica(scene: Scene, fault: Fault) -> str | None:
    """A replica is killed, and starts again."""
    site = scene.site
    found = [node for node in site.hosts if node.view.myself.primary and site.hosts[node].is_well]
    node = pick([node for node in found if site.cluster.bus.nodes.get(node.view.primary) not in site.busy], fault.a)
    if node is None:
        return None
    site.kill(node)
    seconds = 0.05 + fault.b
    scene.world.after(seconds, partial(restart, scene, node))
    return f"the replica {name_of(node)} is killed for {seconds:.2f} s"


def part(scene: Scene, fault: Fault) -> str | None:
    """A primary is parted from the others: it serves its clients until it notices, and a replica takes its place."""
    site = scene.site
    primary = None if site.is_parted else settled(scene, victim(site, fault.a))
    if primary is None:
        return None
    heir = replica(site, primary)
    site.busy[primary] = primary
    site.part(primary)
    seconds = 0.1 + fault.b * 2.0
    if heir is not None and seconds > 2 * NODE_TIMEOUT:
        scene.world.after(1.5 * NODE_TIMEOUT, partial(_replace_parted, scene, primary, heir))
    scene.world.after(seconds, partial(join, scene, primary))
    return f"{name_of(primary)} is parted from the others for {seconds:.2f} s"


def _replace_parted(scene: Scene, primary: Node, heir: Node) -> None:
    site = scene.site
    if primary in site.busy and site.is_parted:
        _elect_heir(scene, primary, heir)


def join(scene: Scene, node: Node) -> None:
    """The partition ends; a primary that was cut off hears of the others before it serves again, as servers wait for it."""
    scene.site.part()
    scene.site.agree(node)
    scene.site.busy.pop(node, None)
    scene.site.flush_all()


# -- nodes that come and go --------------------------------------------------------------------------------------------


def add_node(scene: Scene, fault: Fault) -> str | None:
    """A node joins, and gets a slot."""
    site = scene.site
    slot = pick(scene.slots, fault.a)
    if slot is None or slot in site.moves or len(site.hosts) >= MOST_NODES:
        return None
    found = way(site, slot, fault.b)
    if found is None:
        return None
    node = site.cluster.join()
    site.add(node)
    site.cluster.gossip_all()
    raise_epoch(site, node)
    site.cluster.move_slot(slot, node)
    tell_replicas(site, found[0], node)
    site.flush_all()
    return f"{name_of(node)} joins, and gets slot {slot}"


def remove_node(scene: Scene, fault: Fault) -> str | None:
    """A node that has joined hands its slots to another, and leaves."""
    site = scene.site
    node = pick([node for node in primaries(site) if 0 < len(node.view.slots_of(node.id)) < SLOTS // 100], fault.a)
    target = pick([one for one in owners(site) if one is not node], fault.b)
    if node is None or target is None or any(one.view.myself.primary == node.id for one in site.hosts):
        return None
    finish_moves(scene, node)
    site.tell_time()
    site.agree(node, target)
    if target.view.myself.primary is not None:
        return None
    for slot in sorted(node.view.slots_of(node.id)):
        raise_epoch(site, target)
        site.cluster.move_slot(slot, target)
    site.cluster.gossip_all()
    site.remove(node)
    site.cluster.leave(node)
    site.flush_all()
    return f"{name_of(node)} leaves"


# -- what nodes say ----------------------------------------------------------------------------------------------------


def hide_names(scene: Scene, fault: Fault) -> str | None:
    """For a while a node tells no host of the others, or ``?``."""
    site = scene.site
    node = pick(list(site.hosts), fault.a)
    if node is None:
        return None
    kind = b"unknown-endpoint" if fault.b < 0.5 else b"hostname"
    node.config[b"cluster-preferred-endpoint-type"] = kind
    scene.world.after(fault.c, partial(tell_names, node))
    return f"{name_of(node)} announces {kind.decode()} for {fault.c:.2f} s"


def tell_names(node: Node) -> None:
    """A node tells the hosts of the others."""
    node.config[b"cluster-preferred-endpoint-type"] = b"ip"


def heal(scene: Scene) -> None:
    """Everything runs, is joined, and agrees."""
    site = scene.site
    site.part()
    for node in list(site.hosts):
        go_on_or_restart: Callable[[Scene, Node], None] = go_on if site.hosts[node].paused else restart
        go_on_or_restart(scene, node)
        tell_names(node)
    for move in list(site.moves.values()):
        finish_move(scene, move)
    site.busy.clear()
    site.tell_time()
    for node in site.hosts:
        site.cluster.set_lag(node, 0.0)
    site.cluster.gossip_all()
    site.repair()
    site.flush_all()


KINDS: Final = {
    "slot moves": Kind(14, move_slot),
    "slot moves at once": Kind(6, move_slot_at_once),
    "planned failover": Kind(3, fail_over),
    "about to be killed": Kind(4, kill),
    "primary stopped": Kind(3, stop),
    "primary empty": Kind(0.7, lose_data),
    "replica killed": Kind(2, stop_replica),
    "cluster parted": Kind(2, part),
    "node joins": Kind(1.5, add_node),
    "node leaves": Kind(1.5, remove_node),
    "names hidden": Kind(2, hide_names),
}
