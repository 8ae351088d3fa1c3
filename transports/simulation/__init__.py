"""Everything under test in a single world, in virtual time: engines, a model server, a network that breaks, and a nemesis.

``simulate(seed)`` runs a world and tells its outcome; the same seed gives the same run, to the last byte. No I/O, no
clock, no threads: ``docs/guides/simulation.md`` tells its claims, and how to read it.
"""

from .run import KINDS, Outcome, kinds_of, simulate, simulate_cluster
from .scenarios import CLUSTER_SCENARIOS, SCENARIOS
from .shrink import Shrunk, shrink, tale
from .world.plan import Fault, Size

__all__ = [
    "CLUSTER_SCENARIOS",
    "KINDS",
    "SCENARIOS",
    "Fault",
    "Outcome",
    "Shrunk",
    "Size",
    "kinds_of",
    "shrink",
    "simulate",
    "simulate_cluster",
    "tale",
]
