"""The ``streamcore`` command: each of its commands in a package of that name."""

import click

from streamcore import __version__

from .demo.command import demo
from .sim.command import sim


@click.group()
@click.version_option(__version__, message="%(prog)s %(version)s")
def streamcore() -> None:
    """Redis and Valkey streams, by the same engine on every runtime."""


streamcore.add_command(demo)
streamcore.add_command(sim)
