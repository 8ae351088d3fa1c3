"""The pages that tell what streamcore does, run again, with ``memory://`` in the place of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_docs import DOCS, ROOT, blocks, where
from transports.memory import MemoryServer

# The tutorial starts processes, which would have servers of their own.
PAGES = sorted([ROOT / "README.md", DOCS / "index.md", *(DOCS / "guides").glob("*.md")])
MISSING = ("key_events(", "track=", "client.script(", "function_load(", 'raw("ACL"')  # in the model; an error says so


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with MemoryServer() as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        yield


@pytest.mark.parametrize("page", PAGES, ids=where)
@pytest.mark.usefixtures("memory")
@pytest.mark.filterwarnings("ignore::BytesWarning")  # a page may print bytes
def test_a_page_runs_without_a_server(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        needs_more = any(call in block.code for call in MISSING)
        if block.language == "python" and not (block.reason or block.title or needs_more):
            block.run(namespace)
