"""Scripts by their hashes, in slots that are on their way, and at nodes that do not know them."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import eval_, evalsha, incr, script_load
from streamcore.errors import CrossSlotError, NoScriptError
from streamcore.testing.model import Session
from tests.core.support.clusters import KEYS, Rig, slot

SOURCE = "return redis.call('INCR', KEYS[1])"


def increase(session: Session, keys: list[bytes], _: list[bytes]) -> Any:
    return session.server.call(session, b"INCR", keys[0])


def known(rig: Rig, key: str) -> str:
    """Let the owner of a key know the script; return its hash."""
    for node in rig.model.nodes:
        node.effects[SOURCE.encode()] = increase
    rig.ask(incr(key))
    assert rig.ask(eval_(SOURCE, [key])).answer() == 2
    session = rig.owner(key).connect(rig.model.now)
    session.receive(script_load(SOURCE).data, rig.model.now)
    sha = bytes(session.data_to_send()).split(b"\r\n")[1].decode()
    session.lost()
    return sha


def test_a_script_is_asked_for_where_its_slot_is_on_its_way() -> None:
    rig = Rig()
    sha = known(rig, "a")
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys()
    rig.words()
    with pytest.raises(NoScriptError):
        rig.ask(evalsha(sha, ["a"])).answer()
    assert rig.words("ASKING", "EVALSHA") == [f"EVALSHA {sha} 1 a", "ASKING", f"EVALSHA {sha} 1 a"], (
        "each node has its own"
    )
    assert rig.ask(eval_(SOURCE, ["a"])).answer() == 3
    assert rig.ask(evalsha(sha, ["a"])).answer() == 4
    move.finish()
    assert rig.ask(evalsha(sha, ["a"])).answer() == 5
    rig.expect_nothing_left()


def test_scripts_and_commands_of_a_moving_slot_keep_their_order() -> None:
    rig = Rig()
    sha = known(rig, "a")
    other = rig.model.nodes[0].connect(rig.model.now)
    other.receive(script_load(SOURCE).data, rig.model.now)
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    requests = [rig.submit(command) for _ in range(3) for command in (evalsha(sha, ["a"]), incr("a"))]
    move.move_keys()
    requests += [rig.submit(command) for _ in range(3) for command in (evalsha(sha, ["a"]), incr("a"))]
    rig.net.serve()
    move.finish()
    rig.advance(1.0)
    assert [request.answer() for request in requests] == [*range(3, 15)]
    rig.expect_nothing_left()


def test_a_promoted_replica_knows_no_script() -> None:
    rig = Rig()
    sha = known(rig, "a")
    rig.model.failover(rig.model.replica_of(rig.owner("a")))
    with pytest.raises(NoScriptError):
        rig.ask(evalsha(sha, ["a"])).answer()
    assert rig.ask(eval_(SOURCE, ["a"])).answer() == 3


def test_a_script_has_keys_of_a_single_slot() -> None:
    rig = Rig()
    with pytest.raises(CrossSlotError, match="EVALSHA has keys of 3 slots"):
        rig.submit(evalsha("0" * 40, KEYS))
