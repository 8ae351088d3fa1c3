"""Every contestant runs in an interpreter of its own, so that none pays for what another imported or left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.job import Job
from benchmarks.table import Contestant

ROOT = Path(__file__).resolve().parent.parent
"""Where ``benchmarks``, ``streamcore`` and ``transports`` are imported from."""

TIMEOUT = 60.0


class ContestantFailed(Exception):
    """The contestant's process ended with an error; the last line of what it wrote."""


def available(contestant: Contestant) -> bool:
    """Whether the module that the contestant needs can be found."""
    if not contestant.needs:
        return True
    try:
        return find_spec(contestant.needs) is not None
    except ImportError:
        return False


def run_contestant(contestant: Contestant, job: Job, when_ready: Callable[[], None] | None = None) -> dict[str, Any]:
    """Start the process, call ``when_ready`` once it waits for something to happen, and give what it measured."""
    spec = {
        "target": f"benchmarks.contestants.{contestant.target}",
        "kind": f"{type(job).__module__}:{type(job).__name__}",
        "job": {**asdict(job), "options": dict(contestant.options)},
    }
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(spec)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if when_ready is not None and process.stdout.readline():
            when_ready()
        output, errors = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise ContestantFailed(f"no end after {TIMEOUT:.0f} s") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode or not output:
        raise ContestantFailed((errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1])
    measured: dict[str, Any] = json.loads(output.splitlines()[-1])
    return measured
