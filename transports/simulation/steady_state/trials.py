"""The trials in the steady state of each world: its seed has drawn them, and they follow each other until all is quiet again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from ..world.actor import RECOVERY
from .absence_trials import come_back
from .connection_trials import break_connections, destroy
from .context import SteadyState
from .dead_letter_trials import no_letters
from .entry_trials import hand_over, hold, leave, race, retry
from .gap_trials import begin_anew, replace, trim, unheard
from .group_trials import bury, double, refuse, restart
from .recovery_trials import bring_back, enter_without_a_group, give_again, rob_unheard, settle_twice, take_over
from .request_trials import try_requests
from .upkeep_trials import leave_a_list, leave_names

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog

Trial: TypeAlias = "Callable[[SteadyState, DeliveryLog], None]"

DRAWN: Final[tuple[Trial, ...]] = (
    hand_over, hold, retry, race, leave, break_connections, destroy, trim, begin_anew, replace, unheard, bury, restart, refuse,
    give_again, bring_back, settle_twice, rob_unheard, take_over, enter_without_a_group,
)  # fmt: skip
"""Each is tried in one world of four."""

OWN_LOTS: Final[tuple[Trial, ...]] = (double, no_letters, leave_names, leave_a_list)
"""Trials that draw by themselves whether they are tried."""


def play(steady: SteadyState) -> None:
    """Run the trials that the seed has drawn."""
    world = steady.world
    # The last half-open connections are found by then.
    steady.run(max(0.0, world.healed_at + RECOVERY + 1.0 - world.now))
    steady.settle()
    logs = [log for log in steady.scene.delivery_logs if steady.is_whole(log)]
    _try(steady, [come_back], logs)
    drawn = [trial for trial in DRAWN if steady.lots.random() < 0.25]
    steady.quiet.begin()
    steady.run(0.5 if drawn and logs else 1.5)
    steady.quiet.end()
    _try(steady, [*drawn, *OWN_LOTS], logs)
    try_requests(steady)


def _try(steady: SteadyState, trials: Iterable[Trial], logs: list[DeliveryLog]) -> None:
    for trial in trials:
        for log in logs:
            trial(steady, log)
            steady.settle()
