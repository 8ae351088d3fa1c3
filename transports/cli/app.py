"""The ``streamcore`` command: what it can do, each in a file of its own."""

import click

from streamcore import __version__

from .demo.command import demo
from .sim.command import sim


@click.group()
@click.version_option(__version__, message="%(prog)s %(version)s")
def streamcore() -> None:
    """Redis and Valkey streams, one engine for every runtime."""


streamcore.add_command(demo)
streamcore.add_command(sim)
