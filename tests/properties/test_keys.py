"""Keys that stand beside a stream lie in its slot, whatever braces the names have; where they cannot, the stream is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamcore.commands import key_slot
from streamcore.engine.router import MakeRouter
from streamcore.errors import CrossSlotError
from streamcore.group.consumer import GroupConsumer
from streamcore.keys import consumer_lease, dead_letters, delayed_nacks, publication_mark, sent_messages
from streamcore.testing.model.cluster import ModelCluster
from tests.core.support.slots import router_of

NAMES = st.text(alphabet="{}ab:\x00", min_size=1, max_size=8).map(str.encode) | st.binary(min_size=1, max_size=8)
CLUSTER = ModelCluster(now=1000.0)


def beside(stream: bytes, group: bytes, name: bytes) -> list[bytes]:
    """All keys that stand beside a stream."""
    return [
        dead_letters(stream),
        delayed_nacks(stream, group),
        consumer_lease(stream, group, name),
        sent_messages(stream, name),
        publication_mark(stream, name),
    ]


def has_a_tag(stream: bytes) -> bool:
    """Whether keys can share the slot of a stream: by its hash tag, or by its whole name as the tag."""
    _, opened, rest = stream.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return bool(opened and closed and tag) or b"}" not in stream


@given(stream=NAMES, group=NAMES, name=NAMES)
@example(b"a}{b", b"g", b"c")
@example(b"{}a{b}", b"g", b"c")
@example(b"a{", b"{g}", b"}{c")
@example(b"{t}", b"}", b"{")
def test_they_lie_in_the_slot_of_a_stream_with_a_tag(stream: bytes, group: bytes, name: bytes) -> None:
    keys = beside(stream, group, name)
    assert len(set(keys)) == len(keys)
    if has_a_tag(stream):
        assert {key_slot(key) for key in keys} == {key_slot(stream)}


@given(stream=NAMES, group=NAMES, name=NAMES, letters=NAMES | st.none())
@example(b"a}{b", b"g", b"c", None)
@example(b"a", b"g", b"c", b"b")
@example(b"a", b"g", b"c", b"{a}b")
def test_a_member_of_a_group_has_all_of_its_keys_in_a_slot(
    stream: bytes, group: bytes, name: bytes, letters: bytes | None
) -> None:
    if letters == stream:
        return

    def make(router: MakeRouter | None) -> GroupConsumer[bytes]:
        return GroupConsumer(stream, group=group, consumer=name, dead_letter_stream=letters, router=router)

    make(None)  # a single server has no slots
    keys = [*beside(stream, group, name)[1:3], dead_letters(stream) if letters is None else letters]
    if {key_slot(key) for key in keys} == {key_slot(stream)}:
        assert make(router_of(CLUSTER)).members[0].membership.letters(stream) == keys[-1]
    else:
        with pytest.raises(CrossSlotError, match="of two slots"):
            make(router_of(CLUSTER))
