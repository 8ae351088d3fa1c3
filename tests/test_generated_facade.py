"""The facade for threads is what the translator makes of that for async runtimes, and the translator does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from transports._facade import generate


def translated(source: str) -> str:
    return generate.translate(dedent(source).lstrip("\n"))


def test_the_facade_for_threads_is_fresh() -> None:
    assert not generate.stale(), "run `make format`: these files differ from what transports/_facade/generate.py writes"


@pytest.mark.parametrize("path", sorted(generate.TARGET.glob("*.py")), ids=lambda path: path.name)
def test_the_first_line_says_that_a_file_is_generated(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        assert f"_async/{path.name}: edit that" in next(file)


def test_nothing_of_async_is_left() -> None:
    words = ("async", "await", "Async", "aclose", "awaitable", "# threads:", "coroutine function;")
    for path, text in generate.generated().items():
        _, code = text.split("\n", 1)
        assert [word for word in words if word in code] == [], path


def test_no_line_of_the_tables_is_dead() -> None:
    source = "\n".join(path.read_text("utf-8") for path in generate.SOURCE.glob("*.py"))
    assert [word for word in generate.WORDS if not re.search(rf"\b{word}\b", source)] == []
    assert [phrase for phrase in (*generate.PHRASES, *generate.BACKGROUND) if phrase not in source] == []
    assert [
        pattern for pattern, _ in generate.PATTERNS if r"\n" not in pattern and not re.search(pattern, source)
    ] == []


def test_a_stale_a_missing_and_a_stray_file_are_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "TARGET", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate"])
    generate.main()
    assert generate.stale() == []
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in generate.SOURCE.glob("*.py"))
    client, stray = tmp_path / "client.py", tmp_path / "stray.py"
    client.write_text(client.read_text("utf-8") + "# by hand\n", "utf-8")
    (tmp_path / "commands.py").unlink()
    stray.touch()
    assert generate.stale() == [stray, client, tmp_path / "commands.py"]
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    with pytest.raises(SystemExit, match=r"stray.py is stale: run `make format`"):
        generate.main()
    assert stray.exists()
    monkeypatch.setattr("sys.argv", ["generate"])
    generate.main()
    assert generate.stale() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    with pytest.raises(SystemExit) as passed:
        generate.main()
    assert not passed.value.code
    assert capsys.readouterr() == ("", "")


def test_words_types_and_prose() -> None:
    assert translated(
        '''
        from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
        from contextlib import AsyncExitStack
        from x import y as z


        async def each(found: Callable[[R], Awaitable[list[R]]], n: Iterator[int]) -> AsyncIterator[R]:
            """Reads ``async for x in y`` on an async runtime, for one task at a time; see ``aclose``."""
            async with AsyncExitStack() as stack, z:
                await stack.enter_async_context(await anext(each))  # noqa: ASYNC109  # why
            raise StopAsyncIteration


        def wait() -> Coroutine[Any, Any, None]: ...
        '''
    ) == dedent(
        '''
        from collections.abc import Iterator, Callable
        from contextlib import ExitStack
        from x import y as z


        def each(found: Callable[[R], list[R]], n: Iterator[int]) -> Iterator[R]:
            """Reads ``for x in y`` for threads, for one thread at a time; see ``close``."""
            with ExitStack() as stack, z:
                stack.enter_context(next(each))
            raise StopIteration


        def wait() -> None: ...
        '''
    ).lstrip("\n")


def test_a_marked_line_is_left_out_with_what_it_opens() -> None:
    assert translated(
        """
        class A:
            def __init__(
                self,
                one: int,
                two: int,  # async
            ) -> None:
                self.one = one

            @property  # async
            async def two(  # async
                self,
            ) -> int:
                if self.one:

                    return 2
                return 1

            async def three(self) -> None:
                if self.one:  # async: because
                    await self.two
                    return
                await self.four(  # async
                    5,
                )
                self.six()  # async is no mark here
        """
    ) == dedent(
        """
        class A:
            def __init__(
                self,
                one: int,
            ) -> None:
                self.one = one

            def three(self) -> None:
                self.six()  # async is no mark here
        """
    ).lstrip("\n")


def test_a_line_for_threads_comes_in() -> None:
    assert translated(
        """
        # threads: import x
        async def f() -> None:
            await x()  # async
            # threads: if x:
            # threads:     x.f(
            # threads:         1,
            # threads:     )
            # a comment
        """
    ) == dedent(
        """
        import x
        def f() -> None:
            if x:
                x.f(
                    1,
                )
            # a comment
        """
    ).lstrip("\n")
