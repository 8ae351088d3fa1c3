"""``streamcore demo``: its options, and its exit status: 0 if all is proved, 1 if not, 2 for bad input, 130 after Ctrl-C."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path

import click


@click.command()
@click.option("--input", "file", type=click.Path(path_type=Path), help="Your own CSV or NDJSON file, also gzipped.")
@click.option("--key", default="carrier", show_default=True, metavar="COLUMN", help="Group by this column.")
@click.option("--value", default="dep_delay", show_default=True, metavar="COLUMN", help="Average this column.")
@click.option("--url", help="A server that runs already; it is not killed. Without it: an embedded Valkey.")
@click.option("--cluster", is_flag=True, help="An embedded cluster: slots move, and of three primaries two are lost.")
@click.option("--no-chaos", is_flag=True, help="Kill nothing, and replay as fast as the server takes it.")
@click.pass_context
def demo(
    context: click.Context, file: Path | None, key: str, value: str, url: str | None, *, cluster: bool, no_chaos: bool
) -> None:
    """Consume a stream by asyncio, trio and threads at once, kill a worker and the server, and lose nothing.

    Replays all 27,004 departures from New York of January 2013 into a stream. Three processes share a consumer group
    and compute the mean delay per carrier, which is compared with a plain computation over the file.

    With --cluster the carriers have streams of their own, over the slots of six nodes. Slots move, a primary is
    killed, and another one is stopped.
    """
    if cluster and url is not None:
        raise click.UsageError("--cluster starts a cluster of its own, to do harm to it: it goes without --url")
    if find_spec("trio") is None:
        raise click.ClickException("the demo needs trio; pip install 'streamcore-redis[demo]'")

    from streamcore import InvalidURL, MissingExtra, StreamcoreError

    from .progress import DemoError
    from .screen import Screen
    from .source import FLIGHTS, InputError, airline_names, read_source
    from .story import Plan, play
    from .workers import WorkerDied

    screen = Screen()
    try:
        source = read_source(file or FLIGHTS, key, value)
        ending = asyncio.run(play(Plan(source, url, with_chaos=not no_chaos, cluster=cluster), screen))
    except (InputError, InvalidURL) as error:
        raise click.UsageError(str(error)) from None
    except MissingExtra as error:
        raise click.ClickException(f"{error}; the demo takes its address by --url") from None
    except (DemoError, WorkerDied, StreamcoreError) as error:
        raise click.ClickException(str(error)) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted; workers and server are stopped", err=True)
        context.exit(130)

    flights = file is None and (key, value) == ("carrier", "dep_delay")
    screen.show_table(ending.table, key=key, value=value, names=airline_names() if flights else {})
    screen.show_account(ending.account)
    for problem in ending.problems:
        click.echo(f"FAILED: {problem}", err=True)
    if ending.problems:
        context.exit(1)
    screen.console.print("The table equals the plain computation over the file, and nothing was lost.")
