from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from streamcore.commands import Command, get, ping, raw, xlen
from streamcore.commands.command import LinkUse, Traits
from streamcore.commands.traits import FORBIDDEN
from streamcore.errors import InvalidArgument


class Word(StrEnum):
    MULTI = "MULTI"


class TestCommand:
    def test_knows_its_name_and_never_shows_its_arguments(self) -> None:
        command = Command[Any](("SET", b"key", b"secret"))
        assert command.name == "SET"
        assert repr(command) == "<Command SET with 2 arguments>"
        assert Command[Any](("XINFO", "GROUPS", "s"), traits=Traits(slice(2, 3))).name == "XINFO GROUPS"

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

    @pytest.mark.parametrize("name", sorted(FORBIDDEN))
    def test_refuses_what_would_change_a_shared_connection(self, name: str) -> None:
        with pytest.raises(InvalidArgument, match=f"{name} cannot run on a shared connection: "):
            raw(*name.split())

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
        with pytest.raises(InvalidArgument, match=r"CLIENT \w+ cannot run on a shared connection: it would change"):
            raw(*args)

    @pytest.mark.parametrize("args", [("CLIENT",), ("CLIENT", "ID"), ("CLIENT", "KILL", "ID", 5)])
    def test_lets_clients_other_words_through(self, args: tuple[Any, ...]) -> None:
        assert raw(*args).args == args

    @pytest.mark.parametrize(
        ("args", "block"),
        [
            (("xread", "COUNT", 5, "Block", 100, "STREAMS", "s", "$"), 0.1),
            (("XREADGROUP", "GROUP", "g", "c", b"block", 100, "STREAMS", "s", ">"), 0.1),
            (("XREADGROUP", "COUNT", "GROUP", "BLOCK", 2000, "STREAMS", "s", ">"), 2.0),
            (("BLPOP", "a", "b", 1.5), 1.5),
            (("blmpop", b"2", 1, "list", "LEFT"), 2.0),
            (("wait", 1, 50), 0.05),
            (("WAITAOF", 1, 0, 50), 0.05),
        ],
    )
    def test_what_blocks_gets_a_link_of_its_own(self, args: tuple[Any, ...], block: float) -> None:
        traits = raw(*args).traits
        assert traits.use is LinkUse.DEDICATED
        assert traits.block == pytest.approx(block)

    @pytest.mark.parametrize(
        "args",
        [
            ("XREAD", "BLOCK", 0, "STREAMS", "s", "$"),
            ("XREADGROUP", "BLOCK", 0, "GROUP", "g", "c", "STREAMS", "s", ">"),
            ("XREAD", "COUNT", 1, "BLOCK"),
            ("BLPOP", "list", 0),
            ("BLPOP", "list", "nan"),
            ("BLPOP", "list", -1),
            ("BLPOP",),
            ("wait", 1),
        ],
    )
    def test_refuses_what_would_block_for_ever(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(InvalidArgument, match="would block for ever, or its timeout is missing"):
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
        command = raw(*args)
        assert command.args == args
        assert command.traits.use is LinkUse.SHARED

    @pytest.mark.parametrize(
        ("args", "keys"),
        [
            (("GETEX", "k", "EX", 1), (b"k",)),
            (("PING",), ()),
            (("mget", "a", b"b", bytearray(b"c"), 4), (b"a", b"b", b"c", b"4")),
            (("MSET", "a", 1, "b", 2), (b"a", b"b")),
            (("RENAME", "a", "b"), (b"a", b"b")),
            (("OBJECT", "FREQ", "k"), (b"k",)),
            (("BLPOP", "a", "b", 1), (b"a", b"b")),
            (("EVAL", "return 1", 2, "a", "b", "argument"), (b"a", b"b")),
            (("EVAL", "return 1", "x"), ()),
            (("EVAL", "return 1"), ()),
            (("ZUNION", b"1", "a", "WITHSCORES"), (b"a",)),
            (("XREAD", "COUNT", 5, "STREAMS", "a", "b", "0", "1-1"), (b"a", b"b")),
            (("XREADGROUP", "GROUP", "g", "c", "CLAIM", 5, "BLOCK", 5, "STREAMS", "a", ">"), (b"a",)),
        ],
    )
    def test_knows_where_the_keys_stand(self, args: tuple[Any, ...], keys: tuple[bytes, ...]) -> None:
        assert raw(*args).keys == keys

    def test_is_repeated_only_where_the_caller_says_so(self) -> None:
        assert not raw("GETRANGE", "k", 0, 5).repeatable
        assert Command.raw("GETRANGE", "k", 0, 5, repeatable=True).repeatable

    @pytest.mark.parametrize("args", [(None,), ("SET", "k", ["v"]), ("SET", "k", 1 << 70), ("SET", True)])
    def test_refuses_arguments_that_cannot_be_sent(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(InvalidArgument, match="cannot be sent"):
            raw(*args)

    def test_the_place_of_a_bad_argument_is_named_and_its_value_is_not(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^argument 2 of SET: a value of type list cannot be sent") as raised:
            raw("SET", "k", ["sesame"])  # type: ignore[arg-type]
        assert "sesame" not in str(raised.value)
        with pytest.raises(InvalidArgument, match=r"^the command's name: a value of type NoneType cannot be sent"):
            raw(None)  # type: ignore[arg-type]


def test_a_command_without_arguments_is_none() -> None:
    with pytest.raises(InvalidArgument, match=r"^a command needs at least its name"):
        Command[Any](())


def test_commands_can_be_sent_again_where_that_does_no_harm() -> None:
    assert xlen("s").repeatable
    assert not raw("INCR", "n").repeatable
