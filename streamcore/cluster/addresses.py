"""The addresses of a cluster's nodes: what a node announces, where it is dialled, and which redirects may be followed.

A node announces an IP address, perhaps a host name, perhaps nothing (null, or an empty host: that of the node that answers) or that
it knows none (``?``, port 0). ``address_map`` translates what is announced, behind NAT or a tunnel; it applies to topologies and
redirects alike. A redirect is followed where ``follow`` allows it: by default only to addresses that a topology has named, so that
no reply alone leads our login elsewhere; another address is asked for by a refresh first. Where ``follow`` names hosts, or is a
function, the nodes of a topology are dialled only as far as it allows. What a remote node says of loopback or
link-local addresses is about itself, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias

from ..commands.cluster import SlotNode
from ..errors import SlotRedirect
from ..options import Address

Prefer: TypeAlias = Literal["hostname", "ip"]
"""Which announced name of a node is dialled, where it announces both."""

AddressMap: TypeAlias = Mapping[tuple[str, int], tuple[str, int]] | Callable[[str, int], tuple[str, int]] | None
"""Translates an announced host and port to those where the node is reached from here."""

Follow: TypeAlias = Literal["topology", "seeds"] | Callable[[str, int], bool]
"""Which addresses may be dialled: those that a topology names, hosts that were given as seeds, or by a function's word."""

UNKNOWN_HOST: Final = "?"


class AddressPolicy:
    """Decides where nodes are dialled. ``seeds``: the addresses that the application has given."""

    def __init__(
        self,
        seeds: Collection[Address],
        *,
        prefer: Prefer = "hostname",
        address_map: AddressMap = None,
        follow: Follow = "topology",
    ) -> None:
        self._seeds = frozenset(seeds)
        self._seed_hosts = frozenset(seed.host for seed in seeds)
        self._prefer = prefer
        self._map = address_map
        self._follow = follow

    def of_node(self, node: SlotNode, answering: Address) -> Address | None:
        """Find the address of a node in a topology that ``answering`` has told; None where it cannot be dialled."""
        other = node.metadata.get(self._prefer.encode(), b"").decode()
        address = self._address(other or node.host or "", node.port, answering)
        return address if address is not None and (self._follow == "topology" or self.may_follow(address, ())) else None

    def of_redirect(self, redirect: SlotRedirect, answering: Address) -> Address | None:
        """Find the address that a reply of ``answering`` redirects to; None where it cannot be dialled."""
        return self._address(redirect.host, redirect.port, answering)

    def of_answer(self, host: str, port: int, answering: Address) -> Address | None:
        """Find the address that a Sentinel names; None where it cannot be dialled."""
        return self._address(host, port, answering)

    def may_follow(self, address: Address, named: Collection[Address]) -> bool:
        """Whether a redirect to an address may be followed, where the present topology has ``named`` these addresses."""
        if callable(self._follow):
            return self._follow(address.host, address.port)
        if self._follow == "topology":
            return address in named or address in self._seeds
        return address.host in self._seed_hosts

    def _address(self, host: str, port: int, answering: Address) -> Address | None:
        if not port or host == UNKNOWN_HOST:
            return None
        announced = (host or answering.host, port)
        reached = self._translated(*announced)
        if reached == announced and is_local(host) and not is_local(answering.host):
            return None
        return Address(*reached)

    def _translated(self, host: str, port: int) -> tuple[str, int]:
        if callable(self._map):
            return self._map(host, port)
        return (host, port) if self._map is None else self._map.get((host, port), (host, port))


def is_local(host: str) -> bool:
    """Whether a host is an address that means another machine on each machine: loopback, or link-local."""
    try:
        told = ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    return told.is_loopback or told.is_link_local
