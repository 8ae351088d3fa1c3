"""Count the calls of functions, or the steps of the core, to compare the cost of inputs without a clock."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Self

from tests.support.moments import CORE, trace_opcodes

MODEL = str(Path(CORE) / "testing")


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


class Work:
    """Counts the lines and bytecodes of the core within its block, but for the model of the server."""

    def __init__(self) -> None:
        self.done = 0
        self._others: Any = None

    def __enter__(self) -> Self:
        gc.disable()
        self._others = sys.gettrace()
        trace_opcodes(self._enter)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self._others)
        gc.enable()

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        if not path.startswith(CORE) or path.startswith(MODEL):
            return None
        frame.f_trace_opcodes = True
        return self._note(frame, event, argument)

    def _note(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.done += 1
        return self._note
