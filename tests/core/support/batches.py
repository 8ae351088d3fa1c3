"""Batches of a member of a group, without a server."""

from __future__ import annotations

from streamcore.entries import GroupBatch
from streamcore.group.options import Membership
from streamcore.group.pending import Pending

MEMBER = Membership.of(["s", "t"], "g", "c")


def delivered(pending: Pending, *ids: str, stream: str = "s") -> GroupBatch[bytes]:
    batch = GroupBatch[bytes](stream.encode(), [[id_.encode(), [b"f", b"v"]] for id_ in ids], inbox=pending.note)
    pending.add(batch)
    return batch
