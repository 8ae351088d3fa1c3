from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import ReplyError
from streamcore.resp3 import Pairs, Verbatim
from streamcore.testing.resp import (
    Attributed,
    Blob,
    CommandReader,
    PushOf,
    SetOf,
    Simple,
    Streamed,
    commands_in,
    entry,
    resp,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, b"_\r\n"),
        (True, b"#t\r\n"),
        (-7, b":-7\r\n"),
        (1 << 63, b"(9223372036854775808\r\n"),
        (0.5, b",0.5\r\n"),
        ("a", b"$1\r\na\r\n"),
        (Simple("OK"), b"+OK\r\n"),
        (ReplyError("ERR", "no"), b"-ERR no\r\n"),
        (Blob(ReplyError("ERR", "a\nb")), b"!7\r\nERR a\nb\r\n"),
        (Verbatim(b"a", "txt"), b"=5\r\ntxt:a\r\n"),
        (["a", (1,)], b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n"),
        ({"a": 1}, b"%1\r\n$1\r\na\r\n:1\r\n"),
        (Pairs([("a", 1), ("a", 2)]), b"%2\r\n$1\r\na\r\n:1\r\n$1\r\na\r\n:2\r\n"),
        (SetOf([1]), b"~1\r\n:1\r\n"),
        (PushOf([1]), b">1\r\n:1\r\n"),
        (Attributed({"a": 1}, 2), b"|1\r\n$1\r\na\r\n:1\r\n:2\r\n"),
        (Streamed(b"abcd"), b"$?\r\n;3\r\nabc\r\n;1\r\nd\r\n;0\r\n\r\n"),
        (Streamed([1]), b"*?\r\n:1\r\n.\r\n"),
        (entry("1-0", f="v"), b"*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
    ],
)
def test_a_value_is_written_as_its_reply(value: Any, written: bytes) -> None:
    assert resp(value) == written


def test_what_is_no_reply_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        resp(object())


def test_commands_are_read_in_any_pieces() -> None:
    reader = CommandReader()
    data = resp(["GET", "a"]) + resp(["SET", "a", "\r\n"])
    assert [command for at in range(len(data)) for command in reader.feed(data[at : at + 1])] == commands_in(data)
    assert commands_in(data) == [[b"GET", b"a"], [b"SET", b"a", b"\r\n"]]


@pytest.mark.parametrize("data", [b"*1\r\n:1\r\n", b"*-1x\r\n", b"*1\r\n$x\r\n"])
def test_what_no_client_sends_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="Protocol error"):
        commands_in(data)
