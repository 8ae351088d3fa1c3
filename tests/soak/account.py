"""The account of a run, from nothing but what the processes wrote down and what the server has in the end.

Nothing is lost: every id that the producer was given, and that is in the stream still, was handed over, and acknowledged or
made a dead letter; nothing is pending, and the group has passed all of them. Entries that were removed before anybody saw
them are told by an event. Nothing is invented. Nothing comes more often than ``faults`` allows.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamcore import StreamId

from .faults import DELETED, Fault, above
from .journal import Line
from .settings import UNTOUCHED

SHOWN = 5  # examples in a complaint


class Key(NamedTuple):
    stream: str
    id: str


@dataclass
class Ending:
    """What the server has in the end, by stream: entries with their numbers, what is pending or not delivered, letters."""

    entries: dict[str, dict[str, int]]
    unsettled: dict[str, int] = field(default_factory=dict)
    letters: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # origin's id, and number of deliveries


@dataclass
class Account:
    """The numbers, and everything that is wrong, in words."""

    numbers: dict[str, int] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def complain(self, what: str, found: Iterable[object]) -> None:
        listed = list(found)
        if listed:
            examples = ", ".join(map(str, listed[:SHOWN]))
            self.problems.append(f"{len(listed):,} {what}: {examples}{', ...' if len(listed) > SHOWN else ''}")


@dataclass
class PendingSend:
    """What the producer says."""

    streams: dict[int, str] = field(default_factory=dict)  # of each number
    ids: dict[Key, int] = field(default_factory=dict)
    confirmed_at: dict[Key, float] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    poison: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, lines: Iterable[Line]) -> PendingSend:
        sent = cls()
        for at, kind, words in lines:
            number = int(words[0])
            match kind:
                case "S":
                    sent.streams[number] = words[1]
                    if words[2] == "1":
                        sent.poison.add(number)
                case "I":
                    key = Key(sent.streams[number], words[1])
                    sent.ids[key], sent.confirmed_at[key] = number, at
                case "U":
                    sent.unknown.add(number)
                case _:
                    sent.failed.add(number)
        return sent


@dataclass
class Handled:
    """What the workers say."""

    times: Counter[Key] = field(default_factory=Counter)
    numbers: dict[Key, set[int]] = field(default_factory=lambda: defaultdict(set))
    acknowledged: set[Key] = field(default_factory=set)
    given_back: Counter[Key] = field(default_factory=Counter)
    events: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, journals: Iterable[Iterable[Line]]) -> Handled:
        handled = cls()
        for lines in journals:
            for at, kind, words in lines:
                if kind == "E":
                    handled.events.append((at, words[0], json.loads(words[1])))
                    continue
                key = Key(words[0], words[1])
                match kind:
                    case "H":
                        handled.times[key] += 1
                        handled.numbers[key].add(int(words[2]))
                    case "A":
                        handled.acknowledged.add(key)
                    case _:
                        handled.given_back[key] += 1
        handled.events.sort(key=lambda event: event[0])
        return handled


def balance(sent: PendingSend, handled: Handled, faults: list[Fault], ending: Ending) -> Account:
    account = Account(events=Counter(name for _, name, _ in handled.events))
    there = {Key(stream, id_): n for stream, entries in ending.entries.items() for id_, n in entries.items()}
    letters = Counter(Key(stream, id_) for stream, found in ending.letters.items() for id_, _ in found)

    # What the producer was told is true.
    account.complain("entries have another number than the one sent", _differing(sent.ids, there))
    account.complain("entries failed and are in the stream", sorted(sent.failed & set(there.values())))
    kept = [key for key in sent.ids if key.stream == UNTOUCHED]
    account.complain("confirmed entries are gone", (key for key in kept if key not in there))
    twice = Counter(n for key, n in there.items() if key.stream == UNTOUCHED)
    account.complain("idempotent entries are there twice", (n for n, times in twice.items() if times > 1))

    # Nothing is lost.
    account.complain("entries were never handed over", (key for key in there if not handled.times[key]))
    settled = handled.acknowledged | letters.keys()
    account.complain(
        "entries were handed over and never settled",
        (key for key in there if handled.times[key] and key not in settled),
    )
    for what, count in ending.unsettled.items():
        if count:
            account.problems.append(f"{count:,} entries are {what}")
    unread = [key for key in sent.ids if key not in there and not handled.times[key]]
    silent = [key for key in unread if not _is_told(key, sent.confirmed_at[key], handled, faults)]

    # Nothing is invented.
    known = {*sent.ids.values(), *sent.unknown}
    invented = (key for key, numbers in handled.numbers.items() if len(numbers) > 1 or not numbers <= known)
    account.complain("entries were handed over that nobody sent", invented)

    # Nothing comes too often.
    allowed = allowances(handled, faults, there)
    doubled = {key: times - 1 for key, times in handled.times.items() if times > 1}
    account.complain(
        "entries came too often",
        (
            f"{key.stream} {key.id} {extra + 1} times, {allowed[key] + 1} allowed"
            for key, extra in doubled.items()
            if extra > allowed[key]
        ),
    )

    # Dead letters are those that deserve it.
    numbers = {**sent.ids, **there}
    healthy = [key for key in letters if numbers.get(key) not in sent.poison]
    account.complain(
        "healthy entries are dead letters", (f"{key} after {handled.times[key]} deliveries" for key in healthy)
    )
    twice_dead = (key for key, count in letters.items() if count > 1 and not allowed[key])
    account.complain("entries are dead letters twice", twice_dead)

    account.numbers = {
        "sent, and confirmed": len(sent.ids),
        "sent, and in doubt": len(sent.unknown),
        "refused": len(sent.failed),
        "in the streams in the end": len(there),
        "handed over": handled.times.total(),
        "different ones": len(handled.times),
        "handed over again": sum(doubled.values()),
        "... allowed by the faults": allowed.total(),
        "given back by the worker": handled.given_back.total(),
        "poisonous": sum(n in sent.poison for n in sent.ids.values()),
        "dead letters": letters.total(),
        "... of different entries": len(letters),
        "... of healthy ones": len(healthy),
        "removed before anybody saw them": len(unread),
        "... and not told by an event": len(silent),
    }
    return account


def allowances(handled: Handled, faults: list[Fault], there: Mapping[Key, int]) -> Counter[Key]:
    """How often each entry may come again: see ``faults``."""
    allowed = Counter(handled.given_back)
    for fault in faults:
        for stream, ids in fault.again.items():
            allowed.update(Key(stream, id_) for id_ in ids)
    for fault in faults:
        if fault.destroyed is not None:
            mark = _recreated_at(fault, faults, handled)
            known = {*handled.times, *there}
            allowed.update(
                key
                for key in known
                if key.stream == fault.destroyed and above(key.id, mark) and not above(key.id, fault.delivered)
            )
    return allowed


def _recreated_at(fault: Fault, faults: list[Fault], handled: Handled) -> str:
    """The mark at which the group was created again; the beginning, where whoever did it died before telling."""
    stream = fault.destroyed
    ends = (f.at for f in faults if f.at > fault.at and (f.destroyed or f.kind == DELETED) and f.detail == stream)
    until = min(ends, default=float("inf"))
    marks = (
        fault.delivered if facts["start"] == "$" else facts["start"]
        for at, name, facts in handled.events
        if name in ("GroupRecreated", "GroupCreated") and facts["stream"] == stream and fault.at <= at < until
    )
    return next(marks, "0-0")


def _is_told(key: Key, confirmed_at: float, handled: Handled, faults: list[Fault]) -> bool:
    """Whether an event tells that an entry was removed before anybody saw it."""
    deleted = [fault.at for fault in faults if fault.kind == DELETED and fault.detail == key.stream]
    gone_at = min((at for at in deleted if at > confirmed_at), default=float("inf"))
    for at, name, facts in handled.events:
        if facts.get("stream") != key.stream:
            continue
        if name == "PendingEntriesDeleted" and key.id in facts["ids"]:
            return True
        if name == "GroupRecreated" and at > gone_at:
            return True  # the stream had vanished, and all that was in it
        if name == "Gap" and above(key.id, _id(facts["after"])):
            before = facts["before"]
            if before is None or above(_id(before), key.id):
                return True
    return False


def _id(parts: list[int]) -> str:
    return str(StreamId(*parts))


def _differing(ids: Mapping[Key, int], there: Mapping[Key, int]) -> list[Key]:
    return [key for key, number in ids.items() if there.get(key, number) != number]
