"""The locks pin every package by hash, agree with each other, and stay installable when newer releases are out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = {path.stem.removeprefix("requirements-"): path for path in sorted(ROOT.glob("requirements-*.txt"))}
PIN: Final = re.compile(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==\S+ (; .+ )?(--hash=sha256:[0-9a-f]{64} ?)+")


def lines(lock: Path) -> Iterator[str]:
    """A pin a line, its hashes behind it."""
    yield from (
        line for line in lock.read_text("utf-8").replace(" \\\n   ", "").splitlines() if not line.startswith("#")
    )


def pins(lock: Path) -> Iterator[Requirement]:
    yield from (Requirement(line.partition(" --hash")[0]) for line in lines(lock))


class Asked(NamedTuple):
    """An extra that an installed package wants of another."""

    by: str
    of: str
    extra: str


def asked_extras(package: Distribution, extras: set[str]) -> Iterator[Asked]:
    """The extras that a package, installed with these of its own extras, asks for on this Python."""
    for text in package.requires or ():
        wanted = Requirement(text)
        applies = wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in extras | {""})
        if applies:
            yield from (Asked(package.name, canonicalize_name(wanted.name), extra) for extra in sorted(wanted.extras))


def locked_extras(lock: Path) -> dict[str, set[str]]:
    """The packages that a lock pins on this Python, each with the extras of its pins."""
    found: dict[str, set[str]] = defaultdict(set)
    for pin in pins(lock):
        if pin.marker is None or pin.marker.evaluate():
            found[pin.name].update(pin.extras)
    return found


def missing_extras(lock: Path) -> list[Asked]:
    """The extras that installed packages of a lock ask for, and that it does not pin."""
    locked = locked_extras(lock)
    missing: list[Asked] = []
    for name, extras in locked.items():
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # of another use than that of this environment
        missing += [asked for asked in asked_extras(package, extras) if asked.extra not in locked[asked.of]]
    return missing


def test_there_is_a_lock_for_each_use() -> None:
    assert list(LOCKS) == ["bench", "core", "demo", "docs", "lint", "test"]


@pytest.mark.parametrize("use", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_index(use: str) -> None:
    assert [line[:80] for line in lines(LOCKS[use]) if not PIN.fullmatch(line)] == []
    assert [line[:80] for line in lines(LOCKS[use]) if re.search(r"://|--(?!hash=)", line)] == []


def test_the_locks_agree() -> None:
    """So that one environment serves several uses."""
    versions: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for use, lock in LOCKS.items():
        for name in {pin.name for pin in pins(lock)}:
            told = sorted(str(pin.specifier) for pin in pins(lock) if pin.name == name)
            versions[name].add((use, " ".join(dict.fromkeys(told))))
    assert {name: told for name, told in versions.items() if len({version for _, version in told}) > 1} == {}


def test_every_extra_that_a_locked_package_asks_for_is_in_the_lock() -> None:
    """A pip before 23.3 refuses ``coverage[toml]>=7`` beside the pin ``coverage==7.1`` as soon as a newer one is out."""
    assert {use: missing for use, lock in LOCKS.items() if (missing := missing_extras(lock))} == {}


def test_a_missing_extra_is_seen(tmp_path: Path) -> None:
    stripped = tmp_path / "requirements-test.txt"
    stripped.write_text(re.sub(r"\[[a-z0-9,-]+\]==", "==", LOCKS["test"].read_text("utf-8")))
    assert Asked("pytest-cov", "coverage", "toml") in missing_extras(stripped)


def test_the_demo_is_small() -> None:
    on_linux = [pin for pin in pins(LOCKS["demo"]) if pin.marker is None or pin.marker.evaluate()]
    assert len(on_linux) <= 25


def test_nothing_of_development_is_published() -> None:
    """Neither as an extra, nor as what an extra brings."""
    extras = {"anyio", "demo", "embedded", "litestar", "trio", "uvloop"}
    published = distribution("streamcore-redis").metadata.get_all("Provides-Extra") or []
    assert set(published) == extras
