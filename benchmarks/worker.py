"""One contestant in one clean interpreter: ``python -m benchmarks.worker JSON`` prints what it measured."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from benchmarks.job import Job


def main() -> None:
    spec = json.loads(sys.argv[1])
    module, function = spec["target"].split(":")
    job = Job(**spec["job"])
    getattr(import_module(module), function)(job)
    os.write(1, (json.dumps({"results": job.results, "samples": job.samples}) + "\n").encode())


if __name__ == "__main__":
    main()
