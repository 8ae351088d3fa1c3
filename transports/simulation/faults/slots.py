"""Slots of a cluster that move, key by key or at once, and the nodes that are fit for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from streamcore.testing.model.cluster import SlotMove
from streamcore.testing.model.cluster.keys import slot_of
from streamcore.testing.model.cluster.moves import hand_over
from streamcore.testing.model.versions import REDIS7

from ..context import Scene, pick
from ..world.plan import Fault

if TYPE_CHECKING:
    from streamcore.testing.model.cluster.node import Node

    from ..world.cluster_site import ClusterSite


# -- who is there ------------------------------------------------------------------------------------------------------


def primaries(site: ClusterSite) -> list[Node]:
    """The primaries that are well, and whose shard no fault has hit."""
    heirs = site.busy.values()
    return [node for node in _running(site) if node not in heirs]


def _running(site: ClusterSite) -> list[Node]:
    found = [node for node in site.cluster.primaries() if site.hosts[node].is_well and node not in site.busy]
    return [node for node in found if not node.view.is_cut_off]


def owners(site: ClusterSite) -> list[Node]:
    """The primaries of these that own slots."""
    return [node for node in primaries(site) if node.view.slots_of(node.id)]


def victim(site: ClusterSite, lot: float) -> Node | None:
    """A primary that owns slots, for trouble; None where the others would be no majority."""
    running = [node for node in _running(site) if node.view.slots_of(node.id)]
    return pick(owners(site), lot) if len(running) > len(site.busy) + 1 else None


def replica(site: ClusterSite, primary: Node) -> Node | None:
    """A replica of a node that is well, and has its data; None where there is none."""
    for node in site.cluster.nodes:
        if node.view.myself.primary == primary.id and site.hosts[node].is_well and node.replication.primary is primary:
            site.agree(primary, node)
            return node if primary.view.myself.primary is None and node.view.myself.primary == primary.id else None
    return None


def is_heir(site: ClusterSite, primary: Node, node: Node) -> bool:
    """Whether a node is a replica of a primary still, and is well."""
    return node in site.hosts and site.hosts[node].is_well and node.view.myself.primary == primary.id


def streams_of(scene: Scene, node: Node) -> list[bytes]:
    """The streams whose history is on a node."""
    return [stream for stream in scene.streams if scene.site.owner(slot_of(stream)) is node]


def name_of(node: Node) -> str:
    return str(node.view.myself.port)


# -- slots -------------------------------------------------------------------------------------------------------------


def move_slot(scene: Scene, fault: Fault) -> str | None:
    """A slot goes to another primary key by key; perhaps that is given up half-way, and its keys come back."""
    site = scene.site
    slot = pick(scene.slots, fault.a)
    if slot is None or slot in site.moves:
        return None
    found = way(site, slot, fault.b)
    if found is None:
        return None
    source, target = found
    move = site.moves[slot] = SlotMove(slot, source, target, site.cluster.nodes)
    move.begin()
    site.flush_all()
    seconds = 0.02 + fault.c * 0.4
    for part in (0.3, 0.5, 0.7):
        scene.world.after(seconds * part, partial(_move_key, scene, move))
    cancelled = int(fault.c * 1000) % 4 == 0
    scene.world.after(seconds, partial(cancel_move if cancelled else finish_move, scene, move))
    how = ", which is given up then" if cancelled else ""
    return f"slot {slot} goes from {name_of(source)} to {name_of(target)} within {seconds:.2f} s{how}"


def way(site: ClusterSite, slot: int, lot: float) -> tuple[Node, Node] | None:
    """The owner of a slot and another primary, where both are well and agree; None where there are none."""
    source = site.owner(slot)
    target = pick([node for node in primaries(site) if node is not source], lot)
    if source is None or source not in primaries(site) or target is None:
        return None
    site.tell_time()
    site.agree(source, target)
    if any(node.view.myself.primary is not None or _is_being_emptied(site, node) for node in (source, target)):
        return None  # a former primary has heard just now that it was replaced
    # A replica that was elected late has not heard that its primary gave the slot away: what it has is out of reach.
    for key in target.keys_in(slot):
        target.give(key)
    knows = target.id in source.view.members and source.id in target.view.members
    return (source, target) if knows and source.view.owners[slot] == source.id else None


def _is_being_emptied(site: ClusterSite, node: Node) -> bool:
    """Whether a node may lose its last slot while others are on their way: then it becomes a replica, whose keys are replaced."""
    moves = [move for move in site.moves.values() if node in (move.source, move.target)]
    return bool(moves) and len(node.view.slots_of(node.id)) <= len(moves) + 1


def _is_current(scene: Scene, move: SlotMove) -> bool:
    return scene.site.moves.get(move.slot) is move


def _move_key(scene: Scene, move: SlotMove) -> None:
    site = scene.site
    if _is_current(scene, move) and site.hosts[move.source].is_well and site.hosts[move.target].is_well:
        site.tell_time()
        move.move_keys(1)
        site.flush_all()


def finish_move(scene: Scene, move: SlotMove) -> None:
    """The rest of the keys goes, and the slot."""
    if _is_current(scene, move):
        site = scene.site
        site.tell_time()
        site.agree(move.source, move.target)
        raise_epoch(site, move.target)
        move.finish()
        tell_replicas(site, move.source, move.target)
        del site.moves[move.slot]
        site.flush_all()


def tell_replicas(site: ClusterSite, source: Node, target: Node) -> None:
    """The replicas of both shards hear of the slot's new owner with its keys: else one that is promoted claims slots without keys."""
    for node in site.hosts:
        if node is not target and node.view.primary in (source.id, target.id):
            site.cluster.gossip(target, node)


def cancel_move(scene: Scene, move: SlotMove) -> None:
    """The keys that have gone come back, and the slot stays."""
    if _is_current(scene, move):
        site = scene.site
        site.tell_time()
        hand_over(move.target, move.source, move.target.keys_in(move.slot))
        move.cancel()
        del site.moves[move.slot]
        site.flush_all()


def finish_moves(scene: Scene, *nodes: Node) -> None:
    """End the moves of slots from or to these nodes, and let the replicas hear of the owners: trouble is ahead."""
    site = scene.site
    for move in list(site.moves.values()):
        if move.source in nodes or move.target in nodes:
            finish_move(scene, move)
            site.agree(*(node for node in site.hosts if node.view.myself.primary in (move.source.id, move.target.id)))


def settled(scene: Scene, primary: Node | None) -> Node | None:
    """End the moves of slots from or to a primary, since trouble is ahead; None where it has given its last slot away, and is a replica."""
    if primary is None:
        return None
    finish_moves(scene, primary)
    return primary if primary.view.slots_of(primary.id) else None


def raise_epoch(site: ClusterSite, node: Node) -> None:
    """The majority gives a node the highest epoch of all next."""
    node.view.current_epoch = max(one.view.current_epoch for one in site.hosts)


def move_slot_at_once(scene: Scene, fault: Fault) -> str | None:
    """A slot goes to another primary with all its keys in an instant, as Valkey 9 and Redis 8.4 do."""
    site = scene.site
    slot = pick(scene.slots, fault.a)
    if slot is None or slot in site.moves or site.cluster.flavour is REDIS7:
        return None
    found = way(site, slot, fault.b)
    if found is None:
        return None
    source, target = found
    raise_epoch(site, target)
    site.cluster.move_slot(slot, target, how="atomic")
    tell_replicas(site, source, target)
    site.flush_all()
    return f"slot {slot} goes from {name_of(source)} to {name_of(target)} at once"
