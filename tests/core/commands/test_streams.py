from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from streamcore import commands
from streamcore.commands import Command, EntryFields, Removal, StreamEntry, xadd, xread, xtrim
from streamcore.commands.command import LinkUse
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument

FIELDS = {"f": "v"}
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class Pair(NamedTuple):
    field: str
    value: str


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (xadd("s", FIELDS), ("XADD", b"s", "*", "f", "v")),
        (xadd(b"s", [("f", 1), ("f", 2.5)]), ("XADD", b"s", "*", "f", 1, "f", 2.5)),
        (xadd("s", iter([(b"f", b"v")])), ("XADD", b"s", "*", b"f", b"v")),
        (xadd("s", [Pair("f", "v")]), ("XADD", b"s", "*", "f", "v")),
        (xadd("s", FIELDS, id="5"), ("XADD", b"s", "5-0", "f", "v")),
        (xadd("s", FIELDS, id="5-*"), ("XADD", b"s", "5-*", "f", "v")),
        (xadd("s", FIELDS, id=b"5-*"), ("XADD", b"s", "5-*", "f", "v")),
        (xadd("s", FIELDS, id=b"*"), ("XADD", b"s", "*", "f", "v")),
        (xadd("s", FIELDS, id=b"5-2"), ("XADD", b"s", "5-2", "f", "v")),
        (xadd("s", FIELDS, id=StreamId(5, 1)), ("XADD", b"s", "5-1", "f", "v")),
        (xadd("s", FIELDS, nomkstream=True), ("XADD", b"s", "NOMKSTREAM", "*", "f", "v")),
        (xadd("s", FIELDS, maxlen=10), ("XADD", b"s", "MAXLEN", "~", 10, "*", "f", "v")),
        (xadd("s", FIELDS, maxlen=0, approximate=False), ("XADD", b"s", "MAXLEN", "=", 0, "*", "f", "v")),
        (xadd("s", FIELDS, minid="7"), ("XADD", b"s", "MINID", "~", "7-0", "*", "f", "v")),
        (xadd("s", FIELDS, minid=NEW_YEAR), ("XADD", b"s", "MINID", "~", "1767225600000-0", "*", "f", "v")),
        (xadd("s", FIELDS, maxlen=9, limit=0), ("XADD", b"s", "MAXLEN", "~", 9, "LIMIT", 0, "*", "f", "v")),
        (xadd("s", FIELDS, refs="acked", maxlen=9), ("XADD", b"s", "ACKED", "MAXLEN", "~", 9, "*", "f", "v")),
        (xadd("s", FIELDS, idmp=("p", b"1")), ("XADD", b"s", "IDMP", b"p", b"1", "*", "f", "v")),
        (xadd("s", FIELDS, idmpauto="p"), ("XADD", b"s", "IDMPAUTO", b"p", "*", "f", "v")),
        (
            xadd("s", FIELDS, nomkstream=True, refs="keep", idmp=("p", "1"), minid=5, limit=7),
            ("XADD", b"s", "NOMKSTREAM", "KEEPREF", "IDMP", b"p", b"1", "MINID", "~", "5-0", "LIMIT", 7, "*", "f", "v"),
        ),
        (commands.xlen("s"), ("XLEN", b"s")),
        (commands.xlen(bytearray(b"s")), ("XLEN", b"s")),
        (commands.xdel("s", "1", StreamId(2, 3), b"4-1"), ("XDEL", b"s", "1-0", "2-3", "4-1")),
        (commands.xdelex("s", "1"), ("XDELEX", b"s", "IDS", 1, "1-0")),
        (commands.xdelex("s", "1", "2-2", refs="delete"), ("XDELEX", b"s", "DELREF", "IDS", 2, "1-0", "2-2")),
        (xtrim("s", maxlen=5), ("XTRIM", b"s", "MAXLEN", "~", 5)),
        (xtrim("s", minid=StreamId(5), approximate=False), ("XTRIM", b"s", "MINID", "=", "5-0")),
        (xtrim("s", minid=5, limit=10), ("XTRIM", b"s", "MINID", "~", "5-0", "LIMIT", 10)),
        (xtrim("s", maxlen=5, refs="acked"), ("XTRIM", b"s", "MAXLEN", "~", 5, "ACKED")),
        (commands.xrange("s"), ("XRANGE", b"s", "-", "+")),
        (commands.xrange("s", "(5", StreamId(6, 1), count=2), ("XRANGE", b"s", "(5-0", "6-1", "COUNT", 2)),
        (commands.xrange("s", 5, NEW_YEAR), ("XRANGE", b"s", "5", "1767225600000")),
        (commands.xrevrange("s"), ("XREVRANGE", b"s", "+", "-")),
        (commands.xrevrange("s", "9", b"(5-1", count=1), ("XREVRANGE", b"s", "9", "(5-1", "COUNT", 1)),
        (xread({"s": "0"}), ("XREAD", "STREAMS", b"s", "0-0")),
        (
            xread({"a": "$", "b": StreamId(5, 1)}, count=3, block=1.5),
            ("XREAD", "COUNT", 3, "BLOCK", 1500, "STREAMS", b"a", b"b", "$", "5-1"),
        ),
        (xread({b"s": 5}, block=timedelta(seconds=2)), ("XREAD", "BLOCK", 2000, "STREAMS", b"s", f"4-{(1 << 64) - 1}")),
        (xread({"s": b"+"}), ("XREAD", "STREAMS", b"s", "+")),
        (commands.xsetid("s", "5"), ("XSETID", b"s", "5-0")),
        (
            commands.xsetid("s", b"5-1", entries_added=7, max_deleted_id=StreamId(4)),
            ("XSETID", b"s", "5-1", "ENTRIESADDED", 7, "MAXDELETEDID", "4-0"),
        ),
        (commands.xcfgset("s", idmp_duration=60), ("XCFGSET", b"s", "IDMP-DURATION", 60)),
        (
            commands.xcfgset("s", idmp_duration=timedelta(minutes=1), idmp_maxsize=9),
            ("XCFGSET", b"s", "IDMP-DURATION", 60, "IDMP-MAXSIZE", 9),
        ),
        (commands.xcfgset("s", idmp_maxsize=9), ("XCFGSET", b"s", "IDMP-MAXSIZE", 9)),
    ],
)
def test_what_is_sent(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert command.args == sent


@pytest.mark.parametrize(
    "command",
    [
        commands.xlen("s"),
        commands.xrange("s"),
        commands.xrevrange("s"),
        xread({"s": "0"}),
        xread({"s": "+"}, block=1),
        commands.xsetid("s", "5"),
        commands.xcfgset("s", idmp_maxsize=5),
    ],
)
def test_what_asks_or_sets_a_value_may_be_repeated(command: Command[Any]) -> None:
    assert command.repeatable


@pytest.mark.parametrize(
    "command",
    [
        xadd("s", FIELDS),
        xadd("s", FIELDS, id="5"),
        xadd("s", FIELDS, idmp=("p", "1")),  # the server remembers a hundred of them, and more may be in flight
        commands.xdel("s", "1"),
        commands.xdelex("s", "1"),
        xtrim("s", maxlen=1),
        xread({"a": "0", "b": "$"}, block=1),  # what comes between would be skipped
    ],
)
def test_what_would_answer_something_else_may_not(command: Command[Any]) -> None:
    assert not command.repeatable


@pytest.mark.parametrize("options", [{}, {"count": 5}, {"count": 5, "block": 1}])
def test_a_read_knows_its_keys_whatever_stands_before_them(options: Any) -> None:
    assert xread({"a": "0", "b": "0"}, **options).keys == (b"a", b"b")


def test_a_read_that_blocks_gets_a_link_of_its_own() -> None:
    traits = xread({"s": "$"}, block=timedelta(milliseconds=500)).traits
    assert (traits.use, traits.block) == (LinkUse.DEDICATED, 0.5)
    traits = xread({"s": "$"}).traits
    assert (traits.use, traits.block) == (LinkUse.SHARED, 0)


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (xadd("s", FIELDS, maxlen=5), ""),
        (xadd("s", FIELDS, refs="keep"), "Redis 8.2; Valkey does not have it"),
        (xadd("s", FIELDS, refs="keep", idmpauto="p"), "Redis 8.6; Valkey does not have it"),
        (xadd("s", FIELDS, idmp=("p", "1")), "Redis 8.6; Valkey does not have it"),
        (xtrim("s", maxlen=5), ""),
        (xtrim("s", maxlen=5, refs="keep"), "Redis 8.2; Valkey does not have it"),
        (commands.xdelex("s", "1"), "Redis 8.2; Valkey does not have it"),
        (commands.xcfgset("s", idmp_maxsize=5), "Redis 8.6; Valkey does not have it"),
        (xread({"s": "$"}), ""),
        (xread({"s": "+", "t": "0"}), "Redis 7.4 or Valkey 8.0"),
    ],
)
def test_what_newer_servers_know_tells_which(command: Command[Any], needs: str) -> None:
    assert command.traits.needs == needs


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (xadd("s", FIELDS), b"5-1", StreamId(5, 1)),
        (xadd("s", FIELDS, nomkstream=True), None, None),
        (commands.xrange("s"), [], []),
        (
            commands.xrange("s"),
            [[b"1-0", [b"a", b"1", b"b", b"2"]], [b"2-0", [b"a", b"3"]]],
            [(StreamId(1), {b"a": b"1", b"b": b"2"}), (StreamId(2), {b"a": b"3"})],
        ),
        (
            xread({"s": "0"}),
            {b"s": [[b"1-0", [b"a", b"1"]]]},
            {b"s": [StreamEntry(StreamId(1), EntryFields([b"a", b"1"]))]},
        ),
        (xread({"s": "0"}), None, {}),
        (commands.xdelex("s", "1", "2", "3"), [1, 2, -1], [Removal.DELETED, Removal.KEPT, Removal.UNKNOWN]),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


