from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.frames import cut, frame, mutate
from tests.fuzz.fuzz_decoder import CORPUS, TestOneInput
from tests.fuzz.run import judge

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("seed", range(0, 200_000, 50_000))
def test_the_decoders_agree_on_any_frame_sound_or_damaged(seed: int) -> None:
    for number in range(seed, seed + 50_000):
        judge(number)


def test_a_frame_is_the_same_each_time() -> None:
    for seed in range(100):
        first, second = Random(seed), Random(seed)
        wire = frame(first)
        assert wire == frame(second)
        assert mutate(first, wire) == mutate(second, wire)
        assert cut(first, wire) == cut(second, wire)


@pytest.mark.parametrize("file", sorted(CORPUS.iterdir()), ids=lambda file: file.name)
def test_the_corpus_passes(file: Path) -> None:
    data = file.read_bytes()
    for size in {data[0], 0, 1, 2, 3, 7}:
        TestOneInput(bytes([size]) + data[1:])


def test_the_harness_runs_without_atheris() -> None:
    command = [sys.executable, "-bb", "-m", "tests.fuzz.fuzz_decoder"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
