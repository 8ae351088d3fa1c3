"""Count the calls of functions, to compare the cost of inputs without a clock."""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any, Self


class Calls:
    """Counts the calls of functions, also of those in C, within its block; the garbage of other tests is left alone meanwhile."""

    def __init__(self) -> None:
        self.made = 0

    def __enter__(self) -> Self:
        gc.disable()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        self.made += event in ("call", "c_call")
