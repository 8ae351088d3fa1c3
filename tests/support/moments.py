"""Call a function at a chosen moment of another call, as a signal handler does, without waiting for a signal to fall there."""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import streamcore
import transports

CORE = str(Path(streamcore.__file__).parent)
TRANSPORTS = str(Path(transports.__file__).parent)

# After these Python looks for signals; before the first instruction of a function as well.
LOOKS = ("CALL", "JUMP_BACKWARD", "RESUME")


def trace_opcodes(trace: Callable[[FrameType, str, Any], Any]) -> None:
    """Set a trace function that asks for opcodes in the frames that it is told of."""
    sys._getframe().f_trace_opcodes = True  # else Python 3.12 does not trace the opcodes of a process's first victim
    sys.settrace(trace)
    if sys.version_info >= (3, 12) and sys.version_info < (
        3,
        13,
    ):  # it has disabled each opcode that it came to while another function traced
        sys.monitoring.restart_events()


def moments(
    victim: Callable[[], object],
    at: int,
    intruder: Callable[[], object],
    *,
    within: tuple[str, ...] = (TRANSPORTS, CORE),
    everywhere: bool = False,
) -> bool:
    """Call ``victim``, and, at the ``at``-th moment in the files ``within``, ``intruder``, which may raise into it.

    A moment is a place where Python would call a signal handler, or any bytecode. Returns whether there were so many. An error
    that the victim raises is raised.
    """
    passed = 0
    last: dict[FrameType, str] = {}

    def count(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal passed
        if event == "return":
            last.pop(frame, None)
        elif event == "opcode":
            here = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            # What is thrown into a generator is handled at once, and not where the generator was resumed.
            before = last.get(frame, "" if here == "PUSH_EXC_INFO" else "RESUME")
            last[frame] = here
            if everywhere or before.startswith(LOOKS):
                passed += 1
                if passed == at + 1:
                    intruder()
        return count

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if passed > at or not frame.f_code.co_filename.startswith(within):
            return None
        frame.f_trace_opcodes = True
        return count

    others, collects = sys.gettrace(), gc.isenabled()
    gc.disable()  # the garbage of other tests is no victim
    trace_opcodes(trace)
    try:
        victim()
    finally:
        sys.settrace(others)
        if collects:
            gc.enable()
    return passed > at
