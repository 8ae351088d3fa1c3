from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from streamcore.errors import InvalidArgument
from streamcore.options import (
    DECODERS,
    DEFAULT_ADDRESS,
    DEFAULT_LOGIN,
    DEFAULT_OPTIONS,
    Address,
    AnyAddress,
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
