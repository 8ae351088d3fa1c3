from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands.replies import flag, mapping, number, pairs
from streamcore.resp3.values import Pairs


@pytest.mark.parametrize(
    "reply",
    [
        {b"a": 1, b"b": [2]},
        Pairs([(b"a", 1), (b"b", [2])]),
        [b"a", 1, b"b", [2]],
        [[b"a", 1], [b"b", [2]]],
    ],
)
def test_a_map_is_read_from_every_shape_that_servers_and_decoders_give_it(reply: Any) -> None:
    assert pairs(reply) == [(b"a", 1), (b"b", [2])]
    assert mapping(reply) == {b"a": 1, b"b": [2]}


@pytest.mark.parametrize("reply", [None, [], {}, Pairs()])
def test_nothing_is_an_empty_map(reply: Any) -> None:
    assert pairs(reply) == []
    assert mapping(reply) == {}


def test_repeated_keys_are_kept_as_pairs_and_the_last_value_counts_in_a_mapping() -> None:
    reply = Pairs([(b"a", 1), (b"b", 2), (b"a", 3)])
    assert pairs(reply) == [(b"a", 1), (b"b", 2), (b"a", 3)]
    assert mapping(reply) == {b"a": 3, b"b": 2}


def test_a_flat_list_of_odd_length_is_no_map() -> None:
    with pytest.raises(ValueError, match="shorter"):
        pairs([b"a", 1, b"b"])


@pytest.mark.parametrize("reply", [b"1.5", 1.5])
def test_a_double_may_come_as_text(reply: Any) -> None:
    assert number(reply) == 1.5


@pytest.mark.parametrize(("reply", "answer"), [(1, True), (0, False), (True, True), (False, False)])
def test_a_boolean_may_come_as_a_number(reply: Any, answer: bool) -> None:
    assert flag(reply) is answer
