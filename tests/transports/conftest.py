"""Every ``async def test_...(runtime, ...)`` in this folder is a scenario, and runs once on each runtime.

``@pytest.mark.runtimes("trio", "pumped")`` names the runtimes of a scenario that is not for all of them; ``"async"`` and
``"threads"`` stand for those of one kind. ``@pytest.mark.core("group/test_attempts")`` names the files of ``tests/core`` that prove the
same: of such a scenario, only the answers of real servers are in question, and one runtime of each kind runs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw import Raw
from tests.support.servers import VALKEY
from tests.transports.runtimes import ASYNC, RUNTIMES, THREADS, Runtime
from transports.embedded import EmbeddedServer

CORE = Path(__file__).parent.parent / "core"
KINDS: dict[str, tuple[Runtime, ...]] = {"async": ASYNC, "threads": THREADS}
ONE_OF_EACH_KIND = ("asyncio", "trio", "background")
LIMIT = 30  # seconds, unless the test says otherwise


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "runtimes(*names): the runtimes of this scenario, where it is not for all")
    config.addinivalue_line(
        "markers", "core(*files): the files of tests/core that prove the same; one runtime of each kind runs it"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "runtime" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("runtimes")
        names = marker.args if marker else KINDS
        chosen = [runtime for name in names for runtime in KINDS.get(name, RUNTIMES) if name in (*KINDS, runtime.name)]
        assert chosen, f"{metafunc.definition.name} runs on no runtime"
        metafunc.parametrize("runtime", chosen, ids=[runtime.name for runtime in chosen])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("core"):
            assert marker.args, f"{item.nodeid} says not where the core proves it"
            missing = [file for file in marker.args if not (CORE / f"{file}.py").is_file()]
            assert not missing, f"{item.nodeid} is not proven by {missing}"
    items[:] = [item for item in items if not isinstance(item, pytest.Function) or _is_worthwhile(item)]
    for item in items:
        if "runtime" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT))


def _is_worthwhile(item: pytest.Function) -> bool:
    """Runtimes differ in sockets and tasks, servers in their answers: another server needs one runtime of each kind, and so does what
    the core's own tests prove.
    """
    parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    runtime, kind = parameters.get("runtime"), parameters.get("server_kind", VALKEY)
    if runtime is None or runtime.name in ONE_OF_EACH_KIND:
        return True
    return kind == VALKEY and (
        item.get_closest_marker("core") is None or item.get_closest_marker("runtimes") is not None
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    runtime: Runtime = arguments.pop("runtime")
    runtime.run(partial(pyfuncitem.obj, runtime=runtime, **arguments))
    return True


@pytest.fixture
def raw(server: EmbeddedServer) -> Iterator[Raw]:
    """The tests' own eyes and hands on ``server``."""
    with Raw(server.address) as raw:
        yield raw


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the transports log: every event, as soon as it happens."""
    caplog.set_level("DEBUG", "streamcore")
    return caplog
