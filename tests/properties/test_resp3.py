from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcore.testing.resp import Attributed, resp
from tests.core.support import strategies as own
from tests.core.support.strategies import byte_by_byte, pieces
from tests.fuzz.frames import DAMAGE
from tests.fuzz.judge import Verdict, comparable, judge_any, judge_valid

# Hypothesis keeps what it drew as keys of dicts, and b"" has the hash of 0: ``python -bb`` takes that for a mistake.
pytestmark = pytest.mark.filterwarnings("ignore:Comparison between bytes:BytesWarning")

replies = st.lists(
    own.all_replies
    | st.builds(Attributed, st.dictionaries(st.binary(max_size=4), own.scalars, max_size=2), own.all_replies),
    max_size=4,
)


@given(replies, own.cuts)
@settings(max_examples=1000)
def test_both_decoders_read_any_replies_alike_however_they_are_cut(values: list[Any], cuts: list[int]) -> None:
    wire = b"".join(map(resp, values))
    judge_valid(wire, [wire])
    judge_valid(wire, list(byte_by_byte(wire)))
    judge_valid(wire, list(pieces(wire, cuts)))


@given(replies, st.data())
@settings(max_examples=1000)
def test_damaged_replies_are_read_or_refused(values: list[Any], data: st.DataObject) -> None:
    wire = bytearray(b"".join(map(resp, values)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wire)))
        wire[at : at + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(DAMAGE) | st.binary(max_size=3))
    wire += b"\r\n"  # hiredis may object to a line before it ends
    judge_any(bytes(wire), list(pieces(bytes(wire), data.draw(own.cuts))))
    judge_any(bytes(wire), list(byte_by_byte(bytes(wire))))


@given(
    st.lists(own.all_replies, min_size=1, max_size=4),
    st.lists(st.dictionaries(st.binary(max_size=4), own.scalars, min_size=1, max_size=3), max_size=4),
)
def test_each_reply_has_its_own_attributes(values: list[Any], attributes: list[dict[bytes, Any]]) -> None:
    # What is drawn may begin by attributes of its own: the ones of the outermost level are merged, and those are not compared.
    values = [value for value in values if not isinstance(value, Attributed)]
    given = dict(zip(range(len(values)), attributes, strict=False))
    wire = b"".join(resp(Attributed(given[at], value) if at in given else value) for at, value in enumerate(values))
    for kind in ("python", "hiredis"):
        found = Verdict(kind, pieces(wire, [len(wire) // 3, len(wire) // 2]))
        expected = Verdict(kind, [resp(one) for one in given.values()]).replies
        assert found.attributes == dict(zip(given, expected, strict=True))
        assert comparable(len(values)) == len(found.replies)
