"""One mutant in a process of its own: run seeds until an oracle objects. Prints a line of JSON; nothing else may be printed.

Whatever the mutant does is a death that counts: an oracle's word, an exception that escapes from the core, or a seed that does not
end, since then the core is in a loop that takes no (virtual) time.
"""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType

from .catalogue import MUTANTS
from .hook import MutatingFinder

PATIENCE = 20.0
"""Seconds of processor time that one seed may take; the machine may be busy with other things."""


class Hang(BaseException):
    """The seed does not end; the simulator takes this for no failure of its own."""


def _alarm(signum: int, frame: FrameType | None) -> None:
    raise Hang


def run(name: str, scenario: str, seeds: list[int]) -> dict[str, object]:
    """What killed the mutant (``""``: the core as it is), if anything."""
    edits = MUTANTS[name].edits if name else []
    if any(edit.module in sys.modules for edit in edits):
        raise RuntimeError("the core was imported before the mutant; the worker needs a fresh process")
    finder = MutatingFinder(edits)
    sys.meta_path.insert(0, finder)
    from transports.simulation import simulate

    left = [edit.module for edit in edits if edit not in finder.applied]
    if left:
        raise RuntimeError(f"the simulator does not import {left}: the mutant cannot live there")
    signal.signal(signal.SIGVTALRM, _alarm)
    for tried, seed in enumerate(seeds, 1):
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        oracle = message = ""
        try:
            outcome = simulate(seed, scenario=scenario)
            oracle, message = outcome.oracle, outcome.message
        except Hang:
            oracle, message = "Hang", f"the seed does not end within {PATIENCE:g} s"
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        if oracle:
            return {"seed": seed, "oracle": oracle, "message": message, "tried": tried}
    return {"seed": None, "oracle": "", "message": "", "tried": len(seeds)}


if __name__ == "__main__":
    name, scenario, *seeds = sys.argv[1:]
    print(json.dumps(run(name, scenario, [int(seed) for seed in seeds])))
