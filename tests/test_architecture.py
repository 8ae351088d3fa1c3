"""The laws that no import can enforce, read off the source: nothing here runs the code it judges.

A failure names ``file:line`` and the law. ``lint-imports`` checks the layers; a look at ``sys.modules`` could not, because
every interpreter has loaded ``time`` and ``os`` before the first line of ours.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from streamcore.version import VERSION

ROOT: Final = Path(__file__).resolve().parent.parent
CORE: Final = ROOT / "streamcore"
TRANSPORTS: Final = ROOT / "transports"
TESTS: Final = ROOT / "tests"
MAX_LINES: Final = 400
MAX_DRIVER_LINES: Final = 150
MAX_ARGUMENTS: Final = 6
BROKEN_OFF: Final = re.compile(r"^ *\)  # (?!fmt:|noqa|type:|pyright:)", re.MULTILINE)

# What each forbidden import would bring into the core; the message of a failure says it.
FORBIDDEN: Final = {
    **dict.fromkeys(("asyncio", "trio", "anyio", "uvloop", "sniffio"), "a runtime"),
    **dict.fromkeys(("socket", "ssl", "select", "selectors", "socketserver", "http", "urllib"), "I/O"),
    **dict.fromkeys(("os", "io", "subprocess", "multiprocessing", "signal", "pathlib", "tempfile"), "the system"),
    **dict.fromkeys(("threading", "_thread", "concurrent", "queue", "sched"), "threads"),
    **dict.fromkeys(("time", "zoneinfo"), "a clock: `now` is an input"),
    **dict.fromkeys(("random", "secrets", "uuid"), "randomness: `random` is injected"),
    "logging": "a log: emit an event",
    **dict.fromkeys(("importlib", "imp", "runpy", "pkgutil"), "imports that no tool can see"),
    "transports": "the layer above",
}
FORBIDDEN_CALLS: Final = {
    **dict.fromkeys(("print", "open", "input", "breakpoint"), "I/O"),
    **dict.fromkeys(("__import__", "exec", "eval"), "imports that no tool can see"),
}
CLOCKS: Final = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
SEAM: Final = "hiredis"  # the one third-party import, and only in streamcore.resp3


def imported(node: ast.AST, package: str) -> Iterator[str]:
    """The absolute names of the modules that a statement of a module in ``package`` imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        yield ".".join(filter(None, (base, node.module)))


