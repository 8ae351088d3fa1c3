"""The questions for the primary of a service, and what Sentinels answer; the error where none of them tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..arguments import listed
from ..cluster.addresses import AddressPolicy
from ..commands.replies import mapping
from ..errors import ConnectFailed, NoSentinelError, ReplyError
from ..frozen import frozen
from ..options import Address, SentinelAddress


@frozen
class Answer:
    """The primary by the word of a Sentinel.

    ``epoch``: of the configuration, None where it is not told; ``others``: the other Sentinels, None where they are not told.
    """

    address: Address
    epoch: int | None
    others: tuple[SentinelAddress, ...] | None


def questions(service: str) -> list[tuple[str, ...]]:
    """Build the commands that ask a Sentinel for the primary, its epoch, and the other Sentinels.

    Of the first, a Sentinel answers with the new primary as soon as that has been promoted, and of the second later.
    """
    return [("SENTINEL", word, service) for word in ("GET-MASTER-ADDR-BY-NAME", "MASTER", "SENTINELS")]


def read(replies: list[Any], asked: SentinelAddress, policy: AddressPolicy) -> Answer | None:
    """Parse the answers of a Sentinel; None: it does not know the service.

    Raises its ``ReplyError``, ``ConnectFailed`` for an address that cannot be dialled, and any error for replies without sense.
    """
    place, primary, sentinels = replies
    if place is None:
        return None
    if isinstance(place, ReplyError):
        place.command = "SENTINEL"
        raise place
    host, port = place[0].decode(), int(place[1])
    address = policy.of_answer(host, port, asked)
    if address is None:
        raise ConnectFailed(
            f"names {host}:{port} as the primary, which cannot be dialled from here: "
            "let the servers announce other addresses (replica-announce-ip), or pass address_map="
        )
    epoch = None if isinstance(primary, ReplyError) else int(mapping(primary)[b"config-epoch"])
    others = None if isinstance(sentinels, ReplyError) else tuple(_others(sentinels, asked, policy))
    return Answer(address, epoch, others)


def _others(rows: Any, asked: SentinelAddress, policy: AddressPolicy) -> Iterator[SentinelAddress]:
    for row in map(mapping, rows):
        found = policy.of_answer(row[b"ip"].decode(), int(row[b"port"]), asked)
        if found is not None:
            yield SentinelAddress(found.host, found.port)


def why(error: Exception, sentinel: SentinelAddress) -> str:
    """Tell why a Sentinel has not answered; its address stands before it."""
    return str(error).removeprefix(str(sentinel)).lstrip(": ")


def not_told(service: str, told: Mapping[SentinelAddress, str], *, unknown: bool, permanent: bool) -> NoSentinelError:
    """Make the error where no Sentinel tells the primary; ``unknown``: because those that answer do not know the service."""
    by_text: dict[str, list[str]] = {}
    for sentinel, text in told.items():
        by_text.setdefault(text, []).append(str(sentinel))
    each = "; ".join(f"{', '.join(sentinels)}: {text}" for text, sentinels in by_text.items())
    what, remedy = ("knows", "; check the service's name") if unknown else ("tells the primary of", "")
    return NoSentinelError(f"no Sentinel {what} {service!r} (asked {len(told)}: {each}){remedy}", permanent=permanent)


def named(reply: Any) -> str:
    """Tell which services a Sentinel knows, by its reply to ``SENTINEL MASTERS``."""
    rows = [] if isinstance(reply, ReplyError) else reply
    names = [mapping(row)[b"name"] for row in rows]
    return f"knows {listed(names)}" if names else "knows no such service"
