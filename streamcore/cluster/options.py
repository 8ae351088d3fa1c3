"""Checks of a client's options for clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from ..arguments import seconds
from ..errors import InvalidArgument
from .addresses import Prefer


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of a client for clusters, which ``Cluster`` takes. Raises ``InvalidArgument``."""
    options = dict(given)
    for name in ("refresh_interval", "node_keepalive"):
        if name in given:
            options[name] = seconds(name, given[name])
    if "prefer" in given and given["prefer"] not in get_args(Prefer):
        raise InvalidArgument(f"prefer must be 'hostname' or 'ip', not {given['prefer']!r}")
    follow = given.get("follow", "topology")
    if not callable(follow) and follow not in ("topology", "seeds"):
        raise InvalidArgument(f"follow must be 'topology', 'seeds' or a function of (host, port), not {follow!r}")
    if "address_map" in given:
        _check_map(given["address_map"])
    return options


def _check_map(given: Any) -> None:
    if given is None or callable(given):
        return
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"address_map must be a mapping or a function of (host, port), not {given!r}")
    for pair in (*given, *given.values()):
        if not (isinstance(pair, tuple) and [type(part) for part in pair] == [str, int]):
            raise InvalidArgument(f"address_map must map (host, port) to (host, port); {pair!r} is no such pair")
