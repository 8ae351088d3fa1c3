"""Each interface runs under exactly the rights that the documentation tells, and once without each of them.

Without a right it either goes on, and tells by ``Degraded`` what it does without, or raises an error that names the right. It
never waits in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from streamcore.errors import ConnectFailed, NoPermissionError, StreamcoreError
from streamcore.rights import IN_SCRIPT
from tests.conftest import ServerPool
from tests.support.servers import available_servers
from transports.embedded import EmbeddedServer

from .interfaces import CONNECTION, INTERFACES, Interface
from .page import PAGE, with_tables
from .world import BASE, World

KINDS = {kind.name: kind for kind in available_servers()}
ALL = [(name, one) for one in (CONNECTION, *INTERFACES) for name in one.servers if name in KINDS]
LIMIT = 8.0
"""Seconds in which each of them ends, whatever it may not do."""


def missing(interface: Interface) -> Iterator[str]:
    """The rules that its user is to be without, one at a time."""
    yield from (f"+{command}" for command in interface.commands)
    yield from (*interface.keys, *interface.own, *interface.channels)


WITHOUT = [
    pytest.param(kind, one, rule, id=f"{kind}-{one.name}{rule}")
    for kind, one in ALL
    if kind != "redis8" or one.servers == ("redis8",)
    for rule in missing(one)
]


@pytest.fixture
def world(server_pool: ServerPool, kind: str) -> Iterator[World]:
    server: EmbeddedServer = server_pool.empty_server(KINDS[kind])
    world = World(server)
    yield world
    world.close()


def run(world: World, interface: Interface, rules: set[str]) -> None:
    world.allow(rule for rule in sorted(rules) if rule[0] != "+" or world.knows(rule[1:]))

    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await interface.scenario(world)

    asyncio.run(limited())


def rules_of(interface: Interface) -> set[str]:
    return {*interface.rules, *(f"+{command}" for command in BASE)}


@pytest.mark.parametrize(("kind", "interface"), ALL, ids=[f"{kind}-{one.name}" for kind, one in ALL])
def test_under_exactly_these_rights_nothing_is_missing_and_none_is_too_many(world: World, interface: Interface) -> None:
    world.listen()
    run(world, interface, rules_of(interface))
    assert world.degraded == []
    unknown = {command for command in interface.commands if not world.knows(command)}
    assert world.used() - {*BASE} == {*interface.commands} - {*BASE} - unknown


@pytest.mark.parametrize(("kind", "interface", "rule"), WITHOUT)
def test_without_one_of_them_it_goes_on_and_tells_or_raises_what_names_it(
    world: World, interface: Interface, rule: str
) -> None:
    command = rule.removeprefix("+")
    if rule.startswith("+") and not world.knows(command):
        pytest.skip("the server has no such command")
    spared = interface.spares.get(command) or interface.own.get(rule)
    rights = rules_of(interface) - {rule}
    if spared is None:
        with pytest.raises((StreamcoreError, ExceptionGroup)) as raised:
            run(world, interface, rights)
        assert named(raised.value, rule), f"{raised.value!r} does not name {rule}"
    else:
        run(world, interface, rights)
        assert {event.what for event in world.degraded} == {what for what in spared if what}
        for event in world.degraded:
            named_in_it = any(fnmatchcase(word, rule) for word in event.missing.split())
            assert named_in_it or event.missing == IN_SCRIPT, event


def named(error: BaseException, rule: str) -> bool:
    """Whether an error, or what has caused it, tells which right is missing, as far as servers tell."""
    if isinstance(error, ExceptionGroup):
        return any(named(one, rule) for one in error.exceptions)
    if isinstance(error, NoPermissionError):
        if rule.startswith("+"):
            return error.missing in {rule, IN_SCRIPT}
        return error.missing.startswith("a key of " if rule.startswith("~") else "a channel of ")
    if isinstance(error, ConnectFailed):
        return error.permanent and f"needs {rule}" in str(error)
    return error.__cause__ is not None and named(error.__cause__, rule)


def test_the_page_tells_the_same() -> None:
    """Else: ``python -m tests.rights.page`` writes it anew."""
    text = PAGE.read_text("utf-8")
    assert with_tables(text) == text
