"""What a user installs: the two packages, what they declare about themselves, and little else."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Final
from zipfile import ZipFile

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("streamcore", "transports")
DATA: Final = PurePosixPath("transports/cli/data")
FACTS: Final = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"}

pytestmark = pytest.mark.skipif(find_spec("hatchling") is None, reason="the build backend is not installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[PurePosixPath, int]:
    """The files of the wheel, and how large each is within it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [path] = folder.iterdir()
    with ZipFile(path) as archive:
        return {PurePosixPath(member.filename): member.compress_size for member in archive.infolist()}


def kind(path: PurePosixPath) -> str:
    if path.parts[0].endswith(".dist-info") and path.name in FACTS:
        return "facts"
    if path.parts[0] not in PACKAGES or "tests" in path.parts:
        return "stray"
    if path.parent == DATA:
        return "data"
    return "code" if path.suffix == ".py" or path.name == "py.typed" else "stray"


def test_it_has_code_and_little_data_and_nothing_else(wheel: dict[PurePosixPath, int]) -> None:
    assert [str(path) for path in wheel if kind(path) == "stray"] == []
    sizes: Counter[str] = Counter()
    for path, size in wheel.items():
        sizes[kind(path)] += size
    assert sizes["data"] < sizes.total() / 6, f"what is shipped for the demo has grown: {sizes}"


def test_it_has_every_module_of_the_tree(wheel: dict[PurePosixPath, int]) -> None:
    modules = {
        PurePosixPath(path.relative_to(ROOT).as_posix()) for name in PACKAGES for path in (ROOT / name).rglob("*.py")
    }
    assert {path for path in wheel if path.suffix == ".py"} == modules
