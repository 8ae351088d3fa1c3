"""Names of the keys that stand beside a stream, in its slot: its hash tag is kept, or its whole name becomes the tag.

A name with ``}`` and no hash tag cannot become a tag; on a cluster such a stream meets ``CrossSlotError``.
"""

from __future__ import annotations


def dead_letters(stream: bytes) -> bytes:
    """Name the default dead-letter stream of a stream."""
    return _beside(stream, b"dead")


def delayed_nacks(stream: bytes, group: bytes) -> bytes:
    """Name the sorted set of delayed nacks: ids, by the server's time in milliseconds until which they wait."""
    return _beside(stream, b"later:" + group)


def consumer_lease(stream: bytes, group: bytes, name: bytes) -> bytes:
    """Name the lease on a consumer's name; it exists while a process holds the name."""
    escaped = group.replace(b"\\", b"\\\\").replace(b":", b"\\:")  # else "a:b" of "c" were "a" of "b:c"
    return _beside(stream, b"name:" + escaped + b":" + name)


def sent_messages(stream: bytes, producer_id: bytes) -> bytes:
    """Name the hash of a producer's last messages, by which a repetition is known."""
    return _beside(stream, b"sent:" + producer_id)


def publication_mark(channel: bytes, nonce: bytes) -> bytes:
    """Name the mark that a repeated publication leaves for its first attempt, which may be run last."""
    return _beside(channel, b"said:" + nonce)


def _beside(stream: bytes, what: bytes) -> bytes:
    _, opened, rest = stream.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    if (opened and closed and tag) or b"}" in stream:
        return stream + b":" + what
    return b"{%b}:%b" % (stream, what)
