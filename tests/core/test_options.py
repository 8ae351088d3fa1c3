from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from math import inf, nan
from typing import Any

import pytest

from streamcore.errors import InvalidArgument
from streamcore.options import (
    DECODERS,
    DEFAULT_ADDRESS,
    DEFAULT_LOGIN,
    DEFAULT_OPTIONS,
    Address,
    AnyAddress,
    Credentials,
    Login,
    MemoryAddress,
    Options,
    UnixAddress,
)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address(), "localhost:6379"),
        (Address("example.org", 7000), "example.org:7000"),
        (Address("::1", 7000), "[::1]:7000"),
        (UnixAddress("/run/valkey.sock"), "unix:/run/valkey.sock"),
        (MemoryAddress("orders"), "memory://orders"),
    ],
)
def test_an_address_reads_as_one_would_type_it(address: AnyAddress, text: str) -> None:
    assert str(address) == text


def test_a_login_shows_its_user_and_never_its_password() -> None:
    login = Login("ann", "sesame", 3, "billing")
    assert "ann" in repr(login)
    assert "sesame" not in repr(login)
    assert "sesame" not in str(login)


def test_the_defaults_are_the_ones_of_the_documentation() -> None:
    assert Address("localhost", 6379) == DEFAULT_ADDRESS
    assert Login(None, None, 0, None) == DEFAULT_LOGIN
    assert {field.name: getattr(DEFAULT_OPTIONS, field.name) for field in fields(Options)} == {
        "request_timeout": 5.0,
        "connect_timeout": 5.0,
        "backoff_initial": 0.05,
        "backoff_max": 5.0,
        "keepalive_idle": 10.0,
        "keepalive_answer": 5.0,
        "max_reply": 1 << 30,
        "max_bulk": 512 << 20,
        "max_elements": 1 << 26,
        "max_depth": 128,
        "max_outgoing": 64 << 20,
        "decoder": "auto",
    }


def test_a_decoder_is_one_of_three() -> None:
    assert [Options(decoder=kind).decoder for kind in ("auto", "hiredis", "python")] == list(DECODERS)
    with pytest.raises(
        InvalidArgument, match="decoder: there is none called 'java'; choose one of auto, hiredis, python"
    ):
        Options(decoder="java")  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("value", "field"),
    [(Address(), "port"), (UnixAddress("x"), "path"), (Login(), "database"), (Options(), "max_reply")],
)
def test_settings_cannot_change_under_an_engine(value: object, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, 1)


# -- credentials -------------------------------------------------------------------------------------------------------


def test_credentials_show_their_user_and_never_their_password() -> None:
    credentials = Credentials("ann", "sesame", 60)
    assert "ann" in repr(credentials)
    assert "sesame" not in f"{credentials!r} {credentials}"
    assert pickle.loads(pickle.dumps(credentials)) == credentials
    assert credentials != Credentials("ann", "other", 60)
    with pytest.raises(FrozenInstanceError):
        credentials.password = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, inf), (60, 60.0), (0.5, 0.5), (-1.0, -1.0), (inf, inf), (timedelta(minutes=5), 300.0)],
)
def test_how_long_credentials_last(given: Any, seconds: float) -> None:
    assert Credentials(None, "sesame", given).lasts == seconds


@pytest.mark.parametrize("answer", [("ann", "sesame"), Credentials("ann", "sesame")])
def test_what_an_application_may_answer(answer: object) -> None:
    assert Credentials.of(answer) == Credentials("ann", "sesame")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "must return (username, password) or Credentials, not NoneType"),
        ("sesame", "not str"),
        (["ann", "sesame"], "not list"),
        (("ann", "sesame", 60), "not a tuple of 3"),
        (("ann", b"sesame"), "the password must be a str, not bytes"),
        (("ann", None), "the password must be a str, not NoneType"),
        ((7, "sesame"), "the username must be a str, not int"),
        (("ann", "sesame\ud800"), "the password has surrogates"),
        (("ann\ud800", "sesame"), "the username has surrogates"),
    ],
)
def test_any_other_answer_is_refused_and_not_shown(answer: object, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Credentials.of(answer)
    assert text in str(caught.value)
    assert "sesame" not in f"{caught.value!r}"
    trace = caught.value.__traceback__
    while trace is not None:
        if "streamcore" in trace.tb_frame.f_code.co_filename:
            assert "sesame" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


@pytest.mark.parametrize("lasts", [nan, True, "60"])
def test_credentials_last_for_seconds(lasts: Any) -> None:
    with pytest.raises(InvalidArgument, match="expires_in must be seconds, a timedelta or None, not"):
        Credentials("ann", "sesame", lasts)
