"""A client whose login rotates: an engine between its application, its driver and a server."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from streamcore import Command, Credentials, Login, Multiplexer, Options
from streamcore.errors import ConnectFailed, InvalidArgument
from streamcore.events import ConnectAttemptFailed, Connected, Event, LoginNotRenewed
from streamcore.testing.resp import HELLO, OK, commands_in, resp

WELCOME = resp(HELLO) + OK * 2


class Client:
    """A client, and its driver by hand."""

    def __init__(self) -> None:
        self.engine = Multiplexer(login=Login(rotates=True), options=Options(request_timeout=5.0, connect_timeout=3.0))
        [self.link] = self.engine.links()
        self.now = 100.0
        self.events: list[Event] = []
        self.engine.on_event = self.events.append

    def elapse(self) -> None:
        """Let time pass until something is due."""
        due = self.engine.next_timeout()
        assert due is not None
        self.now = max(self.now, due)
        self.engine.handle_timeout(self.now)

    def dial(self) -> None:
        while not self.link.wants_connection:
            self.elapse()
        self.engine.handle_timeout(self.now)
        self.engine.changed_links()
        self.link.connection_made(self.now)
        assert self.link.wants_credentials
        assert self.engine.changed_links() == [self.link]

    def write(self) -> list[list[bytes]]:
        data = self.link.data_to_send()
        self.link.data_sent(len(data))
        return commands_in(data)

    def hear(self, data: bytes) -> None:
        self.link.receive_data(data, self.now)

    def up(self, lasts: float) -> Client:
        self.dial()
        self.link.authenticate(Credentials("ann", "sesame", lasts), self.now)
        self.write()
        self.hear(WELCOME)
        assert [type(event) for event in self.events] == [Connected]
        self.events.clear()
        return self

    def asked(self) -> None:
        """Let time pass until the link asks for credentials, and answer its PINGs."""
        while not self.link.wants_credentials:
            self.elapse()
            if self.write() == [[b"PING"]]:
                self.hear(b"+PONG\r\n")
        assert self.engine.changed_links() == [self.link]


def test_a_login_is_renewed_in_time() -> None:
    client = Client().up(60)
    client.asked()
    assert client.now == pytest.approx(100 + 60 * 0.8)
    client.link.authenticate(Credentials("ann", "fresh", 60), client.now)
    assert client.write() == [[b"AUTH", b"ann", b"fresh"]]
    client.hear(OK)
    client.asked()
    assert client.now == pytest.approx(100 + 2 * 60 * 0.8)
    assert client.events == []


def test_a_renewal_that_fails_is_an_event() -> None:
    client = Client().up(60)
    client.asked()
    client.link.credentials_failed(OSError("down"), client.now)
    [event] = client.events
    assert isinstance(event, LoginNotRenewed)
    assert (event.link, event.address, event.owner) == ("main", "localhost:6379", client.engine.title)
    assert str(event.error) == "localhost:6379: credentials= raised OSError: down"
    assert client.engine.next_event_in_place() is not None
    client.asked()
    assert client.link.is_up


def test_an_error_is_a_failed_attempt_and_the_next_dial_asks_anew() -> None:
    client = Client()
    client.dial()
    client.link.credentials_failed(OSError("down"), client.now)
    assert not client.link.wants_connection
    client.link.connection_lost(None, client.now)
    [event] = client.events
    assert isinstance(event, ConnectAttemptFailed)
    assert isinstance(event.error.__cause__, OSError)
    client.dial()


def test_an_answer_of_no_use_ends_a_client_that_never_worked() -> None:
    client = Client()
    client.dial()
    client.link.credentials_failed(InvalidArgument("a tuple of 3"), client.now)
    with pytest.raises(ConnectFailed, match="credentials= raised InvalidArgument: a tuple of 3"):
        client.engine.check()


def test_a_renewal_under_way_holds_back_no_refused_request() -> None:
    """A server that cannot serve is left as soon as all requests are answered, whether AUTH is or not."""
    client = Client().up(60)
    client.asked()
    done: list[Any] = []
    client.engine.submit([Command(("GET", "k"))], done.append)
    client.link.authenticate(Credentials("ann", "fresh", 60), client.now)
    assert [command[0] for command in client.write()] == [b"GET", b"AUTH"]
    client.hear(b"-LOADING Redis is loading the dataset in memory\r\n")
    client.elapse()
    assert not client.link.wants_connection
    assert done == []
    assert client.engine.next_timeout() != inf
