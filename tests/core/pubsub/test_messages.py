from __future__ import annotations

import pickle

import pytest

from streamcore.pubsub import Message

MESSAGE = Message("pmessage", "user:1", "user:*", "hello")


def test_a_message_is_also_a_mapping_and_a_tuple() -> None:
    assert (MESSAGE["type"], MESSAGE["kind"]) == ("pmessage", "pmessage")
    assert (MESSAGE["channel"], MESSAGE["pattern"], MESSAGE["data"]) == ("user:1", "user:*", "hello")
    assert MESSAGE[0] == "pmessage"
    assert MESSAGE[1:3] == ("user:1", "user:*")
    kind, channel, pattern, data = MESSAGE
    assert (kind, channel, pattern, data) == ("pmessage", "user:1", "user:*", "hello")


def test_what_it_does_not_have() -> None:
    with pytest.raises(KeyError, match="a message has no 'payload'; it has type, kind, channel, pattern, data"):
        MESSAGE["payload"]
    with pytest.raises(IndexError):
        MESSAGE[MESSAGE.__len__()]


def test_in_asks_for_a_name_as_the_brackets_do() -> None:
    for name in ("type", "kind", "channel", "pattern", "data"):
        assert name in MESSAGE
    assert "pattern" in Message("message", b"news", None, b"data")
    values: list[object] = ["payload", *MESSAGE, b"data", 0, None, []]
    assert [value for value in values if value in MESSAGE] == []


def test_it_is_frozen_and_can_be_pickled() -> None:
    with pytest.raises(AttributeError):
        MESSAGE.data = "other"  # type: ignore[misc]  # that is the test
    assert pickle.loads(pickle.dumps(MESSAGE)) == MESSAGE
    assert repr(MESSAGE) == "Message(kind='pmessage', channel='user:1', pattern='user:*', data='hello')"
