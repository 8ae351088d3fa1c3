from __future__ import annotations

from typing import Any

import pytest

from streamcore.connection.features import Feature, name_of, version_of


@pytest.mark.parametrize(
    ("server", "version", "idmp", "waitaof"),
    [
        ({b"server": b"redis", b"version": b"8.6.3"}, (8, 6, 3), True, True),
        ({b"server": b"redis", b"version": b"8.6-rc1"}, (8, 6), True, True),
        ({b"server": b"redis", b"version": b"10.0.0"}, (10, 0, 0), True, True),
        ({b"server": b"redis", b"version": b"8.4.0"}, (8, 4, 0), False, True),
        ({b"server": b"redis", b"version": b"7.0.15"}, (7, 0, 15), False, False),
        ({b"server": b"valkey", b"version": b"9.1.2"}, (9, 1, 2), False, True),
        ({b"server": b"else", b"version": b"9.9.9"}, (9, 9, 9), False, False),
        ({b"server": b"redis", b"version": b"next"}, (), False, False),
        ({b"server": b"redis", b"version": 9}, (), False, False),
        ({}, (), False, False),
    ],
)
def test_the_answer_to_hello_tells(
    server: dict[bytes, Any], version: tuple[int, ...], idmp: bool, waitaof: bool
) -> None:
    assert version_of(server) == version
    assert Feature.IDMP.of(server) is idmp
    assert Feature.WAITAOF.of(server) is waitaof


def test_names_for_messages() -> None:
    assert str(Feature.IDMP) == "IDMP (Redis 8.6 is the first that has it)"
    assert str(Feature.WAITAOF) == "WAITAOF (Redis 7.2 or Valkey 7.2 is the first that has it)"
    assert name_of({b"server": b"redis", b"version": b"7.0.15"}) == "redis 7.0.15"
    assert name_of({}) == "this server"


@pytest.mark.parametrize(
    ("product", "version", "known"),
    [
        (b"redis", b"7.0.15", False),
        (b"redis", b"8.6.3", True),
        (b"valkey", b"8.0.1", False),
        (b"valkey", b"9.1.2", True),
    ],
)
def test_whether_the_server_knows_how_far_a_group_is(product: bytes, version: bytes, known: bool) -> None:
    assert Feature.GROUP_PLACE.of({b"server": product, b"version": version}) is known
