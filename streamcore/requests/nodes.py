"""The servers that a client speaks to, as the application sees them: the nodes of a cluster, or a standalone server alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from ..errors import InvalidArgument
from ..frozen import frozen
from ..options import AnyAddress

Role: TypeAlias = Literal["primary", "replica"]
Which: TypeAlias = Literal["primaries", "replicas", "all"]
"""Nodes of a role, or all of them."""


@frozen
class ServerNode:
    """A server. ``id``: its id in the cluster, empty for a standalone server. ``primary``: the id of a replica's primary, if it is known."""

    id: str
    address: AnyAddress
    role: Role
    primary: str | None = None

    @property
    def shard(self) -> str:
        """The id of the primary with the same data: its own, or that of its primary."""
        return self.primary or self.id


def chosen(which: Which, nodes: Sequence[ServerNode]) -> list[ServerNode]:
    """Choose nodes by their roles. Raises ``InvalidArgument`` for another word than those of ``Which``."""
    if which not in get_args(Which):
        raise InvalidArgument(f"choose 'primaries', 'replicas' or 'all', not {which!r}")
    role = {"primaries": "primary", "replicas": "replica"}.get(which)
    return [node for node in nodes if role in (None, node.role)]


class Tour:
    """A tour of the nodes whose keys are all keys: of a standalone server, that alone."""

    def __init__(self, nodes: Sequence[ServerNode]) -> None:
        self._left = [*nodes]

    def next(self) -> ServerNode | None:
        """Go to a node that was not visited; None when all were."""
        return self._left.pop(0) if self._left else None

    def has_left(self, node: ServerNode) -> bool:
        """Whether other nodes have the keys of a node by now."""
        return False

    def finish(self) -> None:
        """End the tour."""
