"""refusal_of(error) -> Refusal: the typed error for whatever kept a request of a client from being carried."""

from __future__ import annotations

from app.core.errors import BurrowError, SignInNeeded, VaultTrouble, VendorSignInNeeded
from app.core.mcp.proxy.parts import NotReady
from app.core.mcp.proxy.refusals import Refusal, RefusalKind

# By the type of what kept a request from being carried. The first that fits decides.
KINDS: tuple[tuple[type[BurrowError], RefusalKind], ...] = (
    (SignInNeeded, RefusalKind.SIGN_IN_NEEDED),
    (VaultTrouble, RefusalKind.SIGN_IN_NEEDED),
    (VendorSignInNeeded, RefusalKind.RECONNECT_NEEDED),
    (NotReady, RefusalKind.NOT_READY),
    (BurrowError, RefusalKind.SERVER_UNAVAILABLE),
)


def refusal_of(error: BurrowError, server: str, title: str = "") -> Refusal:
    """The refusal for an error that kept a request from being carried. `title` is the server's name for people."""
    kind = next(kind for cause, kind in KINDS if isinstance(error, cause))
    words = error.cause if not title or title in error.cause else f"{title}: {error.cause}"
    return Refusal(kind, f"{words} {error.advice}".strip(), error.advice, server)