def broken_laws(source: str, module: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """The lines of a core module that break the law of purity, and why. Imports inside functions count as well."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        for name in imported(node, package):
            top = name.partition(".")[0]
            line = getattr(node, "lineno", 0)
            if top in FORBIDDEN:
                yield line, f"imports {name}, which is {FORBIDDEN[top]}"
            elif top == SEAM:
                if not f"{module}.".startswith("streamcore.resp3."):
                    yield line, f"imports {name}; only streamcore.resp3 may"
            elif top != "streamcore" and top not in sys.stdlib_module_names:
                yield line, f"imports {name}, a third-party package; {SEAM} is the only one allowed"
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield node.lineno, f"calls {name}(), which is {FORBIDDEN_CALLS[name]}"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=attribute)):
                if (owner, attribute) in CLOCKS:
                    yield node.lineno, f"calls {owner}.{attribute}(), which is a clock: `now` is an input"


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def where(path: Path, line: int | None = None) -> str:
    return f"{path.relative_to(ROOT).as_posix()}{'' if line is None else f':{line}'}"


def fail_if(problems: list[str], law: str) -> None:
    if problems:
        pytest.fail("\n  ".join([law, *problems]), pytrace=False)


def test_the_core_is_pure() -> None:
    problems = []
    for path in python_files(CORE):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        laws = broken_laws(path.read_text("utf-8"), module, is_package=is_package)
        problems += [f"{where(path, line)}: {why}" for line, why in laws]
    assert python_files(CORE), "streamcore has no files: is this the project's root?"
    fail_if(problems, "streamcore performs no I/O, reads no clock, draws no lots and writes no log:")


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("streamcore.connection.link", "import time", "imports time"),
        ("streamcore.connection.link", "import os.path as p", "imports os.path"),
        ("streamcore.connection.link", "from asyncio import sleep", "imports asyncio"),
        ("streamcore.connection.link", "def f():\n    import random", "imports random"),
        (
            "streamcore.connection.link",
            "if TYPE_CHECKING:\n    from transports.x import Client",
            "imports transports.x",
        ),
        ("streamcore.connection.link", "try:\n    import ssl\nexcept ImportError: ...", "imports ssl"),
        ("streamcore.connection.link", "import hiredis", "only streamcore.resp3"),
        ("streamcore.resp3x", "import hiredis", "only streamcore.resp3"),
        ("streamcore.connection.link", "from attrs import define", "a third-party package"),
        ("streamcore.connection.link", "__import__('time')", "calls __import__()"),
        ("streamcore.connection.link", "print('x')", "calls print()"),
        ("streamcore.connection.link", "x = datetime.now()", "a clock"),
        ("streamcore.connection.link", "x = datetime.datetime.now()", "a clock"),
    ],
)
def test_a_broken_law_is_noticed(module: str, source: str, why: str) -> None:
    [(_line, message)] = broken_laws(source, module)
    assert why in message


def test_a_broken_law_has_a_line() -> None:
    found = broken_laws("x = 1\n\ndef f():\n    import time\n\nprint(x)", "streamcore.connection.link")
    assert sorted(line for line, _ in found) == [4, 6]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("streamcore.resp3.decoder", "import hiredis"),
        ("streamcore.connection.link", "from .connection import time"),
        ("streamcore.resp3.decoder", "from ..errors import RemoteProtocolError"),
        ("streamcore.connection.link", "from collections.abc import Callable"),
        ("streamcore.connection.link", "from datetime import timedelta\nself.now()"),
    ],
)
def test_what_is_allowed_is_not_reported(module: str, source: str) -> None:
    assert list(broken_laws(source, module)) == []


def test_no_file_is_too_long_to_read() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in python_files(CORE, TRANSPORTS)}
    problems = [f"{where(path, MAX_LINES)}: the file has {n} lines" for path, n in lengths.items() if n > MAX_LINES]
    fail_if(problems, f"a file of more than {MAX_LINES} lines is two files that have not met yet:")


def test_no_comment_breaks_a_line() -> None:
    """The formatter breaks a line that is too long only by its comment, and leaves the comment at the closing bracket."""
    problems: list[str] = []
    for path in python_files(CORE, TRANSPORTS, TESTS):
        text = path.read_text("utf-8")
        problems += [where(path, text.count("\n", 0, found.start()) + 1) for found in BROKEN_OFF.finditer(text)]
    fail_if(problems, "a comment that makes its line too long belongs above it:")


def test_a_driver_is_short() -> None:
    drivers = sorted(TRANSPORTS.glob("*/driver.py"))
    assert [path.parent.name for path in drivers] == ["asyncio", "blocking", "trio"]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in drivers}
    problems = [f"{where(path)}: it has {n} lines" for path, n in lengths.items() if n > MAX_DRIVER_LINES]
    fail_if(problems, f"a driver of more than {MAX_DRIVER_LINES} lines decides what the core should have said:")


def long_constructors(source: str) -> Iterator[tuple[int, str]]:
    """The classes whose constructors take too many arguments, with their lines. Keywords, which are options mostly, do not count."""
    for node in ast.walk(ast.parse(source)):
        for method in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                _, *given = (*method.args.posonlyargs, *method.args.args)
                if len(given) > MAX_ARGUMENTS:
                    yield method.lineno, f"it takes {len(given)}"


def test_a_part_gets_what_it_needs() -> None:
    found = {path: long_constructors(path.read_text("utf-8")) for path in python_files(CORE)}
    problems = [f"{where(path, line)}: {why}" for path, long in found.items() for line, why in long]
    fail_if(problems, f"a part that needs more than {MAX_ARGUMENTS} arguments is two parts, or gets the whole house:")


def test_a_constructor_that_gets_the_house_is_noticed() -> None:
    source = "def f(a, b, c, d, e, f, g): ...\nclass Part:\n    def __init__(self, a, /, b, c, d, e, f{}, *, h=1): ..."
    assert [*long_constructors(source.format(""))] == []
    assert [*long_constructors(source.format(", g"))] == [(3, "it takes 7")]


# Home folders and workplaces. Only the words are spelt here, so that this file names no machine itself.
PLACES: Final = ("root", "work", "workspace", "opt", "home/\\w+", "Users/\\w+")
MACHINE_PATH: Final = re.compile(rf"(?<![\w.~}}])/(?:{'|'.join(PLACES)})\b")


def machine_paths(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        for found in MACHINE_PATH.finditer(line):
            yield number, found.group()


def test_no_machine_is_named() -> None:
    files = [path for folder in (CORE, TRANSPORTS, ROOT / "docs") for path in folder.rglob("*") if path.is_file()]
    files += [ROOT / name for name in ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml")]
    files += ROOT.glob("requirements-*.txt")
    problems = [
        f"{where(path, line)}: {found}"
        for path in sorted(files)
        if "__pycache__" not in path.parts and b"\0" not in (content := path.read_bytes())
        for line, found in machine_paths(content.decode(errors="replace"))
    ]
    fail_if(problems, "paths of one machine mean nothing on another:")


@pytest.mark.parametrize("parts", [("root", "x"), ("home", "ann", "x"), ("opt",), ("Users", "ann")])
def test_a_machine_path_is_noticed(parts: tuple[str, ...]) -> None:
    path = "/".join(("", *parts))
    assert [line for line, _ in machine_paths(f"first\nlog = '{path}'")] == [2]


@pytest.mark.parametrize(
    "text", ["redis://host/home/x", "docs/home/x", "/usr/bin/redis-server", "~/home/x", "/homes/x"]
)
def test_other_paths_are_not_reported(text: str) -> None:
    assert list(machine_paths(text)) == []


def named_modules(names: set[str], source: str, module: str, *, is_package: bool = False) -> set[str]:
    """The other modules, of those with these names, that a module imports anywhere: also for type checkers, and in functions."""
    package = module if is_package else module.rpartition(".")[0]
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        for base in imported(node, package):
            leaves = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            full = [f"{base}.{leaf}" if f"{base}.{leaf}" in names else base for leaf in leaves] or [base]
            found.update(full)
    return (found & names) - {module}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or by way of others."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found, left = set[str](), [start]
        while left:
            new = graph[left.pop()] - found
            found |= new
            left += new
        reached[start] = found
    rings = {
        frozenset(other for other in reached[one] if one in reached[other]) for one in graph if one in reached[one]
    }
    return sorted(sorted(ring) for ring in rings)


def test_no_modules_import_each_other() -> None:
    paths: dict[str, Path] = {}
    for path in python_files(CORE, TRANSPORTS):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {
        module: named_modules(set(paths), path.read_text("utf-8"), module, is_package=path.name == "__init__.py")
        for module, path in paths.items()
    }
    problems = [" -> ".join(ring) for ring in circles(graph)]
    fail_if(problems, "modules that import each other, for type checkers only as well, are one module in pieces:")


@pytest.mark.parametrize(
    "source",
    [
        "from . import two",
        "from .two import X",
        "import top.two",
        "if TYPE_CHECKING:\n    from top.two import X",
        "def f():\n    from .two import X",
    ],
)
def test_a_circle_of_imports_is_noticed(source: str) -> None:
    names = {"top", "top.one", "top.two", "top.three"}
    graph = {name: set[str]() for name in names}
    graph["top.one"] = named_modules(names, source, "top.one")
    graph["top.two"] = named_modules(names, "from .three import X", "top.two")
    graph["top.three"] = named_modules(names, "from .one import X", "top.three")
    assert circles(graph) == [["top.one", "top.three", "top.two"]]
    graph["top.three"] = named_modules(names, "from ..one import X\nimport top_one", "top.three")
    assert circles(graph) == []


def classes_of_threads(source: str) -> Iterator[int]:
    """Where a class is derived from one of ``threading``'s threads: its attributes may be theirs in another version of Python."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            names = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
            if names & {"Thread", "Timer"}:
                yield node.lineno


def test_no_class_is_a_thread() -> None:
    files = python_files(CORE, TRANSPORTS, ROOT / "tests", ROOT / "benchmarks", ROOT / "docs")
    problems = [where(path, line) for path in files for line in classes_of_threads(path.read_text("utf-8"))]
    fail_if(
        problems,
        "Thread has private attributes, other ones in each version: give it a target, and keep yours beside it:",
    )


@pytest.mark.parametrize("bases", ["Thread", "threading.Thread", "Generic[T], threading.Timer"])
def test_a_class_that_is_a_thread_is_noticed(bases: str) -> None:
    assert [*classes_of_threads(f"x = 1\nclass Mine({bases}): ...")] == [2]


def test_a_class_that_has_a_thread_is_not_reported() -> None:
    assert [*classes_of_threads("class Mine(threading.Event):\n    thread = Thread()")] == []


PROBE: Final = TRANSPORTS / "simulation" / "world" / "engine_state.py"
ROOMS_OF_ENGINES: Final = {"readers", "members"}  # the first of them leads to all that an engine has


def looks_inside(source: str) -> Iterator[tuple[int, str]]:
    """The lines of a module of the simulator that read what an object of another module keeps for itself, and what."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.AnnAssign(target=ast.Name(name)):
                own.add(name)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("self" | "cls") | ast.Call(func=ast.Name("super"))):
                continue
            case ast.Attribute(attr=name) if name == "loop" or (
                name.startswith("_") and not name.endswith("__") and name not in own
            ):
                yield node.lineno, f".{name}"
            case ast.Subscript(value=ast.Attribute(attr=name)) if name in ROOMS_OF_ENGINES:
                yield node.lineno, f".{name}[...]"


def test_the_simulator_looks_into_engines_in_a_single_module() -> None:
    files = python_files(TRANSPORTS / "simulation")
    found = {path: list(looks_inside(path.read_text("utf-8"))) for path in files}
    assert found.pop(PROBE), "nothing is read there any more: does this test see what is read?"
    problems = [f"{where(path, line)}: {what}" for path, lines in found.items() for line, what in lines]
    fail_if(problems, f"ask {where(PROBE)}, so that what moves in the core is mended in one place:")


@pytest.mark.parametrize(
    "source",
    [
        "engine._streams",
        "engine.readers[0].prefetch",
        "one.engine.members[0]",
        "member.loop.pending",
        "sender._send(name)",
        "face._running.note = None",
    ],
)
def test_a_look_inside_is_noticed(source: str) -> None:
    assert [line for line, _ in looks_inside(source)] == [1]


@pytest.mark.parametrize(
    "source",
    [
        "self._log.of(stream)",
        "super()._end()",
        "type(one).__name__",
        "self.readers.append(one)",
        "class A:\n    def __init__(self):\n        self._told = None\n    def f(self, other):\n        return other._told",
        "class A:\n    _told: bool\n    def f(self, other):\n        return other._told",
        "members[0].label",
    ],
)
def test_what_is_no_look_inside_is_not_reported(source: str) -> None:
    assert list(looks_inside(source)) == []


def test_both_packages_are_typed() -> None:
    assert [where(folder / "py.typed") for folder in (CORE, TRANSPORTS) if not (folder / "py.typed").is_file()] == []


def test_the_version_is_one() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION
