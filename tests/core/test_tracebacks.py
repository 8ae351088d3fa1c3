from __future__ import annotations

import inspect
import traceback

import pytest

from streamcore.errors import ConnectionLost, InvalidArgument
from streamcore.tracebacks import conceals_arguments, without_frames

SECRET = "hunter2"


def test_a_concealed_argument_is_in_no_frame_of_an_error() -> None:
    @conceals_arguments
    def login(user: str, *, password: str) -> str:
        """Log in."""
        copied = password
        try:
            return {"a": "b"}[user]
        except KeyError as error:
            raise InvalidArgument(f"no user {user}, {len(copied)}") from error

    assert (login("a", password=SECRET), login.__name__, login.__doc__) == ("b", "login", "Log in.")
    assert list(inspect.signature(login).parameters) == ["user", "password"]
    with pytest.raises(InvalidArgument, match="no user c") as caught:
        login("c", password=SECRET)
    error = caught.value
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert [frame.f_code.co_name for frame in frames][1:] == ["call"]
    assert SECRET not in repr(frames[1].f_locals)
    assert (error.__cause__, error.__context__) == (None, None)


def test_without_frames_an_error_is_the_same() -> None:
    error = ConnectionLost("x", sent=True)
    error.__cause__, error.__context__ = OSError(), KeyError()
    assert without_frames(error) is error
    assert error.sent
    assert [error.__cause__, error.__context__, error.__traceback__] == [None, None, None]
