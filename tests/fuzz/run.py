"""``python -m tests.fuzz.run [--seed N] [FRAMES]``: feed frames to both decoders and compare what they make of them.

Half of the frames are RESP3 and half are damaged. Frame n is made of seed + n, so a failure is repeated by ``--seed`` and 1.
"""

from __future__ import annotations

import argparse
import time
from random import Random

from tests.fuzz.frames import cut, frame, mutate
from tests.fuzz.judge import judge_any, judge_valid


def judge(seed: int) -> None:
    """Make frame ``seed`` and look at what becomes of it."""
    random = Random(seed)
    wire = frame(random)
    if seed % 2:
        judge_valid(wire, cut(random, wire))
    else:
        wire = mutate(random, wire) + b"\r\n"  # hiredis may object to a line before it ends
        judge_any(wire, cut(random, wire))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("frames", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    for number in range(options.frames):
        try:
            judge(options.seed + number)
        except BaseException:
            print(f"frame {options.seed + number} fails: --seed {options.seed + number} 1", flush=True)
            raise
        if (number + 1) % 100_000 == 0:
            rate = (number + 1) / (time.perf_counter() - start)
            print(f"{number + 1:,} frames, {rate:,.0f} per second", flush=True)
    print(f"{options.frames:,} frames from seed {options.seed}: none failed")


if __name__ == "__main__":
    main()
