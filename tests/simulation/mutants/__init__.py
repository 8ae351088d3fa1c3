"""Known failures of other clients, each as one line of our own core, and the gate: the simulator must notice every one.

A simulator that finds nothing proves nothing, unless it would have found something. So each mutant is made while its module
is compiled, in a process of its own (``hook``); no file changes. The process runs seeds until an oracle objects (``worker``):
first the seed that did so the last time (``seeds.txt``), then 0 and so on. A text that is not found exactly once is an
error, so that the catalogue cannot rot.

    python -m tests.simulation.mutants [NAME...] [--seeds 200] [--jobs 2] [--save]
"""

from __future__ import annotations

from .catalogue import MUTANTS
from .mutant import Mutant, Stale

__all__ = ["MUTANTS", "Mutant", "Stale"]
