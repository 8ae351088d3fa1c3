"""How an embedded cluster comes back to its beginning, whatever a test has done to it.

Every step looks at the nodes, and changes only what is not as it was. Where a step is refused, because the nodes are changing
something themselves, it is made again.
"""

from __future__ import annotations

from streamcore.commands import raw

from .members import Home, Members
from .moves import SlotMove


def heal(members: Members) -> None:
    """Repeat the steps until everything is as at the beginning."""

    def is_home_or_nearer() -> bool:
        if _is_home(members):
            return True
        _wake(members)
        members.meet()
        for node in list(members.added):
            members.remove(node)
        _end_moves(members)
        _restore_primaries(members)
        _restore_replicas(members)  # first, since it takes a second
        _restore_slots(members)
        _restore_replicas(members)  # and those that had slots
        members.wait_for("all nodes find the cluster in order", members.is_ready)
        return _is_home(members)

    members.wait_for("the cluster is as at its beginning", is_home_or_nearer)


def _is_home(members: Members) -> bool:
    if members.added or not all(home.node.is_up() for home in members.homes):
        return False
    views = members.views()
    moving = any(view[node.id].migrating or view[node.id].importing for node, view in views.items())
    ids = {home.node.id for home in members.homes}
    return (
        not moving
        and views.are_acquainted(ids)
        and views.agree(lambda view: all(view[home.node.id].primary == _primary_id(home) for home in members.homes))
        and views.agree(lambda view: all(view[home.node.id].slots == _slots(home) for home in members.homes))
        and members.is_ready()
    )


def _primary_id(home: Home) -> str | None:
    return None if home.primary is None else home.primary.id


def _slots(home: Home) -> list[tuple[int, int]]:
    return [(home.slots[0], home.slots[-1])] if home.slots else []


def _wake(members: Members) -> None:
    for home in members.homes:
        if not home.node.is_started():
            home.node.start()
        elif not home.node.is_running():
            home.node.restart()
        elif not home.node.is_up():
            home.node.resume()


def _end_moves(members: Members) -> None:
    """Finish classic moves that have begun; their keys are on both nodes."""
    views = members.views()
    by_id = {node.id: node for node in views}
    for node, view in views.items():
        for slot, id_ in view[node.id].migrating.items():
            if id_ in by_id:
                SlotMove(slot, node, by_id[id_], members.primaries()).finish()
    for node in views:
        own = node.known()[node.id]
        node.ask_all([raw("CLUSTER", "SETSLOT", slot, "STABLE") for slot in (*own.migrating, *own.importing)])


def _restore_primaries(members: Members) -> None:
    for home in members.homes:
        if home.primary is None:
            members.promote(home.node)


def _restore_slots(members: Members) -> None:
    for home in members.homes:
        if home.slots:
            members.give(home.slots, home.node)


def _restore_replicas(members: Members) -> None:
    view = members.view()
    homes = [(home.node, home.primary) for home in members.homes if home.primary is not None]
    members.attach(
        [
            (node, primary)
            for node, primary in homes
            if view[node.id].primary != primary.id and view[primary.id].primary is None and not view[node.id].slots
        ]
    )
