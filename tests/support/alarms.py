"""Interrupt a call at each moment at which Python may call a signal handler."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import streamcore
import transports

OURS = tuple(str(Path(package.__file__ or "").parent) for package in (streamcore, transports))


class AlarmAt:
    """Raises as a signal handler may, where Python may call it: behind a call of C, or at the beginning of a function of ours."""

    def __init__(self, number: int) -> None:
        self.seen = 0
        self._number = number

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in {"call", "c_return"} and frame.f_code.co_filename.startswith(OURS):
            self.seen += 1
            if self.seen == self._number:
                sys.setprofile(None)
                raise KeyboardInterrupt


def interrupted_at(number: int, call: Callable[[], Any]) -> tuple[Any, bool]:
    """The result of a call that is interrupted at its so-manieth moment, and whether it had so many."""
    alarm = AlarmAt(number)
    sys.setprofile(alarm)
    try:
        return call(), False
    except KeyboardInterrupt:
        return None, True
    finally:
        sys.setprofile(None)
