"""What the documentation shows is true: its snippets run and print what it says, its links and targets exist.

The ``python`` blocks of a page run in order, in one namespace and one empty directory; ``REDIS_URL`` names the embedded
server. A block

* with ``title="worker.py"`` is written to that file instead, and a ``test_*.py`` is run by pytest when the page is done;
* right above a ``text`` block prints just that, where ``...`` stands for anything;
* with ``await`` or ``async with`` outside of a function runs under the runtime that the page has imported last;
* below ``<!-- not run: reason -->`` does not run, and counts as a skipped test with that reason.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import io
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from streamcore import commands
from transports._facade._sync.commands import Commands
from transports.embedded import EmbeddedServer

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
README: Final = ROOT / "README.md"
CONTRIBUTING: Final = ROOT / "CONTRIBUTING.md"
PAGES: Final = (README, CONTRIBUTING, *sorted(DOCS.rglob("*.md")))
URLS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
TREE: Final = f"{URLS['Source']}/blob/main/"
DRIVER: Final = DOCS / "examples" / "driver.py"

BLOCK: Final = re.compile(
    r"^(?:<!-- not run: (?P<reason>\S.*?) -->\n+)?"
    r'```(?P<language>\w+)(?: title="(?P<title>[\w.]+)")?\n(?P<code>.*?)^```\n'
    r"(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
LINK: Final = re.compile(r"\[(?P<label>[^][]*)\]\((?P<target>[^()\s]*)\)")
DEFINITION: Final = re.compile(r"^\[(?P<label>[^][]+)\]: (?P<target>\S+)$", re.MULTILINE)
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
MAKE: Final = re.compile(r"\bmake ([a-z][a-z-]*)\b")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int  # of the code's first line
    language: str
    title: str | None
    reason: str | None
    code: str
    output: str | None
    runtime: str  # the one that the page has imported last

    def run(self, namespace: dict[str, Any]) -> None:
        """Run the code; a traceback shows the page's own line numbers."""
        printed = io.StringIO()
        source = "\n" * (self.line - 1) + self.code
        code = compile(source, self.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        with redirect_stdout(printed):
            if not code.co_flags & inspect.CO_COROUTINE:
                exec(code, namespace)
            elif self.runtime == "trio":
                trio.run(eval, code, namespace)
            else:
                asyncio.run(eval(code, namespace))
        if self.output is not None:
            same = doctest.OutputChecker().check_output(self.output, printed.getvalue(), doctest.ELLIPSIS)
            assert same, f"{where(self)}: the page says {self.output!r}, and this was printed: {printed.getvalue()!r}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("code")) + 1,
            found["language"],
            found["title"],
            found["reason"],
            found["code"],
            found["output"],
            ["asyncio", *re.findall(r"transports\.(asyncio|trio|anyio)\b", text[: found.end()])][-1],
        )
        for found in BLOCK.finditer(text)
    ]


def where(subject: Block | Path) -> str:
    page = subject if isinstance(subject, Path) else subject.page
    line = "" if isinstance(subject, Path) else f":{subject.line}"
    return page.relative_to(ROOT).as_posix() + line


ALL_BLOCKS: Final = [block for page in PAGES for block in blocks(page)]


