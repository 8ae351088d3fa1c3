"""Durations that look like milliseconds, which servers and other clients count in: ours are seconds.

A plain number from its bound on is warned about, once for each line of the application. The bounds lie where no program means
seconds: none waits a quarter of an hour for an answer. A program that does gives a ``timedelta``, which has said its unit and
is never warned about. Durations that may well be hours or days (``timeout``, ``ttl``, ``remove_idle_consumers``, ``nack_delay``) have no bound.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from math import inf
from typing import Final, ParamSpec, TypeVar

from streamcore.arguments import MillisecondsWarning

P = ParamSpec("P")
R = TypeVar("R")

BOUNDS: Final[Mapping[str, float]] = {
    # of an answer, and of what is done again and again
    **dict.fromkeys(("request_timeout", "connect_timeout", "block", "publish_timeout", "send_timeout"), 1000.0),
    **dict.fromkeys(("subscription_timeout", "unsubscription_timeout", "max_idle_seconds", "audit_interval"), 1000.0),
    "retry": 1000.0,
    # of what is held back meanwhile
    **dict.fromkeys(("ack_delay", "linger", "merge_wait"), 100.0),
    # of idle entries, since some jobs last for hours, and of what is not to be done at all
    **dict.fromkeys(("claim_idle", "min_idle", "keep_alive"), 10_000.0),
}
"""From how many seconds on each duration looks like milliseconds."""

_OURS: Final = ("streamcore", "transports")


def warn_of_milliseconds(given: Mapping[str, object]) -> None:
    """Warn, in the application's line, of durations among these keywords that look like milliseconds."""
    for what, bound in BOUNDS.items():
        value = given.get(what)
        if isinstance(value, (int, float)) and bound <= value < inf:
            warnings.warn(
                f"{what}={value:g} is {value:g} seconds: durations are seconds, and this looks like milliseconds; "
                "where it is meant, give a timedelta",
                MillisecondsWarning,
                stacklevel=_depth(),
            )


def watching_durations(build: Callable[P, R]) -> Callable[P, R]:
    """The same of a function's keywords; where it has no such durations it stays as it is."""
    if not BOUNDS.keys() & inspect.signature(build).parameters.keys():
        return build

    @wraps(build)
    def watched(*args: P.args, **kwargs: P.kwargs) -> R:
        warn_of_milliseconds(kwargs)
        return build(*args, **kwargs)

    return watched


def _depth() -> int:
    """How many frames lie between ``warn_of_milliseconds`` and the application, as ``stacklevel`` counts."""
    depth, frame = 1, sys._getframe(1)  # noqa: SLF001  # there is no other way before Python 3.12
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS:
        depth, frame = depth + 1, frame.f_back
    return depth


__all__ = ["BOUNDS", "warn_of_milliseconds", "watching_durations"]
