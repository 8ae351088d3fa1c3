"""Logins that rotate: ``credentials=`` is asked at each dial, and again before they end."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from streamcore import ConnectFailed, Credentials, InvalidArgument, LoginRefused
from streamcore.commands import raw as raw_command
from streamcore.events import ConnectAttemptFailed, Disconnected, Event, LoginNotRenewed
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, clients, take, take_and_ack
from transports.anyio import Client
from transports.embedded import EmbeddedServer

SECRET = "hunter2hunter2"


def _call(function: Callable[[], Any]) -> Any:
    """Return a coroutine, from a function that is none of them."""
    return function()


class Tokens:
    """Issues tokens: each answer has a new password."""

    def __init__(self, raw: Raw) -> None:
        self.asked = 0
        self.threads: set[int] = set()
        self._raw = raw
        self._lock = threading.Lock()
        self.user = "alice"
        self.expires_in: float | None = None

    def __call__(self) -> Credentials:
        with self._lock:
            self.asked += 1
            self.threads.add(threading.get_ident())
            token = f"{SECRET}-{self.asked}"
            self._raw("ACL", "SETUSER", self.user, "on", f">{token}", "~*", "&*", "+@all")
            return Credentials(self.user, token, self.expires_in)

    def void(self) -> None:
        """End all tokens, and the connections by them."""
        self._raw("ACL", "SETUSER", self.user, "resetpass")
        for one in clients(self._raw):
            if one["user"] == self.user:
                self._raw("CLIENT", "KILL", "ID", one["id"])


@pytest.fixture
def tokens(server: EmbeddedServer, raw: Raw) -> Iterator[Tokens]:
    with Raw(server.address) as mine:
        yield Tokens(mine)
    for name in ("alice", "bob"):
        raw("ACL", "DELUSER", name)


def at(server: EmbeddedServer) -> str:
    return f"redis://127.0.0.1:{server.port}"


async def me(client: Client) -> tuple[int, bytes]:
    """The id of the client's shared connection, and its user."""
    number, user = await client.pipeline([raw_command("CLIENT", "ID"), raw_command("ACL", "WHOAMI")])
    return number, user


def users(raw: Raw) -> set[str]:
    """The users of all connections but the tests' own."""
    return {one["user"] for one in clients(raw)} - {"default"}


# -- each dial ---------------------------------------------------------------------------------------------------------


async def test_credentials_are_asked_for_at_each_dial(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, tokens: Tokens
) -> None:
    """Two links at once, and after each loss: the passwords before are void."""
    add(raw, range(3))
    async with runtime.connect(at(server), credentials=tokens) as client:
        async with client.group_consumer("s", group="g") as consumer:
            assert await take_and_ack(consumer, 3) == [0, 1, 2]
            assert users(raw) == {"alice"}
            assert tokens.asked >= 2
            for number in (3, 4):
                tokens.void()
                add(raw, [number])
                assert await take_and_ack(consumer, 1) == [number]
        assert (await me(client))[1] == b"alice"
    assert tokens.asked >= 4
    assert threading.get_ident() not in tokens.threads  # it may block, and holds nobody up


async def test_a_pair_is_enough(runtime: Runtime, server: EmbeddedServer, raw: Raw, tokens: Tokens) -> None:
    secret = tokens().password
    async with runtime.connect(at(server), credentials=lambda: ("alice", secret)) as client:
        assert (await me(client))[1] == b"alice"
    raw("ACL", "SETUSER", "default", f">{SECRET}")
    try:
        async with runtime.connect(at(server), credentials=lambda: (None, SECRET)) as client:
            assert (await me(client))[1] == b"default"
    finally:
        raw("ACL", "SETUSER", "default", "nopass")


@pytest.mark.runtimes("async")
async def test_a_coroutine_function(runtime: Runtime, server: EmbeddedServer, tokens: Tokens) -> None:
    loops = []

    async def ask() -> Credentials:
        await runtime.sleep(0.01)
        loops.append(threading.get_ident())
        return tokens()

    class Asker:
        async def __call__(self) -> Credentials:
            return await ask()

    for function in (ask, Asker(), partial(_call, ask)):
        async with runtime.connect(at(server), credentials=function) as client:
            assert (await me(client))[1] == b"alice"
    assert set(loops) == {threading.get_ident()}


