"""The model knows a group's place and lag just when the server does: whatever is trimmed, deleted or set around it."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulation.twins import Twins
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

STORIES = 200
STEPS = 40


@pytest.mark.every_server
def test_a_groups_place_is_what_the_server_says(server: EmbeddedServer, server_kind: ServerKind) -> None:
    for seed in range(STORIES):
        twins = Twins(server.address, server_kind.name, connections=1, protocol=3)
        try:
            play(twins, Random(seed))
        except AssertionError as error:
            error.add_note(f"story {seed}")
            raise
        finally:
            twins.close()


def play(twins: Twins, random: Random) -> None:
    added = 1
    twins.do(0, "XADD", "s", "1-0", "f", "v")
    twins.do(0, "XGROUP", "CREATE", "s", "g", random.choice(["0", "$"]))
    for _ in range(STEPS):
        near = f"{random.randint(max(1, added - 6), added)}-0"
        match random.choices(("add", "read", "delete", "trim", "set", "wait"), (35, 25, 12, 13, 5, 10))[0]:
            case "add":
                added += 1
                twins.do(0, "XADD", "s", f"{added}-0", "f", "v")
            case "read":
                count = str(random.choice([1, 1, 2, 3]))
                twins.do(0, "XREADGROUP", "GROUP", "g", "c", "COUNT", count, "STREAMS", "s", ">")
            case "delete":
                twins.do(0, "XDEL", "s", near)
            case "trim":
                twins.do(0, "XTRIM", "s", "MINID", "=", near)
            case "set":
                place = random.choice([(), ("ENTRIESREAD", str(random.randint(0, added)))])
                twins.do(0, "XGROUP", "SETID", "s", "g", near, *place)
        twins.do(0, "XINFO", "GROUPS", "s")
