"""Ask the nodes of a cluster for its topology (``CLUSTER SLOTS``), over a link of its own.

The question goes to a node that may know better than the rest, such as the node that a ``MOVED`` names; then to the others in
a random order, to the seeds, which are resolved anew, and at last to a node whose trouble was the reason. Once a topology is known,
each seed that it does not name is asked as well, so that a standalone server among them never goes unnoticed. Each has ``ANSWER``
seconds. Where all have failed, and as long as the answer is ``needed`` again (a slot without a reachable owner), the next round
comes after a pause that doubles up to ``PAUSE_MAX``. A topology that another router of the client has asked for meanwhile, by
the common ``Board``, answers as well.

    idle --want, interval--> waits for its turn --> asks a node --answered--> idle
                                                     ^  |  late, lost, no topology
                                                     '--'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from typing import Any, Final

from ..commands.cluster import SlotNode, cluster_slots
from ..connection.exchange import Exchange
from ..connection.handshake import is_permanent
from ..connection.link import AT_ONCE, Link
from ..engine.link_events import emit_loss
from ..engine.router import RouterContext
from ..errors import (
    ConnectionLost,
    InvalidArgument,
    NoPermissionError,
    RemoteProtocolError,
    ReplyError,
    is_interruption,
)
from ..options import Address
from ..topology_events import RedirectRefused, SlotsCovered, SlotsUncovered, TopologyChanged
from .addresses import AddressPolicy
from .board import PAUSE, Board
from .topology import Topology, compare, fill, read

ANSWER: Final = 1.0
"""Seconds that a node has for the dial and the answer."""

LOOK: Final = 0.02
"""Seconds between two looks at the board while another router asks."""

PAUSE_MAX: Final = 1.0
"""Seconds between two rounds, at most."""

IDLE: Final = 10.0
"""Seconds after its last use until the link is closed."""

_SLOTS: Final = cluster_slots()


class Refresher:
    """Keeps the topology of a ``Board`` fresh; calls ``learn`` whenever a topology was asked for that it had wanted.

    ``interval``: seconds between two questions for no reason. ``needed``: tells whether a topology does not suffice yet.
    """

    def __init__(
        self,
        context: RouterContext,
        board: Board,
        policy: AddressPolicy,
        seeds: Sequence[Address],
        *,
        interval: float,
        learn: Callable[[], None],
        needed: Callable[[], bool],
    ) -> None:
        self.link = context.make_link(self, "topology", None)
        self._context = context
        self._board = board
        self._policy = policy
        self._seeds = seeds
        self._interval = interval
        self._learn = learn
        self._needed = needed
        self._timer = context.new_timer(self._act)
        self._preferred: Address | None = None
        self._avoided: Address | None = None
        self._since = inf  # when a newer topology was wanted; AT_ONCE: at the driver's next time
        self._due = inf  # when to take the turn
        self._pause = PAUSE
        self._round: Iterator[Address] | None = None  # whom to ask, in this turn
        self._asked: Address | None = None
        self._asked_at = -inf
        self._deadline = inf
        self._used = -inf
        self._closed = False
        self._refusal: Exception | None = None  # of a seed that refuses the login for good, in this round
        self._unreached: RemoteProtocolError | None = None  # why a node of the last topology cannot be dialled
        self._unreachable: set[str] = set()  # announced addresses that lead nowhere from here
        self._unproven: dict[Address, None] = {}  # seeds that the first topology has not named, until they were asked
        self.trouble: Exception | None = None
        """Why a node has told no topology, or names nodes that cannot be dialled; None since all is well."""

    @property
    def is_wanted(self) -> bool:
        """Whether a newer topology is wanted, and will be asked for."""
        return self._since != inf

    def want(self, *, prefer: Address | None = None, avoid: Address | None = None) -> None:
        """Ask as soon as may be: first the ``preferred`` node, and only at last a node that is to be ``avoided``."""
        self._preferred = prefer or self._preferred
        self._avoided = avoid or self._avoided
        self._since = AT_ONCE
        self._timer.set(AT_ONCE)

    def close(self) -> None:
        """Ask no more, and leave the turn to others."""
        self._closed = True
        if self._round is not None:
            self._board.end_turn(self._context.clock.now)
        self._round, self._asked = None, None
        self._since = self._due = self._deadline = inf
        self._timer.set(inf)
        self.link.close()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _act(self, now: float) -> None:
        if self._since == AT_ONCE:
            self._since = now
            self._due = min(self._due, now)
        if self._round is not None:
            if now >= self._deadline:
                self._next(now, ConnectionLost(f"{self._asked} did not tell the topology within {ANSWER:g} s"))
        elif self._due <= now:
            self._begin(now)
        self._set_timer(now)

    def _begin(self, now: float) -> None:
        """Take the turn, unless another router has it or has made it needless."""
        wanted = self._since if self._since != inf else now - self._interval / 2
        if self._board.is_newer(wanted):
            self._settle(now)
        elif self._board.take_turn(now):
            self._round = self._nodes()
            self._next(now, None)
        else:
            self._due = now + LOOK

    def _set_timer(self, now: float) -> None:
        if self._closed:
            return
        if self._since == AT_ONCE:
            at = AT_ONCE
        elif self._round is not None:
            at = self._deadline
        else:
            if self.link.wants_connection and now >= self._used + IDLE:
                self.link.close()
            at = min(self._due, self._used + IDLE if self.link.wants_connection else inf)
        self._timer.set(at)

    # -- a round ------------------------------------------------------------------------------------------------------

    def _nodes(self) -> Iterator[Address]:
        """Yield whom to ask, each once."""
        topology, random = self._board.topology, self._context.random
        known = [] if topology is None else [node.address for node in topology.nodes.values()]
        rest = sorted([*known, *self._seeds] if topology is None else known, key=lambda _: random())
        preferred = [] if self._preferred is None else [self._preferred]
        avoided = self._avoided
        self._preferred = self._avoided = None
        order = dict.fromkeys([*preferred, *self._unproven, *rest, *self._seeds])
        if avoided is not None and order.pop(avoided, order) is None:
            order[avoided] = None
        return iter(order)

    def _next(self, now: float, error: Exception | None) -> None:
        """Ask the next node of the round, or end it."""
        assert self._round is not None
        self.trouble = error or self.trouble
        if self._asked is not None:
            self._unproven.pop(self._asked, None)
        self._asked = None
        address = next(self._round, None)
        if address is None:
            self._end(now)
            return
        self._board.keep_turn(now)
        self._deadline = now + ANSWER
        self._asked_at = self._used = now
        if self.link.is_up and self.link.address == address:
            self._asked = address
            self._ask()
        else:
            self.link.redirect(address)
            self._asked = address
            self.link.open()

    def _ask(self) -> None:
        self._unreached = None
        self.link.send(Exchange([_SLOTS.args], ANSWER, _SLOTS.data))

    def _end(self, now: float) -> None:
        """End a round that has found no topology: the next comes after a pause."""
        self._round, self._asked, self._deadline = None, None, inf
        self.link.close()
        self._board.end_turn(now)
        refusal, self._refusal = self._refusal, None
        if refusal is not None and self._board.topology is None:
            self._context.fail(refusal)
            return
        self._due = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MAX)

    def _settle(self, now: float) -> None:
        """Take the topology of the board, and plan the next question."""
        if self._since != AT_ONCE and self._board.is_newer(self._since):
            self._since = inf
        self._learn()
        if self._since != inf:
            self._due = now + PAUSE
        elif self._unproven or self._needed():
            self._since = now + self._pause / 2
            self._due = now + self._pause
            self._pause = min(2 * self._pause, PAUSE_MAX)
        else:
            self._pause = PAUSE
            self._due = now + self._interval * (0.8 + 0.4 * self._context.random())

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        if self._asked is None:
            return
        is_seed = self._board.topology is None or link.address in self._unproven
        if is_seed and link.server.get(b"mode") == b"standalone":
            self._context.fail(InvalidArgument(f"{link.address} is a standalone server, and no node of a cluster"))
        else:
            self._ask()

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        link.succeeded()
        asked, now = self._asked, self._context.clock.now
        assert asked is not None
        try:
            topology = self._parsed(exchange.replies[0], asked)
        except Exception as error:
            if is_interruption(error):
                raise
            if isinstance(error, NoPermissionError) and self._board.topology is None:
                self._context.fail(error)
            else:
                self._next(now, error)
        else:
            self.trouble = self._unreached
            self._note_seeds(topology)
            self._publish(topology)
            self._round, self._asked, self._deadline = None, None, inf
            self._board.end_turn(now)
            self._settle(now)
        self._set_timer(now)

    def _note_seeds(self, topology: Topology) -> None:
        """Note the seeds to be asked, each once: a standalone server among them is an error. The first topology proves those that it names."""
        if self._board.topology is None:
            named = {node.address for node in topology.nodes.values()}
            self._unproven = dict.fromkeys(seed for seed in self._seeds if seed not in named)
        self._unproven.pop(topology.asked_of, None)

    def _publish(self, new: Topology) -> None:
        """Put a topology on the board, and emit the events of its changes."""
        old, self._board.topology = self._board.topology, new
        if new.uncovered != (() if old is None else old.uncovered):
            self._context.emit(SlotsUncovered(new.uncovered) if new.uncovered else SlotsCovered())
        if old is not None and (old.table != new.table or old.nodes != new.nodes) and (change := compare(old, new)):
            self._context.emit(TopologyChanged(*change))

    def _parsed(self, reply: Any, asked: Address) -> Topology:
        """Make the topology of a reply. Raises an error where there is none: of a node that has forgotten the cluster, say."""
        if isinstance(reply, ReplyError):
            reply.command = _SLOTS.name
            raise reply
        assert _SLOTS.parse is not None
        new = read(_SLOTS.parse(reply), asked, self._asked_at, partial(self._address_of, asked))
        old = self._board.topology
        is_other = old is not None and new.nodes.keys().isdisjoint(old.nodes)
        if self._unreached is not None and not new.primaries:
            raise self._unreached
        if not new.primaries or (is_other and new.uncovered):
            raise RemoteProtocolError(f"{asked} knows no node of this cluster")
        return new if old is None else fill(new, old)

    def _address_of(self, asked: Address, node: SlotNode) -> Address | None:
        """Find where a node is dialled. A node that cannot be reached from here is reported once."""
        address = self._policy.of_node(node, asked)
        announced = f"{node.host or ''}:{node.port}"
        if address is None:
            self._unreached = RemoteProtocolError(
                f"{asked} announces {announced}, which leads nowhere from here, or may not be followed: "
                "set cluster-announce-ip there, or pass address_map= or follow="
            )
            if announced not in self._unreachable:
                self._unreachable.add(announced)
                self._context.emit(RedirectRefused(announced, str(asked)))
        return address

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: a refresher subscribes to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        if self._asked is not None and self._round is not None:
            now = self._context.clock.now
            if self._board.topology is None:
                emit_loss(self._context.emit, link, error, self._context.title, was_up=False)
                if is_permanent(error):
                    self._refusal = error
            self._next(now, error)
            self._set_timer(now)
