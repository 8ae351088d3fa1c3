"""Faults of logins that rotate: tokens that are void at once, and an issuer that is away, or slow."""

from __future__ import annotations

from typing import Final

from ..context import Kind, Scene
from ..world.plan import Fault


def rotate(scene: Scene, _: Fault) -> str | None:
    """The token changes, also while an application has got the former token and has not logged in yet."""
    issuer = scene.world.issuer
    if issuer is None:
        return None
    issuer.rotate()
    return "the token changes"


def silence(scene: Scene, fault: Fault) -> str | None:
    """For a while the issuer gives no token, but an error."""
    issuer = scene.world.issuer
    if issuer is None or issuer.is_down:
        return None
    issuer.is_down = True
    seconds = 0.02 + fault.a**2 * 0.6

    def end() -> None:
        issuer.is_down = False

    scene.world.after(seconds, end)
    return f"no tokens are issued for {seconds:.2f} s"


def slow(scene: Scene, fault: Fault) -> str | None:
    """For a while its answers are late, some of them too late."""
    issuer = scene.world.issuer
    if issuer is None or issuer.delay:
        return None
    issuer.delay = fault.a
    seconds = 0.05 + fault.b**2 * 0.6

    def end() -> None:
        issuer.delay = 0.0

    scene.world.after(seconds, end)
    return f"tokens are {fault.a:.2f} s late, for {seconds:.2f} s"


KINDS: Final = {
    "token rotated": Kind(8, rotate),
    "issuer down": Kind(6, silence),
    "issuer slow": Kind(4, slow),
}
