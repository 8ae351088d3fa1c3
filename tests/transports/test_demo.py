"""The demo: its input, its arithmetic, its replay, and whole runs of the real command."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamcore.commands import key_slot
from streamcore.version import VERSION
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from transports.asyncio import connect
from transports.cli.demo import story
from transports.cli.demo.account import Account, Group, problems, tabulate
from transports.cli.demo.keys import Keys, divide, new_keys
from transports.cli.demo.progress import DemoError, Progress
from transports.cli.demo.replay import replay
from transports.cli.demo.screen import Screen, printable
from transports.cli.demo.source import FLIGHTS, InputError, Source, airline_names, read_source
from transports.cli.demo.workers import Worker, WorkerDied
from transports.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[2]
CLI = [sys.executable, "-m", "transports.cli"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR", "REDIS_URL"}}


def run(*words: str, timeout: float = 40) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *words], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=timeout
    )


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*CLI, *words], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], object], *, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def others(raw: Raw) -> int:
    """How many clients the server has beside us."""
    listed = raw("CLIENT", "LIST", "TYPE", "NORMAL")
    assert isinstance(listed, bytes)
    return len(listed.splitlines()) - 1


def results_key(raw: Raw) -> str | None:
    keys = [key.decode() for key in raw("KEYS", "streamcore:demo:*:results")]
    return keys[0] if keys else None


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """600 rows of three groups; every tenth has no number."""
    path = tmp_path / "small.csv"
    lines = [f"{'abc'[n % 3]},{'NA' if n % 10 == 0 else n / 10}" for n in range(600)]
    path.write_text("\n".join(["group,number", *lines]))
    return path


SMALL = ("--key", "group", "--value", "number")


# -- input --------------------------------------------------------------------------------------------------------------


def test_the_flights_are_counted_right() -> None:
    table = tabulate(read_source(FLIGHTS, "carrier", "dep_delay").pairs())
    assert sum(group.entries for group in table.values()) == 26_483
    assert sum(group.missing for group in table.values()) == 521
    with gzip.open(FLIGHTS, "rt") as file:
        hawaiian = [float(row["dep_delay"]) for row in csv.DictReader(file) if row["carrier"] == "HA"]
    assert table["HA"] == Group(31, statistics.fmean(hawaiian), 0)
    assert list(table)[:2] == ["UA", "B6"]
    assert table.keys() <= airline_names().keys()


def test_the_order_of_the_rows_does_not_matter() -> None:
    pairs = [("a", str(10.0**n)) for n in range(-20, 20)]
    assert tabulate(pairs) == tabulate(reversed(pairs))


def test_what_is_missing_is_counted_apart() -> None:
    assert tabulate([("a", "1"), ("a", "NA"), (None, None), ("", "")]) == {"a": Group(1, 1.0, 1), "": Group(0, None, 2)}


def test_ndjson_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text('\ufeff{"k": "x", "v": 1.5}\n\n{"k": true, "v": null, "more": [1]}\n{"v": "\\ud800 2" }\n')
    with pytest.raises(InputError, match=r"line 4, column 'v': '\? 2' is not a number"):
        read_source(path, "k", "v")
    path.write_text('{"k": "x", "v": 1.5}\n{"k": true, "v": null, "more": [1]}\n{"v": 2}\n')
    source = read_source(path, "k", "v")
    assert source.rows == [{"k": "x", "v": "1.5"}, {"k": "true", "v": "", "more": "[1]"}, {"v": "2"}]
    assert list(source.pairs()) == [("x", "1.5"), ("true", ""), (None, "2")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "rows.csv is empty"),
        (b"k,v\n", "has a header and no rows"),
        (b"a,b\n1,2\n", "has no column 'k'; name one by --key, there are: a, b"),
        (b"k,b\n1,2\n", "has no column 'v'; name one by --value, there are: k, b"),
        (b'{"k": 1}\n', "has no column 'v'; name one by --value, there are: k"),
        (b"k,v\n1,2\n1\n", "line 3, has 1 cells, the header 2"),
        (b"k,v\n1,two\n", "line 2, column 'v': 'two' is not a number"),
        (b"k,v\n1,inf\n", "line 2, column 'v': 'inf' is not a number"),
        (b"k,v\n1,\xff\n", "is not UTF-8"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (gzip.compress(b"k,v\n1,2\n", mtime=0)[:-9], "cannot be read"),
        (b'{"k": 1\n', "line 1, is not JSON"),
        (b'{"k": 1, "v": 2}\n[1]\n', "line 2, is not a JSON object"),
        (b'k,v\n1,"' + b"x" * 200_000 + b'"\n', "is not CSV"),
    ],
)
def test_bad_input_is_explained(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_source(path, "k", "v")
    assert message in str(caught.value)


def test_in_a_cluster_each_group_stays_in_a_stream_and_its_results_in_the_streams_slot() -> None:
    rows = [{"k": str(n % 20), "n": str(n)} for n in range(100)]
    source = Source(rows, "k", "n")
    keys = new_keys(source, cluster=True)
    assert [key_slot(stream) for stream in keys.streams] == [key_slot(results) for results in keys.results]
    divided = divide(source, len(keys.streams))
    assert len(divided) == 16
    assert sorted((row for part in divided for row in part), key=lambda row: int(row["n"])) == rows
    assert [{row["k"] for row in part} for part in divided[:5]] == [
        {"0", "16"},
        {"1", "17"},
        {"2", "18"},
        {"3", "19"},
        {"4"},
    ]
    assert len(new_keys(Source(rows, "none", "n"), cluster=True).streams) == 1
    assert len(new_keys(source, cluster=False).streams) == 1


def test_names_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[2Jb") == "a?[2Jb"


# -- the account --------------------------------------------------------------------------------------------------------

TABLE = {"a": Group(2, 1.5, 0), "b": Group(1, None, 3)}


def account(*, rows: int = 6, in_stream: int = 6, processed: int = 6, pending: int = 0) -> Account:
    return Account(rows, rows, in_stream, processed, pending, redelivered=3, written_again=2, reconnects=1, seconds=1.0)


def test_a_run_without_a_fault_has_no_problems() -> None:
    assert problems(account(), TABLE, dict(TABLE)) == []


@pytest.mark.parametrize(
    ("made", "table", "message"),
    [
        (account(processed=5), TABLE, "1 of 6 entries were lost"),
        (account(in_stream=7), TABLE, "the stream has 7 entries, the file 6 rows"),
        (account(pending=4), TABLE, "4 entries were never acknowledged"),
        (account(), TABLE | {"a": Group(2, 1.5000001, 0)}, "a: the results say"),
        (account(), {"a": TABLE["a"]}, "b: the results say None"),
        (account(), TABLE | {"c": Group(1, 1.0, 0)}, "c: the results say"),
    ],
)
def test_what_is_wrong_is_told(made: Account, table: dict[str, Group], message: str) -> None:
    [problem] = problems(made, table, TABLE)
    assert message in problem


# -- the parts ----------------------------------------------------------------------------------------------------------


def test_the_replay_is_exactly_once_over_a_network_that_breaks(server: EmbeddedServer, proxy: Proxy) -> None:
    rows = [{"text": "x" * 50, "n": str(n)} for n in range(2_000)]
    progress, said = Progress(len(rows), []), list[str]()

    async def produce() -> None:
        async with connect(proxy.url) as client:
            task = asyncio.create_task(replay(client, "s", rows, progress, said.append, seconds=0.5))
            for at in (30_000, 1_000, 60_000):
                await asyncio.to_thread(proxy.cut_after, at, "upstream", hard=True)
                await asyncio.sleep(0.1)
            await task

    asyncio.run(produce())
    with Raw(server.address) as raw:
        entries = raw("XRANGE", "s", "-", "+")
    assert [int(fields[1]) for _, fields in entries] == list(range(len(rows)))
    assert progress.sent == len(rows)
    assert said


def test_a_worker_ends_with_its_input_also_where_a_shell_has_had_it_ignore_interrupts() -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from transports.cli.demo.worker import interrupt_at_end_of_input\n"
        "try:\n    interrupt_at_end_of_input(); time.sleep(60)\nexcept KeyboardInterrupt:\n    print('ended')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="", capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "ended\n"


def test_a_worker_that_dies_by_itself_is_told_with_its_last_words() -> None:
    worker = Worker("asyncio", "redis://localhost:1", ["prefix:"], "k", "v")
    worker._command = [sys.executable, "-c", "raise SystemExit('the last words')"]
    with pytest.raises(WorkerDied, match="the asyncio worker ended with status 1:\nthe last words"):
        asyncio.run(worker.run())


def test_a_worker_that_ends_too_early_is_told() -> None:
    worker = Worker("trio", "redis://localhost:1", ["prefix:"], "k", "v")
    worker._command = [sys.executable, "-c", ""]
    with pytest.raises(WorkerDied, match="the trio worker ended before its work was done"):
        asyncio.run(worker.run())


def test_a_run_that_stands_still_ends(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "STALL_LIMIT", 0.2)
    progress = Progress(10, [], sent=7)

    async def watch() -> None:
        async with connect(server.url) as client:
            await story.watch(client, Keys(["s"]), progress, Screen())

    with pytest.raises(DemoError, match=r"nothing was processed for 0\.2 s: 0 of 10 entries are processed, 7 sent"):
        asyncio.run(watch())


# -- the command --------------------------------------------------------------------------------------------------------


def test_it_tells_its_version() -> None:
    assert run("--version").stdout == f"streamcore {VERSION}\n"


@pytest.mark.parametrize("module", ["click", "rich"])
def test_without_its_libraries_it_names_the_extra(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from transports.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"streamcore: {module} missing; pip install 'streamcore-redis[demo]'\n"


def test_a_quiet_run(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    rows = [{"who": f"user {n % 4}", "cents": n, "nested": {"n": n}} for n in range(2_500)]
    path.write_text("\n".join(map(json.dumps, rows)))
    done = run("demo", "--no-chaos", "--input", str(path), "--key", "who", "--value", "cents")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"user 0 +625 +1,248\.00 +0\b", done.stdout)
    assert re.search(r"processed +2,500\nlost +0\nredelivered +0 ", re.sub(" +\n", "\n", done.stdout))
    assert "SIGKILL for" not in done.stdout


def test_a_run_with_chaos(small: Path) -> None:
    done = run("demo", "--input", str(small), *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "SIGKILL for the trio worker" in done.stdout
    assert "SIGKILL for the server" in done.stdout
    assert re.search(r"recovery time +\d+\.\d\d s +of the trio worker", done.stdout)
    assert re.search(r"recovery time +\d+\.\d\d s +of the server", done.stdout)
    assert re.search(r"sent +600 .*\nprocessed +600 *\nlost +0", done.stdout)
    assert "nothing was lost." in done.stdout
    lines = [line for line in done.stdout.splitlines() if "% " in line]
    assert 1 < len(lines) < 20  # of progress


def test_a_cluster_whose_slots_move_and_whose_primaries_are_lost(small: Path) -> None:
    done = run("demo", "--cluster", "--input", str(small), *SMALL, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a cluster of three primaries with a replica each" in done.stdout
    assert "moved 2 slots with their streams, 1 key by key and 1 at once" in done.stdout
    assert "SIGKILL for the trio worker" in done.stdout
    assert "SIGKILL for a primary, with streams in its slots" in done.stdout
    assert "SIGSTOP for a primary, with streams in its slots" in done.stdout
    assert re.search(r"slots moved +2 ", done.stdout)
    assert re.search(r"recovery time +\d+\.\d\d s +of the killed primary's streams", done.stdout)
    assert re.search(r"recovery time +(\d+\.\d\d s|-) +of the stopped primary's streams", done.stdout)
    assert re.search(r"sent +600 .*\nprocessed +600 *\nlost +0", done.stdout)
    assert "nothing was lost." in done.stdout


def test_on_a_server_of_the_users(server: EmbeddedServer, small: Path) -> None:
    with Raw(server.address) as raw:
        raw("SET", "mine", 1)
        done = run("demo", "--url", server.url, "--input", str(small), *SMALL)
        assert (done.returncode, done.stderr) == (0, "")
        assert "SIGKILL for the trio worker" in done.stdout
        assert "SIGKILL for the server" not in done.stdout
        assert raw("KEYS", "*") == [b"mine"]
        assert others(raw) == 0


def test_a_false_result_is_found_out(server: EmbeddedServer, small: Path) -> None:
    with Raw(server.address) as raw, running("demo", "--url", server.url, "--input", str(small), *SMALL) as process:
        wait_until(lambda: results_key(raw))
        key = results_key(raw)
        assert key is not None
        raw("HSET", key, raw("HKEYS", key)[0], '["b", "1000000", "asyncio"]')
        out, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert re.search(r"FAILED: [ab]: the results say", errors)
        assert "nothing was lost" not in out
        assert raw("DBSIZE") == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_run_leaves_nothing_behind(
    number: signal.Signals, status: int, server: EmbeddedServer, small: Path
) -> None:
    with Raw(server.address) as raw, running("demo", "--url", server.url, "--input", str(small), *SMALL) as process:
        wait_until(lambda: results_key(raw))
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == status
        wait_until(lambda: others(raw) == 0, within=5)
        if number != signal.SIGKILL:
            assert errors == "interrupted; workers and server are stopped\n"
            assert raw("DBSIZE") == 0


def test_bad_input_on_the_command_line(small: Path, tmp_path: Path) -> None:
    done = run("demo", "--input", str(small))
    assert done.returncode == 2
    assert "small.csv has no column 'carrier'; name one by --key, there are: group, number" in done.stderr
    done = run("demo", "--input", str(tmp_path / "none.csv"))
    assert done.returncode == 2
    assert "none.csv cannot be read: No such file or directory" in done.stderr
    done = run("demo", "--url", "redis://localhost:port")
    assert done.returncode == 2
    assert "port" in done.stderr
    done = run("demo", "--cluster", "--url", "redis://127.0.0.1:1")
    assert done.returncode == 2
    assert "--cluster starts a cluster of its own, to do harm to it: it goes without --url" in done.stderr
    done = run("demo", "--url", "redis://127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
