"""Type checkers understand the public face, and see the mistakes that it makes impossible."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FACE = Path(__file__).with_name("face.py")
HEAD = """
from transports import asyncio, blocking, trio

async def wrong(client: asyncio.Client, sync: blocking.Client) -> None:
"""
# A line of code each, and the code of mypy's complaint.
MISTAKES = {
    "client.consumer('s', decode=5)": "call-overload",
    "client.consumer('s', blok=1)": "call-overload",
    "client.consumer('s', background=False)": "call-overload",
    "client.group_consumer('s')": "call-overload",
    "client.group_consumer(['s', 't'])": "call-overload",
    "client.producer('s', maxlenn=5)": "call-arg",
    "asyncio.connect(request_timout=5)": "call-arg",
    "asyncio.connect(5)": "arg-type",
    "await client.xlen()": "call-arg",
    "await client.xlen('s', 't')": "call-arg",
    "(await client.xlen('s')).upper()": "attr-defined",
    "sync.xlen('s').upper()": "attr-defined",
    "client.xlen('s') + 1": "operator",
    "(await client.get('key')).decode()": "union-attr",
    "await client.set('k', 'v', nx=True, gt=True)": "call-overload",
    "(await client.set('k', 'v', nx=True)).decode()": "attr-defined",
    "(await client.lpop('k', count=2)).decode()": "union-attr",
    "sync.zrange('k', 0, -1)[0].score": "attr-defined",
    "await client.xgroup_create('s', 'g', begin='0')": "call-arg",
    "await client.xadd('s', {'a': 1}, refs='forget')": "arg-type",
    "await client.expire('k', '5')": "arg-type",
    "await client.blpop('k')": "call-arg",
    "await client.transaction()": "call-overload",
    "[c async for c in client.transaction(watch='k')]": "attr-defined",
    "client.script('return 1', 5)": "call-overload",
    "client.consumer('s', merge='time')": "call-overload",
    "client.consumer('s', on_disconnect='ignore')": "call-overload",
    "client.consumer('s').add_stream()": "call-arg",
    "[e async for e in client]": "attr-defined",
    "[e for e in client.consumer('s')]": "attr-defined",
    "[e async for e in sync.consumer('s')]": "attr-defined",
    "[e.ack() async for e in client.consumer('s')]": "attr-defined",
    "[e['a'] + 'text' async for e in client.consumer('s')]": "operator",
    "[e['a'] + b'' async for e in client.consumer('s', decode='utf-8')]": "operator",
}


def mypy(*arguments: str) -> str:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False).stdout


@pytest.mark.timeout(150)
def test_the_types_of_the_face() -> None:
    assert mypy(str(FACE)) == ""


@pytest.mark.timeout(150)
def test_mistakes_are_seen(tmp_path: Path) -> None:
    source = tmp_path / "mistakes.py"
    source.write_text(HEAD + "".join(f"    {line}\n" for line in MISTAKES))
    complaints = re.findall(r"mistakes\.py:(\d+): error: .*\[([a-z-]+)\]", mypy(str(source)))
    first = HEAD.count("\n") + 1
    found: dict[str, str] = {}
    for number, code in complaints:
        found.setdefault(list(MISTAKES)[int(number) - first], code)
    assert found == MISTAKES
