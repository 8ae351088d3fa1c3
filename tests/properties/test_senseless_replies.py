"""Whatever a server answers, what comes out of us is an answer, or an error that says whose fault it is: the server's.

Nothing else leaves a parser, an engine, or what an engine hands over; nor does the driver, which brings the bytes, hear of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcore import commands as every_command
from streamcore.channels import BroadcastHub, Naming, Publisher, Settings, StreamHub
from streamcore.commands import Command, raw
from streamcore.consumer.consumer import Consumer
from streamcore.entries import Entry
from streamcore.errors import InvalidArgument, RemoteProtocolError, ReplyError, StreamcoreError
from streamcore.group.consumer import GroupConsumer
from streamcore.producer.durability import Replicas
from streamcore.producer.producer import Producer
from streamcore.pubsub import PubSub
from streamcore.requests import Multiplexer, Request
from streamcore.resp3 import make_decoder
from streamcore.testing.resp import resp
from tests.core.support import strategies as own
from tests.core.support.entropy import entropy
from tests.properties.liar import Liar, Lie

# What a part of an answer may be instead; much of it is nearly right.
ODD_VALUES: Final[list[Any]] = [
    *(None, 0, -1, 7, 1 << 62, 1.5, True, b"", b"x", b"1-1", b"9-9", b"1-", b"-", b"99999999999999999999-0", b"\xe9"),
    *([], [[]], [None], [b"1-1"], [b"1-1", None], [b"1-1", []], [[b"1-1", [b"f"]]], [[b"1-1", [b"f", b"v"]]], [[1, 2]]),
    *({}, {b"s": None}, {b"s": []}, {b"s": [[b"1-1", None]]}, {b"strange": [[b"1-1", [b"f", b"v"]]]}, {1: []}),
]
nearly = st.sampled_from(ODD_VALUES)
values = nearly | own.replies
paths = st.lists(st.integers(-3, 5), max_size=4).map(tuple)


def lies(*words: str) -> st.SearchStrategy[list[Lie]]:
    return st.lists(st.builds(Lie, st.sampled_from(words), st.integers(0, 3), paths, values), min_size=1, max_size=3)


def ours(call: Callable[[], Any]) -> Any:
    """The answer of a call that may fail, by the server's fault and by no other."""
    try:
        return call()
    except InvalidArgument as error:
        pytest.fail(f"the user is blamed: {error!r}")
    except StreamcoreError:
        return None


def look_at(entry: Entry[Any]) -> None:
    """All that an application does with an entry."""
    looks: list[Callable[[], Any]] = [
        lambda: entry.id,
        lambda: entry.raw_id,
        lambda: entry.fields,
        entry.pairs,
        lambda: entry["f"],
        lambda: "f" in entry,
        lambda: [*entry],
        lambda: hash(entry),
        lambda: entry == Entry(entry._batch, entry._raw),
        lambda: repr(entry),
    ]
    for look in looks:
        with suppress(KeyError, UnicodeDecodeError):  # it has no such field, or is no text, which is told so
            ours(look)


ENTERING = ("INFO", "HELLO", "EVAL", "XINFO STREAM", "XINFO GROUPS", "XINFO CONSUMERS", "XPENDING", "XREADGROUP")
WORKING = ("XCLAIM", "XACK", "XGROUP CREATE", "XGROUP CREATECONSUMER", "XRANGE", "CLIENT LIST", "TIME", "ZMSCORE")


@given(lies(*ENTERING, *WORKING), st.booleans(), st.sampled_from([None, "utf-8"]))
def test_a_member_of_a_group_ends_by_the_servers_fault_if_at_all(
    given: list[Lie], fenced: bool, decode: str | None
) -> None:
    options: dict[str, Any] = {
        "max_deliveries": 2,
        "claim_idle": 2.0,
        "audit_interval": 1.0,
        "remove_idle_consumers": 3.0,
        "block": 1.0,
    }
    member: Any = GroupConsumer(
        ["s", "t"], group="g", consumer="c", count=3, fenced=fenced, decode=decode, entropy=entropy, **options
    )
    liar = Liar(member, given)
    for at in range(6):
        liar.do("XADD", "s" if at % 2 else "t", f"{at + 1}-1", "f", "v")
    liar.do("XGROUP", "CREATE", "s", "g", "0")
    liar.do("XREADGROUP", "GROUP", "g", "other", "COUNT", "2", "STREAMS", "s", ">")
    liar.settle()
    for at in range(8):
        if at == 3:
            liar.do("XADD", "s", "50-1", "f", "v")
            liar.do("XGROUP", "DESTROY", "t", "g")
        batch = ours(member.take)
        liar.settle()
        if batch is not None:
            for number, entry in enumerate(batch):
                look_at(entry)
                ours([entry.ack, entry.nack, entry.dead_letter][(at + number) % 3])
            repr(batch)
            assert len(batch.ids) == len(batch)
        liar.advance(0.7)
        if member.closed:
            break
    if not member.closed:
        ours(member.leave)
        liar.advance(1.0)
    member.close()


