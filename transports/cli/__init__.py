"""The ``streamcore`` command. Its own libraries are an extra, so they are looked for before anything imports them."""

from importlib.util import find_spec


def main() -> None:
    """The entry point of the script."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        raise SystemExit(f"streamcore: {' and '.join(missing)} missing; pip install 'streamcore-redis[demo]'")

    from .app import streamcore

    streamcore(prog_name="streamcore")
