"""``python -m transports.cli`` is the ``streamcore`` command."""

from . import main

main()
