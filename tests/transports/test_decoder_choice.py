from __future__ import annotations

import os
import subprocess
import sys

import pytest

from streamcore.errors import InvalidArgument, MissingExtra
from streamcore.resp3._hiredis import HIREDIS
from transports._facade.settings import Settings


@pytest.mark.parametrize("kind", ["auto", "hiredis", "python"])
def test_the_environment_chooses_the_decoder(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("STREAMCORE_DECODER", kind)
    assert Settings.of("redis://localhost", {}).options.decoder == kind


def test_without_a_choice_it_is_hiredis_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMCORE_DECODER", raising=False)
    assert Settings.of("redis://localhost", {}).options.decoder == "auto"


def test_a_wrong_choice_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCORE_DECODER", "java")
    with pytest.raises(InvalidArgument, match="STREAMCORE_DECODER is 'java'; choose one of auto, hiredis, python"):
        Settings.of("redis://localhost", {})


def test_hiredis_cannot_be_chosen_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCORE_DECODER", "hiredis")
    monkeypatch.setattr(HIREDIS, "load", lambda: None)
    with pytest.raises(MissingExtra, match="needs hiredis"):
        Settings.of("redis://localhost", {})


IN_TASKS = """
async def main():
    async with connect("memory://") as client:
        await client.xadd("orders", {"total": "9.50"})
        async with client.group_consumer("orders", group="billing") as consumer:
            print((await consumer.get(timeout=5))["total"])
"""
PROGRAMS = {
    "asyncio": f"from transports.asyncio import connect\n{IN_TASKS}\nimport asyncio\nasyncio.run(main())",
    "trio": f"from transports.trio import connect\n{IN_TASKS}\nimport trio\ntrio.run(main)",
    "anyio": f"from transports.anyio import connect\n{IN_TASKS}\nimport anyio\nanyio.run(main)",
    "threads": """
from transports.blocking import connect
with connect("memory://") as client:
    client.xadd("orders", {"total": "9.50"})
    with client.group_consumer("orders", group="billing") as consumer:
        print(consumer.get(timeout=5)["total"])
""",
}


@pytest.mark.parametrize(("chosen", "loaded"), [("python", False), ("hiredis", True)])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_who_chooses_python_does_not_import_hiredis(program: str, chosen: str, loaded: bool) -> None:
    """On a free-threaded Python, the import alone would bring the global lock back."""
    command = [sys.executable, "-c", f"{program}\nimport sys\nprint('hiredis' in sys.modules)"]
    environment = os.environ | {"STREAMCORE_DECODER": chosen}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", f"b'9.50'\n{loaded}\n")


def test_importing_everything_does_not_import_hiredis() -> None:
    imports = "import streamcore, transports.asyncio, transports.trio, transports.anyio, transports.blocking, sys"
    done = subprocess.run([sys.executable, "-c", f"{imports}\nassert 'hiredis' not in sys.modules"], check=False)
    assert done.returncode == 0
