"""Draw the diagrams of ``docs/architecture.md`` from the code: ``python -m tests.drawings`` writes them, ``--check`` compares.

A drawing stands between two comments of Markdown, ``<!-- drawn: NAME -->`` and ``<!-- end -->``. The rooms come from the layers'
contract in ``pyproject.toml`` and the imports, the stages of a member from ``Phase``, its parts from the calls that make them, and
the states of a link from the docstring of its module.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import wrap
from typing import Final

from streamcore.group.phase import Phase, Stage

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "architecture.md"
CORE: Final = ROOT / "streamcore"
TRANSPORTS: Final = ROOT / "transports"
BLOCK: Final = re.compile(r"(<!-- drawn: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


# -- rooms ------------------------------------------------------------------------------------------------------------


def layers() -> list[list[str]]:
    """Read the rooms of the core from the layers' contract, from above; those that do not exist yet are left out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    rows = next(one["layers"] for one in contracts if one["id"] == "layers")
    named = [re.findall(r"\w+", row) for row in rows]
    return [found for row in named if (found := [name for name in row if sources(name)])]


def sources(room: str) -> list[Path]:
    """Find the modules of a room, which may be a single one."""
    module = CORE / f"{room}.py"
    return [module] if module.exists() else sorted((CORE / room).rglob("*.py"))


def imports(room: str) -> set[str]:
    """Find the rooms that a room imports."""
    found = set[str]()
    for path in sources(room):
        depth = len(path.relative_to(CORE).parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == depth:
                found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found - {room}


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out each arrow to a room that is reached by way of another one as well."""

    def reached(room: str) -> set[str]:
        return set[str]().union(*({other} | reached(other) for other in graph.get(room, ())))

    return {room: used - set[str]().union(*map(reached, used)) for room, used in graph.items()}


def rooms() -> str:
    """Draw each room of the core below those that import it, with what its docstring says."""
    rows = [[(shown(CORE / name), purpose(CORE / name)) for name in row] for row in layers()]
    return "\n\n".join(table(row, width=16) for row in rows)


def arrows() -> str:
    """Draw which rooms a room imports, without the arrows that others imply."""
    names = [name for row in layers() for name in row]
    found = reduced({name: imports(name) & set(names) for name in names})
    rows = [(shown(CORE / name), ", ".join(one for one in names if one in found[name])) for name in names]
    return table([(name, f"--> {below}") for name, below in rows if below], width=16)


def world() -> str:
    """Draw the modules and packages of the transports, with what their docstrings say."""
    found = [path for path in TRANSPORTS.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    names = sorted({path.stem for path in found} - {"__init__"}, key=lambda name: (name.startswith("_"), name))
    return table([(shown(TRANSPORTS / name), purpose(TRANSPORTS / name)) for name in names], width=16)


def shown(path: Path) -> str:
    """Write the name of a room, with a slash where it has several modules."""
    return path.name + "/" * is_package(path)


def is_package(path: Path) -> bool:
    """Tell whether a room has several modules; the folder of a former room may be left behind by Python's caches."""
    return (path / "__init__.py").exists()


def purpose(path: Path) -> str:
    """Read the docstring of a package, or the first paragraph of that of a module, without markup."""
    module = path / "__init__.py" if is_package(path) else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    paragraphs = text.split("\n\n")[: 2 if is_package(path) else 1]
    return " ".join(" ".join(paragraphs).split()).replace("``", "").removesuffix(".")


def table(rows: list[tuple[str, str]], *, width: int) -> str:
    """Write two columns, and wrap the second."""
    lines = [
        f"{name if not at else '':{width}} {part}"
        for name, text in rows
        for at, part in enumerate(wrap(text, 110 - width, break_long_words=False))
    ]
    return "\n".join(lines)


# -- the life of a member ---------------------------------------------------------------------------------------------


def stages() -> str:
    """Draw the table of stages: where each call leads from each of them."""
    calls: dict[str, Callable[[Phase], None]] = {
        "recovered": Phase.recovered,
        "drain": Phase.drain,
        "leave": Phase.leave,
    }
    marks = ("stops", "takes_nothing", "is_leaving", "ends")
    rows = [["stage", *calls, *(mark.replace("_", " ") for mark in marks)], ["---"] * (1 + len(calls) + len(marks))]
    for stage in Stage:
        row = [stage.name]
        for call in calls.values():
            phase = Phase(history_only=False)
            phase.stage = stage
            call(phase)
            row.append("" if phase.stage is stage else phase.stage.name)
        rows.append([*row, *("yes" if getattr(stage, mark) else "" for mark in marks)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# -- its parts --------------------------------------------------------------------------------------------------------


def parts(module: str) -> Iterator[tuple[str, str, list[str]]]:
    """Find the parts that a module makes: the class, the module where it stands, and its arguments."""
    package, _, _ = module.rpartition(".")
    tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text("utf-8"))
    homes = {
        alias.name: f"{package}.{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    for node in ast.walk(tree):
        made = node.value if isinstance(node, ast.Assign) else None
        targets = node.targets if isinstance(node, ast.Assign) else []
        for call in made.elts if isinstance(made, ast.Tuple) else [made]:
            name = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
            if name in homes and targets and isinstance(call, ast.Call):
                given = [*call.args, *(keyword.value for keyword in call.keywords)]
                flat = [leaf for one in given for leaf in (one.elts if isinstance(one, ast.Tuple) else [one])]
                yield name, homes[name], [ast.unparse(one).rpartition(".")[2].lstrip("_") for one in flat]


def members_parts() -> str:
    """Draw the table of the parts of a member, with the state that each of them may touch."""
    rows = ["| part | in | gets |", "|---|---|---|"]
    for name, home, given in parts("streamcore.group.read_loop"):
        rows.append(f"| `{name}` | `{home.removeprefix('streamcore.group.')}` | {', '.join(given)} |")
    return "\n".join(rows)


# -- a link -----------------------------------------------------------------------------------------------------------


def diagram_of(module: str) -> str:
    """Take the diagram, a literal block, out of the docstring of a module."""
    lines = (import_module(module).__doc__ or "").splitlines()
    return "\n".join(line for line in lines if line.startswith("    "))


DRAWINGS: Final[dict[str, Callable[[], str]]] = {
    "rooms": lambda: fenced(rooms()),
    "arrows": lambda: fenced(arrows()),
    "transports": lambda: fenced(world()),
    "states of a link": lambda: fenced(diagram_of("streamcore.connection.link")),
    "stages of a member": stages,
    "parts of a member": members_parts,
}


def fenced(text: str) -> str:
    return f"```text\n{text}\n```"


def drawn(page: str) -> str:
    """Put all drawings into their places in a page."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{DRAWINGS[found[2]]()}\n\n{found[3]}", page)


def main(arguments: list[str]) -> str | None:
    """Write the drawings, or tell where they are stale; return a complaint, if there is any."""
    page = PAGE.read_text("utf-8")
    fresh = drawn(page)
    if arguments == ["--check"]:
        return None if fresh == page else "docs/architecture.md is stale: make format draws its diagrams anew"
    PAGE.write_text(fresh, "utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
