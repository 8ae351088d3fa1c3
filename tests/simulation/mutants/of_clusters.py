"""What goes wrong in clusters: redirects that are forgotten, requests that overtake, repetitions, questions without end."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

GATES: Final = "streamcore.cluster.gates"

CLUSTERS: Final = (
    Mutant(
        "moved-changes-nothing",
        "streamcore.cluster.router",
        "self._overlays[error.slot] = Overlay(address, self._context.clock.now)",
        "pass",
        "a MOVED that does not change the table: the next request goes to the same node",
        scenario="cluster-requests",
    ),
    Mutant(
        "gate-without-a-fence",
        GATES,
        "if gate.fence is not None or self._engine.closed",
        "if self._engine.closed",
        "a redirected request is sent on while others of its slot are on their way: later ones overtake",
        scenario="cluster-requests",
    ),
    Mutant(
        "refresh-for-each-redirect",
        "streamcore.cluster.board",
        "self._next_turn = now + PAUSE",
        "self._next_turn = now",
        "redis-py 8: a storm of MOVED is a storm of questions for the topology",
        scenario="cluster-requests",
    ),
    Mutant(
        "lost-at-a-node-and-sent-again",
        "streamcore.cluster.dispatcher",
        "if request.was_cut_short() or not request.repeatable:",
        "if request.was_cut_short():",
        "a request whose reply was lost with its node is executed again by the new owner",
        scenario="cluster-requests",
    ),
    Mutant(
        "read-ends-before-its-acks",
        "streamcore.cluster.waiting_reads",
        "elif not is_next:",
        "elif not is_next and read.wait < 0:",
        "a script that shares a link takes the reply to its acknowledgements for that of its next command",
        scenario="cluster-group",
    ),
)