@pytest.mark.runtimes("threads")
async def test_no_coroutine_function_in_threads(runtime: Runtime, server: EmbeddedServer) -> None:
    async def ask() -> tuple[str, str]:
        return "alice", SECRET

    with pytest.raises(InvalidArgument, match="must be a plain function in threads"):
        runtime.connect(at(server), credentials=ask)
    with pytest.raises(ConnectFailed, match="must be a plain function in threads") as caught:
        async with runtime.connect(at(server), credentials=partial(_call, ask)):
            pass
    assert caught.value.permanent


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "keywords", "remedy"),
    [
        (f"redis://alice:{SECRET}@h", {}, "drop the user and password of the URL$"),
        (f"redis://:{SECRET}@h", {}, "drop the user and password of the URL$"),
        ("redis://h", {"password": SECRET}, "drop password=$"),
        ("redis://h", {"username": "alice", "password": SECRET}, "drop username= and password=$"),
        ("redis://h", {"credentials": ("alice", SECRET)}, "credentials must be a function .*, not tuple"),
    ],
)
async def test_what_stands_beside_credentials(
    runtime: Runtime, url: str, keywords: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(InvalidArgument, match=remedy) as caught:
        runtime.connect(url, **{"credentials": lambda: ("alice", SECRET), **keywords})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("answer", [None, SECRET, ("alice",), ("alice", SECRET, 5), ("alice", SECRET.encode())])
async def test_an_answer_of_no_use_ends_the_client_at_once(
    runtime: Runtime, server: EmbeddedServer, answer: Any
) -> None:
    with pytest.raises(ConnectFailed, match="credentials=") as caught:
        async with runtime.connect(at(server), credentials=lambda: answer):
            pass
    assert caught.value.permanent
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


# -- failures ----------------------------------------------------------------------------------------------------------


class TokenError(Exception):
    """An issuer of tokens that fails."""


async def test_an_error_is_a_failed_attempt(
    runtime: Runtime, server: EmbeddedServer, tokens: Tokens, log: pytest.LogCaptureFixture
) -> None:
    failures = [TokenError("down"), KeyError("down"), SystemExit("down")]
    events: list[Event] = []

    def ask() -> Credentials:
        if failures:
            raise failures.pop(0)
        return tokens()

    async with runtime.connect(at(server), credentials=ask, on_event=events.append, request_timeout=20) as client:
        assert (await me(client))[1] == b"alice"
        await runtime.until(lambda: len(events) > 3)
    attempts = [event for event in events if isinstance(event, ConnectAttemptFailed)]
    assert [event.attempt for event in attempts] == [1, 2, 3]
    assert [type(event.error) for event in attempts] == [ConnectFailed] * 3
    assert [type(event.error.__cause__) for event in attempts][:2] == [TokenError, KeyError]
    assert "credentials= raised TokenError: down" in str(attempts[0].error)


async def test_a_refused_password_is_asked_for_anew(runtime: Runtime, server: EmbeddedServer, tokens: Tokens) -> None:
    stale = [Credentials("alice", "stale"), Credentials("alice", "stale")]
    events: list[Event] = []
    ask: Callable[[], Credentials] = lambda: stale.pop() if stale else tokens()  # noqa: E731
    async with runtime.connect(at(server), credentials=ask, on_event=events.append, request_timeout=20) as client:
        assert (await me(client))[1] == b"alice"
    errors = [event.error for event in events if isinstance(event, ConnectAttemptFailed)]
    assert [type(error) for error in errors] == [LoginRefused, LoginRefused]
    assert "the next dial asks credentials= anew" in str(errors[0])


async def test_a_password_that_stays_refused_is_told_when_entering(runtime: Runtime, server: EmbeddedServer) -> None:
    with pytest.raises(LoginRefused, match="WRONGPASS") as caught:
        async with runtime.connect(at(server), credentials=lambda: ("alice", SECRET), request_timeout=0.3):
            pass
    assert not caught.value.permanent


async def test_a_function_that_hangs_is_left_behind(runtime: Runtime, server: EmbeddedServer, tokens: Tokens) -> None:
    hangs = threading.Event()
    calls: list[int] = []
    events: list[Event] = []

    def ask() -> Credentials:
        calls.append(1)
        if len(calls) == 1:
            hangs.wait(20)
        return tokens()

    try:
        async with runtime.connect(
            at(server), credentials=ask, connect_timeout=0.3, request_timeout=20, on_event=events.append
        ) as client:
            assert (await me(client))[1] == b"alice"
    finally:
        hangs.set()
    errors = [event.error for event in events if isinstance(event, ConnectAttemptFailed)]
    assert "credentials= returned none within 0.3 s" in str(errors[0])


async def test_closing_while_it_is_asked(runtime: Runtime, server: EmbeddedServer) -> None:
    hangs = threading.Event()

    def ask() -> Credentials:
        hangs.wait(20)
        return Credentials("alice", SECRET)

    try:
        with pytest.raises(ConnectFailed, match=r"did not answer in time|returned none"):
            async with runtime.connect(at(server), credentials=ask, request_timeout=0.3):
                pass
    finally:
        hangs.set()


@pytest.mark.runtimes("async")
async def test_a_coroutine_that_hangs_is_cancelled(runtime: Runtime, server: EmbeddedServer, tokens: Tokens) -> None:
    ends: list[str] = []

    async def ask() -> Credentials:
        if ends:
            return tokens()
        try:
            await runtime.sleep(20)
        finally:
            ends.append("cancelled")
        raise AssertionError

    async with runtime.connect(at(server), credentials=ask, connect_timeout=0.3, request_timeout=20) as client:
        assert (await me(client))[1] == b"alice"
    assert ends == ["cancelled"]


# -- renewals ----------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
@pytest.mark.runtimes("async", "background")
async def test_a_login_is_renewed_on_the_open_connection(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, tokens: Tokens
) -> None:
    """Also while a read blocks: AUTH waits behind it, and nothing is dropped."""
    tokens.expires_in = 1.5
    events: list[Event] = []
    async with (
        runtime.connect(at(server), credentials=tokens, on_event=events.append) as client,
        client.consumer({"s": "0"}, block=0.4) as consumer,
    ):
        before = await me(client)
        assert before[1] == b"alice"
        tokens.user = "bob"

        await runtime.until(lambda: users(raw) == {"bob"})
        add(raw, [1])
        assert await take(consumer, 1) == [1]
        assert await me(client) == (before[0], b"bob")
    assert not [event for event in events if isinstance(event, (Disconnected, ConnectAttemptFailed))]


async def test_a_renewal_that_fails_is_told_and_tried_again(
    runtime: Runtime, server: EmbeddedServer, tokens: Tokens
) -> None:
    tokens.expires_in = 1.0
    events: list[Event] = []
    bad: list[Callable[[], Credentials]] = []

    def ask() -> Credentials:
        return bad.pop(0)() if bad else tokens()

    def down() -> Credentials:
        raise TokenError("down")

    async with runtime.connect(at(server), credentials=ask, on_event=events.append, request_timeout=20) as client:
        before = await me(client)
        bad += [down, lambda: Credentials("alice", "stale")]
        asked = tokens.asked
        await runtime.until(lambda: tokens.asked > asked)
        assert await me(client) == before
        await runtime.until(lambda: len([event for event in events if isinstance(event, LoginNotRenewed)]) == 2)
    told = [event for event in events if isinstance(event, LoginNotRenewed)]
    assert [type(event.error) for event in told] == [ConnectFailed, LoginRefused]
    assert not [event for event in events if isinstance(event, Disconnected)]


# -- secrets -----------------------------------------------------------------------------------------------------------


async def test_a_token_is_shown_nowhere(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, tokens: Tokens, log: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    answers: list[Any] = [("alice", SECRET)]

    def ask() -> Any:
        return answers.pop(0) if answers else tokens()

    client = runtime.connect(at(server), credentials=ask, on_event=events.append, request_timeout=0.5)
    shown = [repr(client), str(vars(client))]
    async with client:
        await client.ping()
        tokens.void()
        await client.ping()
    for event in events:
        shown += [repr(event), str(event)]
        if isinstance(error := getattr(event, "error", None), BaseException):
            shown += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    shown.append(log.text)
    assert [text for text in shown if SECRET in text] == []
    assert [event for event in events if isinstance(event, ConnectAttemptFailed)]
