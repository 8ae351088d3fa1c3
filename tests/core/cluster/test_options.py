"""The checks of a client's options for clusters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from streamcore.cluster.options import checked
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"follow": "seeds", "prefer": "ip", "address_map": None},
        {"follow": lambda host, port: True, "address_map": lambda host, port: (host, port)},
        {"address_map": {("10.0.0.1", 7000): ("localhost", 17000)}},
    ],
)
def test_what_can_be_meant(given: Mapping[str, Any]) -> None:
    assert checked(given) == given


def test_an_interval_is_seconds() -> None:
    assert checked({"refresh_interval": timedelta(minutes=1)}) == {"refresh_interval": 60}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"refresh_interval": 0}, "refresh_interval must be more than 0"),
        ({"prefer": "name"}, "prefer must be 'hostname' or 'ip', not 'name'"),
        ({"follow": "all"}, r"follow must be 'topology', 'seeds' or a function of \(host, port\), not 'all'"),
        ({"follow": ["topology"]}, "follow must be 'topology', 'seeds' or a function"),
        ({"address_map": "10.0.0.1"}, "address_map must be a mapping or a function"),
        ({"address_map": {"10.0.0.1": ("h", 1)}}, r"'10.0.0.1' is no such pair"),
        ({"address_map": {("10.0.0.1", 1): ("h", "1")}}, r"\('h', '1'\) is no such pair"),
    ],
)
def test_what_cannot_be_meant(given: Mapping[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        checked(given)
