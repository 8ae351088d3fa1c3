"""One public face: the same names, parameters, defaults and types on every transport, each with a docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import transports.anyio
import transports.asyncio
import transports.blocking
import transports.trio

ASYNC = (transports.asyncio, transports.trio, transports.anyio)
BLOCKING = transports.blocking

# What the blocking face may call differently, and the parameter that only threads have.
RENAMED = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
ONLY_BLOCKING = {
    name: {"background"}
    for name in ("channels", "consumer", "group_consumer", "pubsub", "sharded_pubsub", "key_events")
}
SPOKEN = {
    "__aenter__",
    "__aexit__",
    "__aiter__",
    "__anext__",
    "__call__",
}  # the dunder methods that are part of the face


def classes(module: ModuleType) -> dict[str, type]:
    return {name: getattr(module, name) for name in module.__all__ if inspect.isclass(getattr(module, name))}


def is_public(name: str) -> bool:
    return not name.startswith("_") or name in SPOKEN or name in RENAMED.values()


def members(cls: type) -> dict[str, Any]:
    found = {name: inspect.getattr_static(cls, name) for name in dir(cls) if is_public(name)}
    return {name: member for name, member in found.items() if getattr(object, name, None) is not member}


METHODS = [
    (name, member)
    for name, cls in classes(transports.asyncio).items()
    for member, what in members(cls).items()
    if callable(what)
]


def as_words(annotation: Any) -> str:
    """A type in words that are the same for both faces."""
    words = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    words = re.sub(r"(transports\._facade\.\w+\.\w+|collections\.abc|typing|streamcore\.\w+)\.", "", words)
    words = re.sub(r"\bAsyncIterator\b", "Iterator", words)
    words = re.sub(r"(Iterable\[\w+\]) \| Async\1", r"\1", words)  # async runtimes take both
    return re.sub(r"\bAwaitable\[((?:[^][]|\[[^][]*\])*)\]", r"\1", words)


def parameters(function: Callable[..., Any], without: set[str] = frozenset()) -> list[tuple[str, Any, Any, str]]:  # type: ignore[assignment]
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default, as_words(p.annotation)) for p in found if p.name not in without]


def test_all_modules_have_the_same_names() -> None:
    for module in (*ASYNC, BLOCKING):
        assert sorted(module.__all__) == [
            "ChannelSubscriber",
            "Channels",
            "Client",
            "Consumer",
            "GroupConsumer",
            "KeyEvents",
            "NodeClient",
            "PendingSend",
            "Producer",
            "PubSub",
            "Script",
            "ShardedPubSub",
            "Transaction",
            "connect",
        ]
        assert (module.__doc__ or "").strip()


def test_the_async_transports_share_their_classes() -> None:
    for module in ASYNC:
        assert classes(module) == classes(transports.asyncio)


@pytest.mark.parametrize("module", [*ASYNC, BLOCKING], ids=lambda module: module.__name__)
def test_connect(module: ModuleType) -> None:
    assert parameters(module.connect) == parameters(transports.asyncio.connect)
    options = inspect.signature(module.connect).parameters["options"].annotation
    assert options == inspect.signature(transports.asyncio.connect).parameters["options"].annotation


@pytest.mark.parametrize("name", classes(transports.asyncio))
def test_the_same_methods(name: str) -> None:
    one, other = getattr(transports.asyncio, name), getattr(BLOCKING, name)
    assert {RENAMED.get(member, member) for member in members(one)} == set(members(other))


@pytest.mark.parametrize(("cls", "method"), METHODS)
def test_the_same_parameters(cls: str, method: str) -> None:
    one = getattr(getattr(transports.asyncio, cls), method)
    other = getattr(getattr(BLOCKING, cls), RENAMED.get(method, method))
    extra = ONLY_BLOCKING.get(method, set())
    assert parameters(one) == parameters(other, without=extra)
    assert extra <= {parameter for parameter, *_ in parameters(other)}


@pytest.mark.parametrize(("cls", "method"), METHODS)
def test_the_same_answers(cls: str, method: str) -> None:
    one = inspect.signature(getattr(getattr(transports.asyncio, cls), method)).return_annotation
    other = inspect.signature(getattr(getattr(BLOCKING, cls), RENAMED.get(method, method))).return_annotation
    assert as_words(one) == as_words(other)


@pytest.mark.parametrize("module", [transports.asyncio, BLOCKING], ids=lambda module: module.__name__)
def test_everything_public_says_what_it_does(module: ModuleType) -> None:
    missing = [name for name in module.__all__ if not (getattr(module, name).__doc__ or "").strip()]
    for name, cls in classes(module).items():
        spoken = [member for member in members(cls) if not member.startswith("__")]
        missing += [f"{name}.{member}" for member in spoken if not (getattr(cls, member).__doc__ or "").strip()]
    assert not missing


def test_whatever_may_wait_is_awaited() -> None:
    plain = {"batches", "channels", "consumer", "cursor", "group_consumer", "producer", "__aiter__"}  # these never wait
    plain |= {
        "drain",
        "with_events",
        "key",
        "key_events",
        "subscriber",
        "pubsub",
        "sharded_pubsub",
        "streams",
        "pause",
        "nodes",
        "on",
        "queue",
        "remove_stream",
        "resume",
        "scan_keys",
        "script",
        "transaction",
    }  # the last is awaited, or entered
    for cls, method in METHODS:
        function = getattr(getattr(transports.asyncio, cls), method)
        is_command = hasattr(function, "__signature__")
        assert (inspect.iscoroutinefunction(function) or is_command) is (method not in plain), f"{cls}.{method}"