@pytest.mark.parametrize("page", PAGES, ids=where)
@pytest.mark.filterwarnings("ignore::BytesWarning")  # a page may print bytes
def test_snippets(page: Path, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language != "python" or block.reason:
            continue
        if block.title:
            Path(block.title).write_text(block.code, "utf-8")
        else:
            block.run(namespace)
    for path in Path().glob("test_*.py"):
        command = [sys.executable, "-m", "pytest", "-q", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", [block for block in ALL_BLOCKS if block.reason], ids=where)
def test_not_run(block: Block) -> None:
    pytest.skip(f"{where(block)}: {block.reason}")


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_every_fence_belongs_to_a_block(page: Path) -> None:
    fences = page.read_text("utf-8").count("```")
    outputs = sum(block.output is not None for block in blocks(page))
    assert fences == 2 * (len(blocks(page)) + outputs), "a fence is indented, or has an unknown attribute"


def test_the_driver_page_quotes_the_driver() -> None:
    quoted = [block.code for block in blocks(DOCS / "drivers.md") if block.title == DRIVER.name]
    assert quoted == [DRIVER.read_text("utf-8")]


def test_the_driver_runs(server: EmbeddedServer) -> None:
    command = [sys.executable, str(DRIVER), "127.0.0.1", str(server.port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20).stdout
    assert printed == "sent 10, consumed and acknowledged 10\n"


def test_the_diagram_of_a_link_is_that_of_its_module() -> None:
    [shown] = [block.code for block in blocks(DOCS / "architecture.md") if "RESTING" in block.code]
    assert shown in (ROOT / "streamcore" / "connection" / "link.py").read_text("utf-8")


# -- what pages refer to ------------------------------------------------------------------------------------------------


def links(page: Path) -> Iterator[tuple[str, str, str]]:
    """Label, path and anchor of each link of a page to a file of the tree."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    for found in (*LINK.finditer(text), *DEFINITION.finditer(text)):
        target = found["target"]
        if target.startswith(TREE):
            target = f"{os.path.relpath(ROOT, page.parent)}/{target.removeprefix(TREE)}"
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield found["label"], path, anchor


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as both the site and a repository's viewer make them."""
    headings = HEADING.findall(BLOCK.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def defines(module: Path, name: str) -> bool:
    return re.search(rf"\b(def|class) {name}\(", module.read_text("utf-8")) is not None


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_links(page: Path) -> None:
    broken = []
    for label, path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            broken.append(f"{path}: there is no such file")
        elif anchor and anchor not in anchors(target):
            broken.append(f"{path}#{anchor}: there is no such heading")
        elif target.suffix == ".py" and label.startswith("`") and not defines(target, label.strip("`")):
            broken.append(f"{path}: there is no {label}")
    assert broken == []


def test_what_contributors_are_told_of_is_there() -> None:
    text = CONTRIBUTING.read_text("utf-8")
    named = re.findall(r"`((?:streamcore|transports|tests|docs|\.ci)/[\w./]+)`", text)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_can_be_read_on_a_package_index() -> None:
    """There, nothing is beside it: its links are absolute, and stand at its end."""
    text = BLOCK.sub("", README.read_text("utf-8"))
    assert [found["target"] for found in LINK.finditer(text) if "://" not in found["target"]] == []
    defined = [found["label"] for found in DEFINITION.finditer(text)]
    assert [label for label in defined if defined.count(label) > 1 or text.count(f"[{label}]") < 2] == []
    assert sorted(set(re.findall(r"(?<=[\s(])\[([^][]+)\](?![(:])", text)) - set(defined)) == []
    assert [found[0] for found in DEFINITION.finditer(text) if not found["target"].startswith(TREE)] == []


def test_the_projects_addresses_are_those_of_its_tree() -> None:
    assert {name for name, url in URLS.items() if not url.startswith(URLS["Source"])} == set()
    named = [url.removeprefix(TREE) for url in URLS.values() if url.startswith(TREE)]
    assert [path for path in named if not (ROOT / path).is_file()] == []
    assert named


def test_the_guide_names_every_command_that_a_client_has() -> None:
    """Its table has a row for each family; a method is called as its function, without the final underscore."""
    guide = (DOCS / "guides" / "commands.md").read_text("utf-8")
    rows = re.findall(r"^\| \[[\w ]+\]\(\.\./reference\.md#[\w-]+\) \| (.+) \|$", guide, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    builders = {
        name for name, value in vars(commands).items() if name in commands.__all__ and inspect.isfunction(value)
    }
    assert sorted(named) == sorted(name for name in builders if hasattr(Commands, name.removesuffix("_")))


def test_the_reference_has_all_that_the_commands_module_exports() -> None:
    """By lists of members, family by family, of which each name stands in one."""
    reference = (DOCS / "reference.md").read_text("utf-8")
    listed = re.findall(r"^::: streamcore\.commands\.\w+\n(?: .*\n)*?      members: \[(.+)\]$", reference, re.MULTILINE)
    shown = [name for members in listed for name in members.split(", ")]
    alone = re.findall(r"^::: streamcore\.commands\.(Command|raw)$", reference, re.MULTILINE)
    assert sorted([*shown, *alone]) == sorted(commands.__all__)


def test_make_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {(where(page), name) for page in PAGES for name in MAKE.findall(commands_of(page))}
    assert [(page, name) for page, name in sorted(named) if name not in targets] == []
    assert named, "nothing was found: has the form of the pages changed?"


def commands_of(page: Path) -> str:
    """What a page tells its reader to type: shell blocks, and code within sentences."""
    text = page.read_text("utf-8")
    shell = [block.code for block in blocks(page) if block.language in {"sh", "console"}]
    return "\n".join([*shell, *re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))])


def test_the_reference_shows_the_constructors_of_frozen_classes() -> None:
    griffe = pytest.importorskip("griffe")
    extensions = griffe.load_extensions(str(DOCS / "frozen_classes.py"))
    core = griffe.load("streamcore", search_paths=[str(ROOT)], extensions=extensions)
    for kind in ("options.Options", "commands.stream_info.StreamInfo", "events.Connected"):
        assert len(core[kind].parameters) > 4