READ = ("HELLO", "XREAD", "XRANGE", "XINFO STREAM")


@given(lies(*READ), st.sampled_from([None, "id"]), st.sampled_from(["0", "$", "+"]), st.booleans())
def test_a_consumer_ends_by_the_servers_fault_if_at_all(
    given: list[Lie], merge: Any, start: str, watches: bool
) -> None:
    consumer: Any = Consumer(
        {"s": start, "t": "0"}, count=2, merge=merge, detect_gaps=watches, block=1.0, on_rewind="restart"
    )
    liar = Liar(consumer, given)
    for at in range(6):
        liar.do("XADD", "s" if at % 2 else "t", f"{at + 1}-1", "f", "v")
    for at in range(8):
        liar.settle()
        if at == 2:
            ours(lambda: consumer.add_stream("u", "0"))
            ours(lambda: consumer.seek("t", "+"))
            liar.do("XADD", "u", "50-1", "f", "v")
            liar.do("XTRIM", "s", "MAXLEN", "1")
        batch = ours(consumer.take)
        for entry in batch or ():
            look_at(entry)
        ours(consumer.cursor)
        liar.advance(0.7)
    consumer.close()


HUB = ("HELLO", "XREAD", "XRANGE", "XREVRANGE", "XINFO STREAM", "PTTL", "MULTI", "EXEC")


@given(lies(*HUB, "EXEC", "EXEC"), st.sampled_from([None, "utf-8"]), st.sampled_from([None, "0-1"]))
def test_a_hub_ends_by_the_servers_fault_if_at_all(given: list[Lie], decode: str | None, after: str | None) -> None:
    hub = StreamHub(Settings(prefix="", queue_size=4), Naming("", decode))
    liar = Liar(hub, given)
    for at in range(6):
        liar.do("XADD", "s", f"{at + 1}-1", "data", "v", "nonce", "n")
    subscriber = hub.subscribers.first
    liar.settle()
    joining = ours(lambda: hub.join(subscriber, ["s", "t"], 0 if after else 3, after))
    for at in range(6):
        liar.settle()
        liar.do("XADD", "t", f"{at + 1}-1", "data", "v", "nonce", "n")
        if at == 3:
            liar.do("DEL", "s")
        if joining is not None:
            ours(joining.poll)
        for _ in range(3):
            try:
                items = ours(lambda: hub.take_for(subscriber, events=True))
            except UnicodeDecodeError:
                continue
            for item in items or ():
                repr(item)
                if hasattr(item, "data"):
                    ours(partial(getattr, item, "id"))
        liar.advance(0.7)
    hub.close()


PUSHED = ("HELLO", "PUSH", "SUBSCRIBE", "PING", "CLIENT TRACKING")


@given(st.lists(st.builds(Lie, st.sampled_from(PUSHED), st.integers(0, 5), paths, values), min_size=1, max_size=3))
def test_a_subscriber_loses_its_connection_at_most(given: list[Lie]) -> None:
    pubsub: Any = PubSub(["a"], ["p*"], channel_handlers={"h": print}, on_invalidate=print, decode="utf-8")
    liar = Liar(pubsub, given)
    for _ in range(5):
        liar.settle()
        for channel in ("a", "pat", "h"):
            liar.do("PUBLISH", channel, "hello")
        liar.do("SET", "k", "v")
        liar.settle()
        for _ in range(3):
            try:
                found = ours(pubsub.take)
            except UnicodeDecodeError:
                continue
            for message in found or ():
                repr(message)
        ours(pubsub.take_waiting_calls)
        liar.advance(0.7)
    pubsub.close()


@given(
    st.lists(st.builds(Lie, st.sampled_from(PUSHED[:-1]), st.integers(0, 5), paths, values), min_size=1, max_size=3),
    st.sampled_from([None, "utf-8"]),
)
def test_a_hub_of_pubsub_loses_its_connection_at_most(given: list[Lie], decode: str | None) -> None:
    hub = BroadcastHub(Settings(kind="pubsub", prefix=""), Naming("", decode))
    liar = Liar(hub, given)
    subscriber = hub.subscribers.first
    liar.settle()
    joining = ours(lambda: hub.join(subscriber, ["a", "b"]))
    for _ in range(5):
        liar.settle()
        for channel in ("a", "b"):
            liar.do("PUBLISH", channel, "hello")
        liar.settle()
        if joining is not None:
            ours(joining.poll)
        for _ in range(3):
            try:
                items = ours(lambda: hub.take_for(subscriber, events=True))
            except UnicodeDecodeError:
                continue
            for item in items or ():
                repr(item)
        liar.advance(0.7)
    hub.close()


