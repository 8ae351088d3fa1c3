"""The oracles of the contract, in a cluster.

Where a primary is lost, everything is lost that its replica has not copied: entries that no replica had confirmed, deliveries and
acknowledgements. So entries of its streams may come again that were handed over while it went away or came back; nothing else may,
and whatever a replica has confirmed is there in the end. Slots that move, failovers in order, and lost connections lose nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from streamcore.events import Gap, StreamReset
from tests.chaos.judge import CLAIMS, LIES, Evidence, claimed_again, losses
from tests.chaos.notes import DONE, UNSENT, Heard, Reading
from tests.chaos.workload import BEGINNING
from tests.soak.account import Account, Ending, Handled, Key, PendingSend, allowances, balance
from tests.soak.faults import Fault
from tests.soak.journal import Line

from .nemesis import Blow
from .workload import AGAIN, ClusterNotes

BEFORE: Final = 3.0  # seconds in which a primary that will be lost may have answered what its replica does not have
AFTER: Final = 5.0  # seconds in which a primary that is back may answer before it learns that it was replaced


@dataclass
class ClusterEvidence:
    """What is known in the end, besides the notes."""

    ending: Ending
    lists: dict[str, list[int]]
    blows: list[Blow]
    claim_idle: float
    epoch: float

    @property
    def losses(self) -> list[Blow]:
        return [blow for blow in self.blows if blow.loses]

    def may_come_again(self, stream: str, id_: str, at: float) -> bool:
        """Whether an entry was there while its primary was being lost, and was not handed over (``at``) long before."""
        appended = int(id_.split("-", maxsplit=1)[0]) / 1000 - self.epoch
        return any(
            stream in blow.victims and blow.began - BEFORE <= at and appended <= blow.ended + AFTER
            for blow in self.losses
        )

    def has_lost(self, stream: str) -> bool:
        """Whether a primary of the stream was lost, so that its end and its counters may have gone back."""
        return any(stream in blow.victims for blow in self.losses)


def judge(notes: ClusterNotes, evidence: ClusterEvidence) -> Account:
    journals = [notebook.lines for notebook in notes.handled.values()]
    sent, handled, ending = PendingSend.of(notes.sent.lines), Handled.of([notes.told.lines, *journals]), evidence.ending
    there = {Key(stream, id_): n for stream, entries in ending.entries.items() for id_, n in entries.items()}
    lost = Fault(0.0, "primaries lost", again=again_after_losses(journals, evidence))
    excess = handled.times - allowances(handled, [lost], there) - Counter(dict.fromkeys(handled.times, 1))
    plain = Evidence(ending, [], (), [], [], evidence.claim_idle, evidence.epoch)
    idled = claimed_again(journals, plain, losses(handled)) & excess
    late = Fault(0.0, "idle for long")
    for key, count in idled.items():
        late.again.setdefault(key.stream, []).extend([key.id] * count)
    account = balance(sent, handled, [lost, late], ending)

    claimed = sum(facts["entries"] for _, name, facts in handled.events if name in CLAIMS)
    if idled.total() > claimed:
        account.problems.append(f"{idled.total():,} entries came again as if claimed, and {claimed:,} were")
    account.complain("confirmed entries are gone", (key for key in sent.ids if key not in there))
    twice = Counter((key.stream, number) for key, number in there.items())
    account.complain("entries are there twice", (each for each, times in twice.items() if times > 1))
    account.complain("events tell of losses that there were not", lies(handled, evidence))
    account.complain("places where the reader is wrong", wrong_places(notes.readings, sent, evidence))
    for channel, heard in notes.shards.items():
        repeated, holes = untold(heard, notes.published[channel])
        account.complain(f"messages of {channel} came twice or out of order", repeated)
        account.complain(f"holes of {channel} not told", holes)
    for list_, pushed in notes.lists.items():
        account.complain(
            f"numbers of {list_} are wrong", wrongly_pushed(pushed, evidence.lists[list_], list_, evidence)
        )

    heard_numbers = sum(isinstance(one, int) for heard in notes.shards.values() for one in heard)
    published = sum(map(len, notes.published.values()))
    account.numbers |= {
        "... and by nothing but having been idle": idled.total(),
        "... of primaries that were lost": sum(1 for ids in lost.again.values() for _ in ids),
        "lives of the reader": len(notes.readings),
        "... ended by a reset": notes.resets,
        "shard messages published": published,
        "... heard": heard_numbers,
        "... missed, all within gaps that were told": published - heard_numbers,
        "numbers pushed in order": sum(map(len, evidence.lists.values())),
        "probes answered": notes.answered.total(),
        "... failed": notes.failed.total(),
    }
    return account


def lies(handled: Handled, evidence: ClusterEvidence) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """Events of losses, but for those that a lost primary makes true: an end that has gone back, and what that makes possible."""
    for event in handled.events:
        _, name, facts = event
        can_be = name == StreamReset.__name__ or (name == Gap.__name__ and not facts["certain"])
        if name in LIES and not (can_be and evidence.has_lost(facts["stream"])):
            yield event


def again_after_losses(journals: Iterable[list[Line]], evidence: ClusterEvidence) -> dict[str, list[str]]:
    """Entries that were handed over while their primary went away or came back, once more for each time."""
    again: dict[str, list[str]] = defaultdict(list)
    for lines in journals:
        for line in lines:
            if line.kind == "H" and evidence.may_come_again(line.words[0], line.words[1], line.at):
                again[line.words[0]].append(line.words[1])
    return again


def wrong_places(readings: Iterable[Reading], sent: PendingSend, evidence: ClusterEvidence) -> Iterator[str]:
    """Each life must have seen exactly what stands behind its cursor, but for entries that were lost with a primary."""
    entries = evidence.ending.entries
    orders = {stream: {id_: place for place, id_ in enumerate(ids)} for stream, ids in entries.items()}
    rest = {stream: set(ids) for stream, ids in entries.items()}
    for number, reading in enumerate(readings):
        seen: dict[str, list[str]] = defaultdict(list)
        for one in reading.seen:
            if one.id in orders[one.stream]:
                seen[one.stream].append(one.id)
                if entries[one.stream][one.id] != one.number:
                    yield f"life {number} in {one.stream} has {one.number} at {one.id}"
            elif Key(one.stream, one.id) in sent.ids or not evidence.losses:
                yield f"life {number} in {one.stream} has {one.id}, which is not there"
        for stream, ids in seen.items():
            rest[stream] -= set(ids)
            places = [orders[stream][id_] for id_ in ids]
            start = reading.cursor[stream]
            expected = 0 if start == BEGINNING else orders[stream].get(str(start), places[0] - 1) + 1
            if places[0] != expected:
                yield f"life {number} in {stream} begins with entry {places[0]}, not {expected}"
            yield from (f"life {number} in {stream}: {b} after {a}" for a, b in pairwise(places) if b != a + 1)
    yield from (f"{stream} {id_} was never read" for stream, ids in rest.items() for id_ in sorted(ids))


def untold(heard: Iterable[Heard], published: Collection[int]) -> tuple[list[str], list[str]]:
    """Find the messages that came again, and the holes, outside of gaps. A gap that is told again ends where it is told again.

    In a failover in order the former primary hands out the last messages, and passes them on to the new one.
    """
    repeated, holes = list[str](), list[str]()
    since_gap: tuple[list[str], list[str]] = ([], [])
    last, is_told = -1, False
    for one in [*heard, max(published, default=-1) + 1]:
        if not isinstance(one, int):
            if one != AGAIN:
                repeated += since_gap[0]
                holes += since_gap[1]
            since_gap, is_told = ([], []), True
            continue
        missing = [number for number in range(last + 1, one) if number in published]
        if one <= last and not is_told:
            since_gap[0].append(f"{one} after {last}")
        if missing and not is_told:
            since_gap[1].append(f"{len(missing)} between {last} and {one}")
        last, is_told = max(one, last), False
    return repeated + since_gap[0], holes + since_gap[1]


def wrongly_pushed(pushed: dict[int, str], there: list[int], key: str, evidence: ClusterEvidence) -> Iterator[str]:
    """Numbers rise, none is there twice; what was answered is there, unless its primary was lost; what was not sent is not."""
    yield from (f"{after} after {before}" for before, after in pairwise(there) if after <= before)
    found = set(there)
    can_be_lost = evidence.has_lost(key)
    for number, word in pushed.items():
        if word == DONE and number not in found and not can_be_lost:
            yield f"{number} was answered, and is missing"
        elif word == UNSENT and number in found:
            yield f"{number} was not sent, and is there"
