"""A client's way to the single servers behind it: the nodes of a cluster, or its only server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar, cast, overload

from streamcore.arguments import Name
from streamcore.commands import Command, scan
from streamcore.commands.command import LinkUse
from streamcore.errors import ConnectionLost, InvalidArgument
from streamcore.requests import DedicatedLink, Multiplexer, Request
from streamcore.requests.multiplexer import AtNode
from streamcore.requests.nodes import ServerNode, Which, chosen

from ..settings import raised_together
from .commands import Commands
from .lifecycle import Running, leased, submit
from .openers import Subscribers
from .transaction import Transaction

R = TypeVar("R")


class NodeClient(Commands):
    """The commands of a client at a certain node, whatever keys they have: where that does not serve them, its redirect is raised."""

    _instead = "call client.on() where it is needed"

    def __init__(self, running: Running, node: ServerNode) -> None:
        self.node = node
        self._running = running

    async def execute(self, command: Command[R]) -> R:
        """Run a command at the node. Raises as ``Client.execute``, and ``MovedError`` or ``AskError`` where another node serves its keys."""
        if command.traits.use is LinkUse.DEDICATED:
            request = await self._ask_apart([command])
        else:
            request = await submit(self._running, [command], self._at.submit)
        return cast(R, request.answer())

    async def pipeline(self, asked: Iterable[Command[Any]], *, raise_errors: bool = False) -> list[Any]:
        """Run commands at the node in one write, as ``Client.pipeline``."""
        listed = list(asked)
        if not listed:
            return []
        if any(command.traits.use is LinkUse.DEDICATED for command in listed):
            request = await self._ask_apart(listed)
        else:
            request = await submit(self._running, listed, self._at.submit)
        return raised_together(request.answers(), wanted=raise_errors)

    async def _ask_apart(self, asked: list[Command[Any]]) -> Request:
        async with leased(self._running, partial(self._lend, asked)) as lease:
            return await submit(self._running, asked, lease.submit)

    @overload
    def transaction(self, asked: Iterable[Command[Any]], *, raise_errors: bool = False) -> Awaitable[list[Any]]: ...
    @overload
    def transaction(self, *, watch: Name | Iterable[Name], raise_errors: bool = False) -> Transaction: ...
    def transaction(
        self,
        asked: Iterable[Command[Any]] | None = None,
        *,
        watch: Name | Iterable[Name] | None = None,
        raise_errors: bool = False,
    ) -> Awaitable[list[Any]] | Transaction:
        """All of the commands at the node, or none; or a block that watches keys first, as ``Client.transaction``."""
        if (asked is None) == (watch is None):
            raise InvalidArgument("give transaction() either commands, or the keys to watch")
        if watch is not None:
            return Transaction(self._running, watch, self._lend, raise_errors=raise_errors)
        return self._transact(list(asked or ()), raise_errors=raise_errors)

    async def _transact(self, asked: list[Command[Any]], *, raise_errors: bool) -> list[Any]:
        if not asked:
            return []
        request = await submit(self._running, asked, self._at.transact)
        return raised_together(request.answers(), wanted=raise_errors)

    @property
    def _at(self) -> AtNode:
        return cast(Multiplexer, self._running.engine).at(self.node)

    def _lend(self, asked: Sequence[Command[Any]]) -> DedicatedLink | None:
        return self._at.lease(asked)


class Nodes(Subscribers):
    """A part of ``Client``."""

    def nodes(self) -> list[ServerNode]:
        """List the nodes that the client knows: in a cluster the primaries in the order of their slots, each before its replicas.

        A standalone server is a single node. Raises ``ClosedError`` where the client is not open.
        """
        self._running.check_open()
        return self._engine.nodes()

    def on(self, node: ServerNode) -> NodeClient:
        """Commands at a certain node, one of ``nodes()``: the node's own answer is the answer, also where that is a redirect."""
        if not isinstance(node, ServerNode):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"on() takes one of the nodes of client.nodes(), not {node!r}")
        return NodeClient(self._running, node)

    async def each(self, which: Which, command: Command[R]) -> dict[ServerNode, R | Exception]:
        """Run a command at each of the ``"primaries"``, the ``"replicas"`` or ``"all"``, at the same time: answers by node.

        The answer of a node that refuses it, or cannot be reached within the request timeout, is its error.
        """
        nodes = chosen(which, self.nodes())
        if not nodes:
            return {}
        request = await submit(self._running, [command], partial(self._engine.each, nodes))
        return dict(zip(nodes, request.outcomes(), strict=True))

    async def scan_keys(
        self,
        *,
        match: Name | None = None,
        count: int | None = None,
        type: str | None = None,  # noqa: A002
    ) -> AsyncIterator[bytes]:
        """Iterate over all keys, of all primaries in turn (``SCAN``); see ``scan`` for the options and for what it promises.

        Where slots get another owner meanwhile, keys of theirs may be missed or come twice: the event ``KeysMoved`` tells that.
        """
        self._running.check_open()
        tour = self._engine.tour()
        while (node := tour.next()) is not None:
            at, cursor, begun = self.on(node), 0, False
            while cursor or not begun:
                begun = True
                try:
                    page = await at.execute(scan(cursor, match=match, count=count, type=type))
                except ConnectionLost:
                    if not tour.has_left(node):
                        raise
                    break
                for key in page.keys:  # async
                    yield key
                # threads: yield from page.keys
                cursor = page.cursor
        self._running.call(tour.finish)