def bad(**options: Any) -> Callable[[], object]:
    return lambda: xadd("s", **{"fields": FIELDS, **options})


PAIRS = "fields must be a mapping or pairs of a field and its value, not"


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: xadd("", FIELDS), "stream is empty"),
        (bad(fields={}), "an entry needs at least one field"),
        (bad(fields=[]), "an entry needs at least one field"),
        (bad(fields="ab"), f"{PAIRS} str"),
        (bad(fields=["ab", "cd"]), f"{PAIRS} list"),
        (bad(fields=[b"ab"]), f"{PAIRS} list"),
        (bad(fields=[{"a": 1, "b": 2}]), f"{PAIRS} list"),
        (bad(fields=[("a", "b", "c")]), f"{PAIRS} list"),
        (bad(fields=[("a", "b"), ("c",)]), f"{PAIRS} list"),
        (bad(fields=5), f"{PAIRS} int"),
        (bad(fields=None), f"{PAIRS} NoneType"),
        (
            bad(fields={"id": "42", "total": None}),
            "^the value of field 'total': a value of type NoneType cannot be sent",
        ),
        (bad(fields={"on": True}), "^the value of field 'on': a value of type bool cannot be sent"),
        (bad(fields=[(b"a", [1])]), "^the value of field b'a': a value of type list cannot be sent"),
        (bad(fields={"n": 1 << 70}), "^the value of field 'n': an integer of more than 64 bits"),
        (bad(fields={"t": "\ud800"}), "^the value of field 't': text cannot be sent as UTF-8"),
        (bad(fields={"a": 1, None: 2}), "^the name of field 2: a value of type NoneType cannot be sent"),
        (bad(fields={None: 2}), "^the name of field 1: a value of type NoneType cannot be sent"),
        (bad(id=b"\xff"), "id: .* is not a stream id"),
        (bad(id="x"), "id: 'x' is not a stream id"),
        (bad(id="x-*"), "id: 'x' is not a stream id"),
        (bad(id=""), "id: '' is not a stream id"),
        (bad(id="1-2-3"), "id: '1-2-3' is not a stream id"),
        (bad(id=5), "id: 5 is not a stream id"),
        (bad(maxlen=5, minid="1"), "give maxlen or minid, not both"),
        (bad(maxlen=-1), "maxlen must be at least 0, not -1"),
        (bad(maxlen=True), "maxlen must be a whole number"),
        (bad(maxlen=1.5), "maxlen must be a whole number"),
        (bad(minid=""), "minid: '' is not a stream id"),
        (bad(minid=NEW_YEAR.replace(tzinfo=None)), "minid is a datetime without a timezone"),
        (bad(limit=5), "limit needs maxlen or minid"),
        (bad(maxlen=5, limit=-1), "limit must be at least 0"),
        (bad(maxlen=5, limit=5, approximate=False), "limit needs approximate=True"),
        (bad(refs="drop"), "refs must be 'keep' or 'delete' or 'acked', not 'drop'"),
        (bad(refs=["keep"]), "refs must be 'keep' or"),
        (bad(refs=b"keep"), "refs must be 'keep' or"),
        (bad(idmp=("p", "1"), idmpauto="p"), "give idmp or idmpauto, not both"),
        (bad(idmp=("p", "1"), id="5"), r"idmp and idmpauto need id='\*'"),
        (bad(idmpauto="p", id=b"5-*"), r"idmp and idmpauto need id='\*'"),
        (bad(idmp="ab"), "idmp must be a tuple of the producer's name and the message's id"),
        (bad(idmp=("p", "")), "the id of idmp is empty"),
        (bad(idmp=("", "1")), "the producer of idmp is empty"),
        (bad(idmpauto=""), "idmpauto is empty"),
        (lambda: commands.xdel("s"), "xdel needs at least one id"),
        (lambda: commands.xdelex("s"), "xdelex needs at least one id"),
        (lambda: xtrim("s"), "xtrim needs maxlen or minid"),
        (lambda: xtrim("s", limit=5), "limit needs maxlen or minid"),
        (lambda: xtrim("s", maxlen=5, refs="no"), "refs must be"),  # type: ignore[arg-type]  # the mistake
        (lambda: commands.xrange("s", count=0), "count must be at least 1"),
        (lambda: commands.xrange("s", "((1"), r"start: '\(1' is not a stream id"),
        (lambda: commands.xrange("s", "-", "last"), "end: 'last' is not a stream id"),
        (lambda: commands.xrevrange("s", "+", "last"), "start: 'last' is not a stream id"),
        (lambda: commands.xrevrange("s", "last"), "end: 'last' is not a stream id"),
        (lambda: xread({}), "no stream was given"),
        (lambda: xread("s"), "streams must be a mapping of names to the positions"),  # type: ignore[arg-type]  # mistake
        (lambda: xread({"é": "0", "é".encode(): "0"}), "stream 'é' is named twice"),
        (lambda: xread({"s": ">"}), "streams: '>' is not a stream id"),
        (lambda: xread({"s": "0"}, count=-1), "count must be at least 1"),
        (lambda: xread({"s": "0"}, block=0), "block must be more than 0 seconds"),
        (lambda: commands.xsetid("s", "$"), r"id: '\$' is not a stream id"),
        (lambda: commands.xsetid("s", "1", entries_added=-1), "entries_added must be at least 0"),
        (lambda: commands.xsetid("s", "1", max_deleted_id="x"), "max_deleted_id: 'x' is not a stream id"),
        (lambda: commands.xcfgset("s", idmp_duration=-1), "idmp_duration must be more than 0 seconds"),
        (lambda: commands.xcfgset("s"), "xcfgset needs idmp_duration or idmp_maxsize"),
        (lambda: commands.xcfgset("s", idmp_duration=1.5), "idmp_duration must be whole seconds, not 1.5"),
        (lambda: commands.xcfgset("s", idmp_maxsize=0), "idmp_maxsize must be at least 1"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda stream: xadd(stream, FIELDS),
        commands.xlen,
        lambda stream: commands.xdel(stream, "1"),
        lambda stream: commands.xdelex(stream, "1"),
        lambda stream: xtrim(stream, maxlen=1),
        lambda stream: xtrim(stream, maxlen=1, refs="keep"),
        commands.xrange,
        commands.xrevrange,
        lambda stream: xread({stream: "0"}),
        lambda stream: commands.xsetid(stream, "1"),
        lambda stream: commands.xcfgset(stream, idmp_maxsize=1),
        commands.xinfo_stream,
        commands.xinfo_stream_full,
        commands.xinfo_groups,
        lambda stream: commands.xinfo_consumers(stream, "g"),
    ],
)
def test_a_stream_has_a_name(build: Callable[[Any], object]) -> None:
    for stream in ("", b"", None, 5):
        with pytest.raises(InvalidArgument, match=r"^stream (is empty|must be str or bytes)"):
            build(stream)


def test_a_value_that_is_refused_is_not_shown() -> None:
    with pytest.raises(InvalidArgument) as caught:
        xadd("s", {"password": ["sesame"]})
    assert "password" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_bound_that_cannot_be_sent_is_refused_by_name() -> None:
    for build in (lambda: xtrim("s", maxlen=10**30), lambda: xadd("s", {"f": "v"}, maxlen=10**30)):
        with pytest.raises(InvalidArgument):
            build()
