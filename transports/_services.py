"""The service in the path of a URL: the name by which Sentinels watch a primary."""

from __future__ import annotations

from typing import Final

from streamcore.errors import InvalidURL

SCHEMES: Final = {"redis+sentinel": False, "rediss+sentinel": True, "valkey+sentinel": False, "valkeys+sentinel": True}
"""Schemes with a service, and whether they mean TLS."""

EXAMPLE: Final = "redis+sentinel://host1:26379,host2:26379/SERVICE"


def split_service(path: str) -> tuple[str, str]:
    """Split the path of a URL, without its first slash, into the service and the rest, both still encoded. Raises ``InvalidURL``."""
    service, _, rest = path.partition("/")
    if not service or (service.isdecimal() and not rest):
        raise InvalidURL(f"names no service: write it like {EXAMPLE}, or {EXAMPLE}/0 with a database")
    return service, rest
