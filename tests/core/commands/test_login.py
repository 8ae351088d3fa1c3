from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore.commands import Command, ServerHello, auth, hello, select
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (hello(), ("HELLO", 3)),
        (hello(2, password="sesame"), ("HELLO", 2, "AUTH", "default", "sesame")),
        (
            hello(username="ann", password=b"sesame", client_name="me"),
            ("HELLO", 3, "AUTH", b"ann", b"sesame", "SETNAME", b"me"),
        ),
        (auth("sesame"), ("AUTH", "sesame")),
        (auth("", username="ann"), ("AUTH", b"ann", "")),
        (select(3), ("SELECT", 3)),
    ],
)
def test_what_is_sent_and_by_no_client(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert command.args == sent
    assert command.traits.use is LinkUse.FORBIDDEN
    assert "sesame" not in repr(command)


FIELDS = {b"server": b"valkey", b"version": b"9.1.2", b"proto": 3, b"id": 6, b"mode": b"standalone", b"role": b"master"}
LUA = {b"name": b"lua", b"ver": 1, b"path": b"lua", b"args": []}


def flat(fields: dict[bytes, Any]) -> list[Any]:
    return [item for pair in fields.items() for item in pair]


@pytest.mark.parametrize(
    "reply",
    [
        {**FIELDS, b"modules": [LUA], b"availability_zone": b"a"},
        flat({**FIELDS, b"modules": [flat(LUA)], b"availability_zone": b"a"}),
    ],
)
def test_a_server_introduces_itself(reply: Any) -> None:
    parse = hello().parse
    assert parse is not None
    assert parse(reply) == ServerHello(
        server="valkey",
        version="9.1.2",
        protocol=3,
        id=6,
        mode="standalone",
        role="master",
        modules={"lua": 1},
        other={b"availability_zone": b"a"},
    )


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: hello(0), "protover must be at least 1"),
        (lambda: hello(username="ann"), "a username needs a password"),
        (lambda: hello(client_name=""), "client_name is empty"),
        (lambda: auth(None), "argument 1 of AUTH: a value of type NoneType"),  # type: ignore[arg-type]
        (lambda: select(-1), "database must be at least 0"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()


def test_a_password_that_cannot_be_sent_is_not_shown() -> None:
    for build in (lambda: auth("sesame\udc80"), lambda: hello(password="sesame\udc80")):
        with pytest.raises(InvalidArgument, match="cannot be sent as UTF-8") as raised:
            build()
        assert "sesame" not in str(raised.value)
