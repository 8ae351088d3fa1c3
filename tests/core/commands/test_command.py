from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from streamcore.commands import Command, get, ping, raw, xlen
from streamcore.commands.command import FORBIDDEN
from streamcore.errors import InvalidArgument


class Word(StrEnum):
    MULTI = "MULTI"


class TestCommand:
    def test_knows_its_name_and_never_shows_its_arguments(self) -> None:
        command = Command[Any](("SET", b"key", b"secret"))
        assert command.name == "SET"
        assert repr(command) == "<Command SET with 2 arguments>"

    def test_text_decodes_the_answer_and_changes_nothing_else(self) -> None:
        command = get("k").text()
        assert (command.args, command.repeatable) == (("GET", b"k"), True)
        assert command.parse is not None
        assert command.parse(b"gr\xc3\xb6\xc3\x9fe") == "größe"
        assert command.parse(None) is None
        latin = ping().text("latin-1")
        assert latin.parse is not None
        assert latin.parse(b"\xe9") == "é"

    def test_text_comes_after_the_commands_own_parser(self) -> None:
        first: Command[bytes] = Command(("LRANGE", "k", 0, 0), lambda reply: reply[0])
        text = first.text()
        assert not text.repeatable
        assert text.parse is not None
        assert text.parse([b"a", b"b"]) == "a"


class TestRaw:
    def test_runs_any_other_command_as_it_is(self) -> None:
        command = raw("object", b"encoding", "k")
        assert (command.args, command.parse, command.repeatable) == (("OBJECT", b"encoding", "k"), None, False)

    def test_needs_a_name(self) -> None:
        with pytest.raises(InvalidArgument, match="needs at least its name"):
            raw()

    @pytest.mark.parametrize("word", sorted(FORBIDDEN))
    def test_refuses_what_would_change_a_shared_connection(self, word: str) -> None:
        with pytest.raises(InvalidArgument, match=f"{word} cannot run on a shared connection: "):
            raw(word)

    @pytest.mark.parametrize(
        "spelling", ["multi", "Multi", b"MULTI", bytearray(b"mUlTi"), memoryview(b"multi"), Word.MULTI]
    )
    def test_however_it_is_spelt(self, spelling: Any) -> None:
        with pytest.raises(InvalidArgument, match="MULTI cannot run"):
            raw(spelling)

    @pytest.mark.parametrize(
        "args", [("CLIENT", "REPLY", "OFF"), ("client", b"tracking", "ON"), (b"Client", "caching")]
    )
    def test_refuses_a_few_of_clients_words(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(
            InvalidArgument, match="CLIENT cannot run on a shared connection: it changes the connection"
        ):
            raw(*args)

    @pytest.mark.parametrize("args", [("CLIENT",), ("CLIENT", "ID"), ("CLIENT", "KILL", "ID", 5)])
    def test_lets_clients_other_words_through(self, args: tuple[Any, ...]) -> None:
        assert raw(*args).args == args

    @pytest.mark.parametrize(
        "args",
        [
            ("XREAD", "BLOCK", 0, "STREAMS", "s", "$"),
            ("xread", "COUNT", 5, "Block", 100, "STREAMS", "s", "$"),
            ("XREADGROUP", "GROUP", "g", "c", b"block", 100, "STREAMS", "s", ">"),
            ("XREADGROUP", "BLOCK", 0, "GROUP", "g", "c", "STREAMS", "s", ">"),
            ("XREADGROUP", "COUNT", "GROUP", "BLOCK", 0, "STREAMS", "s", ">"),
            ("BLPOP", "list", 0),
            ("wait", 1, 0),
        ],
    )
    def test_refuses_what_would_block_everybody(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(InvalidArgument, match="it would block all tasks' commands"):
            raw(*args)

    @pytest.mark.parametrize(
        "args",
        [
            ("XREAD", "COUNT", 5, "STREAMS", "block", "0"),
            ("XREAD", "STREAMS", "a", "BLOCK", "0", "0"),
            ("XREADGROUP", "GROUP", "block", "block", "NOACK", "STREAMS", "s", ">"),
        ],
    )
    def test_a_stream_or_a_group_may_be_called_block(self, args: tuple[Any, ...]) -> None:
        assert raw(*args).args == args

    @pytest.mark.parametrize("args", [(None,), ("SET", "k", ["v"]), ("SET", "k", 1 << 70), ("SET", True)])
    def test_refuses_arguments_that_cannot_be_sent(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(InvalidArgument, match="cannot be sent"):
            raw(*args)


def test_commands_can_be_sent_again_where_that_does_no_harm() -> None:
    assert xlen("s").repeatable
    assert not raw("INCR", "n").repeatable
