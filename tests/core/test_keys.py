"""The keys that stand beside a stream."""

from __future__ import annotations

import pytest

from streamcore.commands import key_slot
from streamcore.keys import consumer_lease, dead_letters, delayed_nacks, publication_mark, sent_messages


@pytest.mark.parametrize(
    ("stream", "key"),
    [
        (b"s", b"{s}:dead"),
        (b"a{t}b", b"a{t}b:dead"),
        (b"{t}", b"{t}:dead"),
        (b"a{b", b"{a{b}:dead"),
        (b"a{}b", b"a{}b:dead"),
        (b"a}b", b"a}b:dead"),
    ],
)
def test_they_are_in_its_slot(stream: bytes, key: bytes) -> None:
    assert dead_letters(stream) == key
    if b"{}" not in stream and stream != b"a}b":  # those have no neighbours
        assert key_slot(key) == key_slot(stream)


def test_each_has_a_name_of_its_own() -> None:
    assert delayed_nacks(b"s", b"g") == b"{s}:later:g"
    assert sent_messages(b"s", b"p") == b"{s}:sent:p"
    assert publication_mark(b"c", b"n-1") == b"{c}:said:n-1"
    assert consumer_lease(b"s", b"g", b"c") == b"{s}:name:g:c"
    assert consumer_lease(b"s", b"a:b", b"c") != consumer_lease(b"s", b"a", b"b:c")
