"""``python -m tests.fuzz.fuzz_decoder [libFuzzer's options]``: coverage-guided fuzzing of both decoders, by atheris.

Without atheris each file of the corpus is run once, which is what the test suite does. The first byte of the input says how the
rest is cut; new findings belong into ``corpus``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

from tests.fuzz.judge import judge_any

CORPUS: Final = Path(__file__).with_name("corpus")


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that libFuzzer's harnesses have
    """Feed the input to both decoders; fails where an exception escapes, or they disagree before an error."""
    if not data:
        return
    wire = data[1:] + b"\r\n"
    size = data[0] or len(wire)
    judge_any(wire, [wire[at : at + size] for at in range(0, len(wire), size)])


def main() -> None:
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        files = sorted(CORPUS.iterdir())
        for file in files:
            TestOneInput(file.read_bytes())
        print(f"there is no atheris; {len(files)} files of the corpus pass")
    else:
        atheris.instrument_all()
        atheris.Setup([*sys.argv, str(CORPUS)], TestOneInput)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
