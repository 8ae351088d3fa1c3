"""The oracles of the contract. The soak's account is the group's and the producers'; here is what it has no words for.

Nothing is trimmed, deleted or destroyed in these runs, and no server loses what it has confirmed. So every confirmed entry
is in its stream in the end, a reader sees exactly what stands behind its cursor, and an event that tells of a loss is a lie;
but a subscriber is told of every hole. What may come again: see ``tests.soak.faults``, and whatever has been idle for
``claim_idle``, and was claimed: cut off, or on a busy machine, a member cannot say in time that it is alive. Where the reply to a claim
is lost, its entries are recovered. Where the other member stands still, too, they come back to the former, which has told their loss.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from streamcore.events import (
    ConsumerFenced,
    Degraded,
    EntriesClaimed,
    EntriesRecovered,
    EventsDropped,
    Gap,
    GroupRecreated,
    HandlerFailed,
    MessagesDropped,
    OwnershipLost,
    PendingEntriesDeleted,
    PossibleLoss,
    StreamReset,
)
from tests.soak.account import Account, Ending, Handled, Key, PendingSend, allowances, balance
from tests.soak.faults import Fault
from tests.soak.journal import Line

from .notes import DONE, GAP, UNSENT, Heard, Notes, Reading
from .workload import BEGINNING

LIES: Final = frozenset(
    kind.__name__
    for kind in (
        ConsumerFenced,
        Degraded,
        MessagesDropped,
        EventsDropped,
        Gap,
        GroupRecreated,
        HandlerFailed,
        StreamReset,
        PossibleLoss,
        PendingEntriesDeleted,
    )
)


CLAIMS: Final = frozenset({EntriesClaimed.__name__, EntriesRecovered.__name__})


@dataclass
class Evidence:
    """Everything that is known in the end, besides the notes. ``journals`` are those of worker processes.

    ``epoch`` is what the machine's time is ahead of the clock of the journals.
    """

    ending: Ending
    pushed: list[str]
    published: Collection[int]  # numbers that the primary has confirmed
    journals: list[list[Line]]
    faults: list[Fault]
    claim_idle: float
    epoch: float


def judge(notes: Notes, evidence: Evidence) -> Account:
    journals = [*(notebook.lines for notebook in notes.handled.values()), *evidence.journals]
    sent, handled, ending = PendingSend.of(notes.sent.lines), Handled.of([notes.told.lines, *journals]), evidence.ending
    there = {Key(stream, id_): n for stream, entries in ending.entries.items() for id_, n in entries.items()}
    excess = handled.times - allowances(handled, evidence.faults, there) - Counter(dict.fromkeys(handled.times, 1))
    idled = claimed_again(journals, evidence, losses(handled)) & excess
    late = Fault(0.0, "idle for long")
    for key, count in idled.items():
        late.again.setdefault(key.stream, []).extend([key.id] * count)
    account = balance(sent, handled, [*evidence.faults, late], ending)
    letters = Counter(Key(stream, id_) for stream, found in ending.letters.items() for id_, _ in found)

    claimed = sum(facts["entries"] for _, name, facts in handled.events if name in CLAIMS)
    if idled.total() > claimed:
        account.problems.append(f"{idled.total():,} entries came again as if claimed, and {claimed:,} were")
    account.complain("confirmed entries are gone", (key for key in sent.ids if key not in there))
    account.complain(
        "poisonous entries are no dead letters", (k for k, n in there.items() if n in sent.poison and not letters[k])
    )
    account.complain(
        "poisonous entries were acknowledged", (k for k in handled.acknowledged if there.get(k) in sent.poison)
    )
    account.complain("events tell of losses that there were not", (e for e in handled.events if e[1] in LIES))
    account.complain("places where the reader is wrong", wrong_places(notes.readings, ending))
    account.complain("messages came twice or out of order", out_of_order(notes.heard))
    account.complain("holes nobody told of", silent_holes(notes.heard, evidence.published))
    account.complain("replies were another request's", notes.foreign)
    account.complain("values were pushed wrongly", wrongly_pushed(notes.pushed, evidence.pushed))

    numbers = [one for one in notes.heard if isinstance(one, int)]
    account.numbers |= {
        "... and by nothing but having been idle": idled.total(),
        "lives of the reader": len(notes.readings),
        "messages published": len(evidence.published),
        "... heard": len(numbers),
        "... gaps told": notes.heard.count(GAP),
        "requests answered": notes.answered.total(),
        "... failed": notes.failed.total(),
        "values pushed": len(evidence.pushed),
        "... in doubt, and there": sum(
            notes.pushed[value] != DONE for value in evidence.pushed if value in notes.pushed
        ),
    }
    return account


def losses(handled: Handled) -> dict[Key, list[float]]:
    """When members have told that entries in their hands were pending for others."""
    lost: dict[Key, list[float]] = defaultdict(list)
    for at, name, facts in handled.events:
        if name == OwnershipLost.__name__:
            for id_ in facts["ids"]:
                lost[Key(facts["stream"], id_)].append(at)
    return lost


def claimed_again(
    journals: Iterable[Iterable[Line]], evidence: Evidence, lost: Mapping[Key, list[float]]
) -> Counter[Key]:
    """How often each entry came again that had been in the stream for long enough to be claimed.

    It came to another member, or to the same after it was ``lost``.
    """
    times: dict[Key, list[tuple[float, int]]] = defaultdict(list)
    for member, lines in enumerate(journals):
        for line in lines:
            if line.kind == "H":
                times[Key(line.words[0], line.words[1])].append((line.at, member))
    again: Counter[Key] = Counter()
    for key, found in times.items():
        claimable = int(key.id.split("-")[0]) / 1000 - evidence.epoch + evidence.claim_idle
        for (former, before), (at, member) in pairwise(sorted(found)):
            was_lost = any(former <= loss <= at for loss in lost.get(key, ()))
            again[key] += (member != before or was_lost) and at >= claimable
    return again


def wrong_places(readings: Iterable[Reading], ending: Ending) -> list[str]:
    """Each life must have seen exactly what stands behind its cursor, and all lives together everything."""
    wrong: list[str] = []
    rest = {stream: set(entries) for stream, entries in ending.entries.items()}
    for number, reading in enumerate(readings):
        for stream, entries in ending.entries.items():
            ids = list(entries)
            cursor = str(reading.cursor[stream])
            if cursor != str(BEGINNING) and cursor not in entries:
                wrong.append(f"life {number} begins in {stream} behind {cursor}, which is not there")
                continue
            first = 0 if cursor == str(BEGINNING) else ids.index(cursor) + 1
            seen = [one for one in reading.seen if one.stream == stream]
            expected = ids[first : first + len(seen)]
            for one, id_ in zip(seen, expected, strict=False):
                if one.id != id_ or one.number != entries[id_]:
                    wrong.append(f"life {number} in {stream} has {one.id} ({one.number}) for {id_} ({entries[id_]})")
                    break
            if len(seen) > len(expected):
                wrong.append(f"life {number} in {stream} goes on behind the end")
            rest[stream] -= {one.id for one in seen}
    wrong += [f"{stream} {id_} was never read" for stream, ids in rest.items() for id_ in sorted(ids)]
    return wrong


def out_of_order(heard: Iterable[Heard]) -> list[str]:
    numbers = [one for one in heard if isinstance(one, int)]
    return [f"{after} after {before}" for before, after in pairwise(numbers) if after <= before]


def silent_holes(heard: Iterable[Heard], published: Collection[int]) -> list[str]:
    """What was published between two messages with no gap between them. The end of it all is a message, too."""
    last, told, holes = -1, False, []
    for one in [*heard, max(published, default=-1) + 1]:
        if not isinstance(one, int):
            told = True
            continue
        missing = [number for number in range(last + 1, one) if number in published]
        if missing and not told:
            holes.append(f"{len(missing)} between {last} and {one}")
        last, told = one, False
    return holes


def wrongly_pushed(pushed: dict[str, str], there: Iterable[str]) -> list[str]:
    found = Counter(there)
    wrong = [f"{value} {times} times" for value, times in found.items() if times > 1 or value not in pushed]
    wrong += [f"{value} is {word}, and missing" for value, word in pushed.items() if word == DONE and not found[value]]
    wrong += [f"{value} is {word}, and there" for value, word in pushed.items() if word == UNSENT and found[value]]
    return wrong
