"""What URLs and arguments tell of Sentinels: ``redis+sentinel://user:password@host1:26379,host2:26379/service/0``.

User, password, database and TLS of the URL are those of the data. The Sentinels have a login of their own
(``sentinel_username``, ``sentinel_password``), by default none, and the TLS of the data, unless ``sentinel_tls`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from streamcore.errors import InvalidArgument
from streamcore.tracebacks import conceals_arguments

from .address import Target, parse

OPTIONS: Final = ("sentinel_username", "sentinel_password", "sentinel_tls")
"""The options of ``connect`` for Sentinels."""

OF_CLUSTERS: Final = ("follow", "prefer")
"""The options of ``connect`` that only a cluster has a use for."""


@conceals_arguments
def with_sentinels(target: Target, given: Mapping[str, Any], others: Mapping[str, Any]) -> Target:
    """Split the target of a URL with a service into that of the data, and ``sentinels``, with the options ``given`` for these.

    ``others``: further options of ``connect``, which have to make sense. Raises ``InvalidArgument``.
    """
    if target.service is None:
        for name in (name for name, value in given.items() if value is not None):
            raise InvalidArgument(f"{name} is for Sentinels: write the URL as redis+sentinel://HOST:26379/SERVICE")
        return target
    if others.get("cluster"):
        raise InvalidArgument("a service of Sentinels is no cluster: leave cluster=True out")
    for name in OF_CLUSTERS:
        if name in others:
            raise InvalidArgument(f"{name} is an option for clusters, and of no use with Sentinels: leave it out")
    access = {name.removeprefix("sentinel_"): value for name, value in given.items()}
    if access.get("username") and access.get("password") is None:
        raise InvalidArgument("sentinel_username was given without sentinel_password")
    try:
        own = parse("redis://sentinel", **access)
    except InvalidArgument as error:  # it begins with the name of the option
        raise InvalidArgument(f"sentinel_{error}") from None
    tls = target.tls if access.get("tls") is None else own.tls
    return replace(target, others=(), sentinels=replace(target, login=own.login, tls=tls, credentials=None))
