from __future__ import annotations

import pytest

from streamcore import commands
from streamcore.cluster.slots import common_slot, slot_of, split
from streamcore.commands import Command, key_slot, raw
from streamcore.errors import CrossSlotError


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (commands.get("a"), ["a"]),
        (commands.mget("{t}a", "{t}b"), ["{t}a"]),
        (commands.xadd("s", {"f": "v"}), ["s"]),
        (raw("EVAL", "return 1", 2, "{t}a", "{t}b", "argument"), ["{t}a"]),
        (raw("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "{t}s", "{t}u", ">", ">"), ["{t}s"]),
        (raw("XINFO", "STREAM", "s"), ["s"]),
        (raw("SPUBLISH", "news", "x"), ["news"]),
    ],
)
def test_the_slot_of_a_command_is_that_of_its_keys(command: Command[object], keys: list[str]) -> None:
    assert slot_of(command) == key_slot(keys[0])


@pytest.mark.parametrize(
    "command", [commands.ping(), raw("PUBLISH", "news", "x"), raw("EVAL", "return 1", 0, "argument")]
)
def test_a_command_without_keys_has_no_slot(command: Command[object]) -> None:
    assert slot_of(command) is None


def test_keys_of_several_slots_are_refused_with_the_remedy() -> None:
    with pytest.raises(CrossSlotError) as caught:
        slot_of(commands.mget("user:1", "cart:1", "user:1", "order:7"))
    assert str(caught.value) == (
        "CROSSSLOT MGET has keys of 3 slots: 'user:1' (10778) and 'cart:1' (1420). A cluster runs a command within one slot: "
        "give the keys a common tag, as in {1}user:1 and {1}cart:1, or send a command per key, in one pipeline."
    )


def test_a_transaction_has_a_single_slot() -> None:
    same = [commands.get("{t}a"), commands.ping(), commands.get("{t}b")]
    assert common_slot(same) == common_slot([], [b"t"]) == key_slot("t")
    assert common_slot([commands.ping()]) is None
    with pytest.raises(
        CrossSlotError, match=r"the transaction has keys of 2 slots: 'w' .* or use pipeline\(\), which is not"
    ):
        common_slot(same, [b"w"])


def test_a_pipeline_is_split_by_slot_in_its_order() -> None:
    sent = [commands.get("a"), commands.ping(), commands.get("b"), raw("SET", "a", "1"), commands.ping()]
    assert split(sent) == {key_slot("a"): [0, 3], None: [1, 4], key_slot("b"): [2]}
    with pytest.raises(CrossSlotError):
        split([commands.get("a"), commands.mget("a", "b")])


def test_keys_that_are_no_text_and_have_braces_of_their_own_are_shown() -> None:
    with pytest.raises(CrossSlotError, match=r"'\\\\xff\{a\}' .* and '\}b' .*as in \{1\}\\xffa and \{1\}b,"):
        slot_of(commands.mget(b"\xff{a}", "}b"))
