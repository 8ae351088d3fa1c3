"""A trial of the steady state: the key of the dead letters holds something else for a while, because another program uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore.events import SettlingRefused
from streamcore.group.settling import LONG_PATIENCE
from streamcore.keys import dead_letters

from ..workloads.group.member import Member
from ..world.invariants import Oracle
from ..world.stream_log import BURIED
from .context import SOON, SteadyState

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog

ASIDE: Final = b"letters:aside"


class LettersWait(Oracle):
    """*Dead-letter key of another type*: nothing is settled, a single event tells, all else goes on, and the letter is written in the end."""


def no_letters(steady: SteadyState, log: DeliveryLog) -> None:
    """An entry shall be buried while that cannot be; in a quarter of the worlds."""
    if steady.world.lots("letters of another type").random() > 0.25:
        return
    oracle, do, stream = LettersWait(steady.world), steady.scene.host.do, log.streams[0]
    letters = dead_letters(stream)
    do(b"RENAME", letters, ASIDE)
    log.letters_aside[stream] = ASIDE
    do(b"SET", letters, b"taken for something else")
    steady.world.tell("stranger", f"has taken {letters.decode()} for a string")
    heard = steady.marks(log)
    name = steady.append(log, stream, BURIED)
    steady.run(2.0)
    other = steady.append(log, stream, b"calm")
    steady.run(SOON)
    steady.handed(log, other, oracle, f" while {letters.decode()} is no stream")
    key = steady.key(name)
    fate = log.fates.get(key)
    plain = fate is not None and any(type(one) is Member and one.label == fate.holder for one in steady.members(log))
    if plain and steady.owner(log, key) is None:
        oracle.violated(f"{name.decode()} is settled, and its letter could not be written")
    events = [event for one in steady.members(log) for event in steady.told(one, heard.get(one.label, 0))]
    told = sum(isinstance(event, SettlingRefused) and key.id in event.ids for event in events)
    if plain and told != 1:
        oracle.violated(f"{name.decode()} could not be buried, and {told} events tell of it")
    do(b"DEL", letters)
    do(b"RENAME", ASIDE, letters)
    del log.letters_aside[stream]
    steady.run(LONG_PATIENCE + SOON)
    if plain and steady.owner(log, key) is not None:
        oracle.violated(f"{name.decode()} is not buried {LONG_PATIENCE + SOON:g} s after that could be done")
