"""One contestant in one clean interpreter: ``python -m benchmarks.worker JSON`` prints what it measured."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any

from benchmarks.job import Job


def main() -> None:
    spec = json.loads(sys.argv[1])
    job: Job = _named(spec["kind"])(**spec["job"])
    _named(spec["target"])(job)
    os.write(1, (json.dumps({"results": job.results, "samples": job.samples}) + "\n").encode())


def _named(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(import_module(module), attribute)


if __name__ == "__main__":
    main()
