"""Keep secrets and replies out of tracebacks: error trackers print the locals of each frame of an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Cut an error off from the frames and errors that it came through: their locals may hold a password."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error


def conceals_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Keep a function's arguments out of the tracebacks of its errors: error trackers print their locals."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # raised again, all of them
            del args, kwargs
            raise without_frames(error) from None

    return call
