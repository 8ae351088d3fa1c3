"""Write wheels that are newer than everything that the locks pin: what an index will offer on some later day.

    python newer_releases.py FOLDER REQUIREMENTS...      then: PIP_FIND_LINKS=FOLDER pip install ...

Each is version ``YEARS`` of its package and holds nothing but its name, so whoever installs it by mistake notices.
Uses the standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from zipfile import ZipFile

YEARS = "9999.1"
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)


def pinned(requirements: list[Path]) -> set[str]:
    """The names of the packages that the files pin."""
    return {name for path in requirements for name in PIN.findall(path.read_text("utf-8"))}


def write_wheel(folder: Path, package: str) -> Path:
    """Write an empty wheel of a package; returns its path."""
    name = re.sub(r"[-_.]+", "_", package)
    info = f"{name}-{YEARS}.dist-info"
    path = folder / f"{name}-{YEARS}-py3-none-any.whl"
    with ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {YEARS}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def main(folder: Path, requirements: list[Path]) -> None:
    """Write a wheel for each pinned package."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted(pinned(requirements)):
        write_wheel(folder, package)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
