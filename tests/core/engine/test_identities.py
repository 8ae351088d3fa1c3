"""Names that are nobody else's: drawn from entropy, however much alike the generators of two processes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore.channels import Naming, Publisher, Settings
from streamcore.engine.engine import TOKEN_BYTES, Engine
from streamcore.errors import InvalidArgument
from streamcore.group.consumer import GroupConsumer
from streamcore.producer.producer import Producer
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair
from tests.core.support.entropy import entropy


def alike() -> float:
    """The jitter of a process that has seeded its generator as all others do."""
    return 0.5


def _nothing(_: Request) -> None:
    """Nobody waits."""


def producer_name() -> bytes:
    pair = Pair(producer := Producer("s", idempotent=True, random=alike, entropy=entropy))
    producer.send({"n": 1}, _nothing, message_id="m")
    pair.settle()
    return pair.server.expect("EVAL")[4]


def producer_run() -> bytes:
    pair = Pair(producer := Producer("s", producer_id="p", random=alike, entropy=entropy))
    producer.send({"n": 1}, _nothing)
    pair.settle()
    return pair.server.expect("EVAL")[5]


def member_name() -> bytes:
    consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c", random=alike, entropy=entropy)
    return Pair(consumer, greets=False).server.expect("HELLO", 3, "SETNAME")[-1]


def member_of_several_groups() -> bytes:
    groups = {"s": "g", "t": "h"}
    consumer: GroupConsumer[bytes] = GroupConsumer(groups, consumer="c", random=alike, entropy=entropy)
    pair = Pair(consumer, greets=False)
    names = {pair.peer(f"main of {group}").expect("HELLO", 3, "SETNAME")[-1] for group in groups.values()}
    assert names == {consumer.nonce}
    return consumer.nonce


def publisher(**options: Any) -> Publisher:
    kind = options.pop("kind", "streams")
    return Publisher(Multiplexer(random=alike, **options), Settings(kind=kind), Naming("", None))


def publication() -> bytes:
    [command] = publisher(entropy=entropy).publications(b"x", "room")
    nonce = command.args[6]
    assert isinstance(nonce, bytes)
    return nonce


@pytest.mark.parametrize("draw", [producer_name, producer_run, member_name, member_of_several_groups, publication])
def test_two_processes_with_the_same_jitter_have_different_ones(draw: Callable[[], bytes]) -> None:
    drawn = {draw() for _ in range(3)}
    assert len(drawn) == 3
    assert b"" not in drawn


def test_a_token_is_as_long_as_what_was_drawn() -> None:
    asked: list[int] = []

    def draw(size: int) -> bytes:
        asked.append(size)
        return b"\xab" * size

    assert Engine(entropy=draw).token("a test") == b"ab" * TOKEN_BYTES
    assert asked == [TOKEN_BYTES]


@pytest.mark.parametrize("options", [{}, {"random": alike}, {"entropy": None}])
def test_nothing_stands_in_for_entropy(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"^a test needs entropy=os\.urandom, for names that nobody else has$"):
        Engine(**options).token("a test")


def test_fewer_bytes_than_were_asked_for_are_no_entropy() -> None:
    with pytest.raises(InvalidArgument, match="entropy gives 0 bytes where 8 are asked for"):
        Engine(entropy=lambda _: b"").token("a test")


def test_what_needs_a_name_and_has_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"an idempotent producer needs entropy=os\.urandom"):
        Producer("s", producer_id="p", random=alike)
    with pytest.raises(InvalidArgument, match=r"publishing with a history needs entropy=os\.urandom"):
        publisher()
    assert publisher(kind="pubsub").publications(b"x", "room")


def test_a_member_without_one_has_no_name_on_its_connections() -> None:
    consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c")
    assert consumer.nonce == b""
    assert Pair(consumer, greets=False).server.expect("HELLO", 3) == [b"HELLO", b"3"]
