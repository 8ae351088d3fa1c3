"""What holds for all builders, of whatever family: each is called once, with the arguments that it must have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest

from streamcore import commands
from streamcore.commands import (
    Command,
    clients,
    cluster,
    get,
    hashes,
    keys,
    lists,
    login,
    pubsub,
    raw,
    scripting,
    server,
    sets,
    sorted_sets,
    strings,
    transactions,
)
from streamcore.commands.command import LinkUse
from streamcore.commands.traits import FORBIDDEN

FAMILIES: Final = (
    clients, cluster, hashes, keys, lists, login, pubsub, scripting, server, sets, sorted_sets, strings, transactions
)  # fmt: skip

# What is given for a required argument of each name.
GIVEN: Final[dict[str, Any]] = {
    **dict.fromkeys(("key", "newkey", "field", "member", "value", "message", "channel", "shardchannel"), "a"),
    **dict.fromkeys(("script", "sha", "function", "code", "libraryname", "payload"), "a"),
    **dict.fromkeys(("password", "connection_name"), "a"),
    **dict.fromkeys(("time", "when", "timeout", "increment", "decrement", "count", "start", "stop", "min", "max"), 5),
    **dict.fromkeys(("numreplicas", "numlocal", "client_id", "database", "slot"), 5),
    "command": get("a"),
    "keys": ("a", "b"),
    "mapping": {"a": 1, "b": 2},
    "mode": "on",
    "on": True,
    "parameters": {"a": 1},
    "scores": {"a": 1},
}
OPTIONS: Final[dict[str, dict[str, Any]]] = {"client_kill": {"id": 5}, "client_setinfo": {"lib_name": "a"}}


def builders() -> dict[str, Callable[..., Command[Any]]]:
    """The functions of the families that make a command."""
    return {
        name: function
        for family in FAMILIES
        for name, function in inspect.getmembers(family, inspect.isfunction)
        if function.__module__ == family.__name__
        and name[0] != "_"
        and "Command[" in function.__annotations__["return"]
    }


def sample(name: str, build: Callable[..., Command[Any]]) -> Command[Any]:
    """One command, with all arguments that it must have."""
    args: list[Any] = []
    options: dict[str, Any] = dict(OPTIONS.get(name, {}))
    for parameter in inspect.signature(build).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += ("a", "b")
        elif parameter.name == "keys" or parameter.default is parameter.empty:
            if parameter.kind is parameter.KEYWORD_ONLY:
                options[parameter.name] = GIVEN[parameter.name]
            elif parameter.kind is not parameter.VAR_KEYWORD:
                args.append(GIVEN[parameter.name])
    return build(*args, **options)


SAMPLES: Final = {name: sample(name, build) for name, build in builders().items()}


def test_every_builder_is_public() -> None:
    assert len(SAMPLES) > 130
    assert [name for name in SAMPLES if not hasattr(commands, name)] == []


@pytest.mark.parametrize(("name", "command"), SAMPLES.items())
def test_its_documentation_names_the_servers_command(name: str, command: Command[Any]) -> None:
    assert command.name in (inspect.getdoc(getattr(commands, name)) or "")


@pytest.mark.parametrize("command", SAMPLES.values(), ids=SAMPLES)
def test_no_client_takes_by_another_way_what_is_forbidden(command: Command[Any]) -> None:
    needs_a_link = command.traits.use is LinkUse.FORBIDDEN or command.name in {"WATCH", "UNWATCH"}
    assert (command.name in FORBIDDEN) is needs_a_link


ALLOWED: Final = {name: command for name, command in SAMPLES.items() if command.name not in FORBIDDEN}


@pytest.mark.parametrize("command", ALLOWED.values(), ids=ALLOWED)
def test_the_same_words_without_a_builder_have_the_same_keys_and_use_the_same_link(command: Command[Any]) -> None:
    plain = raw(*command.args)
    assert plain.data == command.data
    assert plain.keys == command.keys
    assert (plain.traits.use, plain.traits.block) == (command.traits.use, command.traits.block)