SENT = ("HELLO", "XADD", "WAIT", "WAITAOF", "EVALSHA", "EVAL", "CONFIG", "XINFO STREAM")


@given(lies(*SENT), st.booleans(), st.booleans())
def test_a_producer_answers_each_entry(given: list[Lie], durable: bool, idempotent: bool) -> None:
    producer = Producer(
        "s",
        durability=Replicas(1, timeout=0.1) if durable else None,
        idempotent=idempotent,
        entropy=entropy,
        linger=0.01,
    )
    liar = Liar(producer, given)
    requests: list[Any] = []
    liar.settle()
    for at in range(4):
        request = ours(partial(producer.send, {"f": str(at)}, _nobody))
        if request is not None:
            requests.append(request)
        ours(lambda: producer.send_nowait(producer.entry({"f": "v"})))
        liar.advance(0.5)
    liar.advance(20.0)
    for request in requests:
        assert request.finished
        ours(request.answer)
    producer.close()
    while (event := producer.next_event()) is not None:
        repr(event)


# -- parsers ----------------------------------------------------------------------------------------------------------


ODD: Final[dict[str, dict[str, Any]]] = {
    "client_kill": {"id": 5},
    "client_setinfo": {"lib_name": "a"},
    "xcfgset": {"idmp_maxsize": 5},
    "xtrim": {"maxlen": 5},
}
GIVEN: Final[dict[str, Any]] = {
    **dict.fromkeys(("time", "when", "timeout", "increment", "decrement", "count", "stop", "min", "max", "limit"), 5),
    **dict.fromkeys(("numreplicas", "numlocal", "client_id", "database", "slot", "min_idle", "maxlen"), 5),
    **dict.fromkeys(("id", "start", "last_id", "start_id"), "1-1"),
    "command": raw("GET", "a"),
    "keys": ("a", "b"),
    "streams": {"s": "0"},
    "fields": {"f": "v"},
    "on": True,
    "mapping": {"a": 1},
    "parameters": {"a": 1},
    "scores": {"a": 1},
}
MODES: Final = {"xnack": "fail", "client_tracking": "on"}


def sample(name: str, build: Callable[..., Any]) -> Command[Any] | None:
    """A typed command with all arguments that it must have; None for what is no builder of one."""
    args: list[Any] = []
    options: dict[str, Any] = {}
    if "Command[" not in str(inspect.signature(build).return_annotation):
        return None
    for parameter in inspect.signature(build).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += ("1-1", "2-1") if parameter.name == "ids" else ("a", "b")
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            value = MODES.get(name, "on") if parameter.name == "mode" else GIVEN.get(parameter.name, "a")
            if parameter.kind is parameter.KEYWORD_ONLY:
                options[parameter.name] = value
            else:
                args.append(5 if parameter.name == "start" and name[0] != "x" else value)
    command: Command[Any] = build(*args, **options, **ODD.get(name, {}))
    return command


PUBLIC: Final = {name: getattr(every_command, name) for name in every_command.__all__}
BUILT: Final = {
    name: command
    for name, build in PUBLIC.items()
    if inspect.isfunction(build) and (command := sample(name, build)) is not None
}
HELD: Final = Publisher(Multiplexer(entropy=entropy), Settings(prefix="p"), Naming("p", "utf-8"))
BUILT["history of a channel"] = HELD.history("c")
BUILT["page of channels"] = HELD.scan(0)
BUILT["script"] = every_command.Script("return 1", lambda reply: reply[0][b"x"].decode()).eval(["k"])


def _nobody(_: object) -> None:
    """Nobody waits for it."""


def explored(answer: Any) -> None:
    """What an application looks at."""
    repr(answer)
    for part in answer if isinstance(answer, list) else ():
        repr(getattr(part, "id", None))


@pytest.mark.parametrize("command", BUILT.values(), ids=BUILT)
@settings(max_examples=60)
@given(replies=st.lists(values, min_size=2, max_size=2))
def test_a_parser_gives_an_answer_or_the_servers_fault_and_costs_no_other_answer(
    command: Command[Any], replies: list[Any]
) -> None:
    decoder = make_decoder("python")
    request = Request([command, raw("ECHO", "x"), command], lambda _: None, 1.0)
    first, last = (decoder.feed(resp(reply))[0] for reply in replies)
    request.replies = [first, b"x", last]
    before, between, after = request.answers()
    assert between == b"x"
    for answer in (before, after):
        if isinstance(answer, Exception):
            assert isinstance(answer, (RemoteProtocolError, ReplyError, UnicodeDecodeError))
        else:
            ours(partial(explored, answer))
