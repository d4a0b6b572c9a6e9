"""What a client gets in place of what its server says: lists without hidden tools, and words when a server is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.mcp.proxy.messages import TOOLS_LIST
from app.core.mcp.proxy.refusals import Refusal, RefusalKind, RequestRefused

if TYPE_CHECKING:
    from app.core.mcp.proxy.bridge.envelope import Envelope, Key
    from app.core.mcp.proxy.parts import CallPolicy, ProxyClient, Upstream

UNKNOWN_ACTION = "Check whether it was done before you call it again."
RETRY_ACTION = "Call it again."


class ClientReplies:
    """Those of one client and one server."""

    def __init__(self, policy: CallPolicy, client: ProxyClient, upstream: Upstream) -> None:
        self._policy = policy
        self._client = client
        self._upstream = upstream

    async def revised(self, request: Envelope, answer: bytes) -> bytes:
        """The answer of a server as the client may see it."""
        if request.method != TOOLS_LIST:
            return answer
        try:
            if not await self._policy.hides(self._client, self._upstream):
                return answer
            return await self._policy.filtered(self._client, self._upstream, answer)
        except RequestRefused as refused:
            return self.refused(request, refused.refusal)

    def lost(self, request: Envelope, reason: str, *, sent: bool = True) -> bytes:
        """The answer to a request whose server is gone, with the reason as a sentence. `sent`: it may have run."""
        return self.refused(request, unavailable(self._upstream, reason, sent=sent))

    def refused(self, request: Envelope, refusal: Refusal) -> bytes:
        """A refusal as the answer to a request."""
        return refusal.to_json(_identity(request.key)).replace(b"\n", b" ")


def unavailable(upstream: Upstream, reason: str, *, sent: bool) -> Refusal:
    """Why a server cannot be used."""
    return Refusal(
        RefusalKind.SERVER_UNAVAILABLE,
        f"{upstream.title} is not available: {reason}",
        UNKNOWN_ACTION if sent else RETRY_ACTION,
        upstream.id,
        {"outcome_unknown": True} if sent else {},
    )


def _identity(key: Key) -> str | int | float | None:
    return key if isinstance(key, str | int | float) else None
