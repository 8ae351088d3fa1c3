"""A trial of the steady state: a stream that was gone comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamcore.group.absent_streams import LOOK

from .context import SteadyState
from .invariants import Prompt

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog


def come_back(steady: SteadyState, log: DeliveryLog) -> None:
    """Each stream that is waited for comes back with an entry: that is handed over as soon as its stream was looked for."""
    for stream in log.streams:
        if log.of(stream) is None:
            name = steady.append(log, stream, b"calm")
            steady.run_soon(LOOK)
            steady.handed(log, name, Prompt(steady.world), f" and the {LOOK:g} s after which its stream is looked for")
