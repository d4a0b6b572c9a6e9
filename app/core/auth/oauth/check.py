"""TokenCheck: asks the host about a token of which an ambiguous refusal does not say whether it is dead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.background import retrieve

if TYPE_CHECKING:
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.tokens import TokenSet


class TokenCheck:
    """One question for each token, which all who ask at once wait for. The answer is remembered with the token.

    A question that the host did not answer is asked again by whoever meets the next ambiguous refusal.
    """

    def __init__(self, oauth: AuthorizationServer) -> None:
        self._oauth = oauth
        self._token = ""
        self._asking: asyncio.Task[bool | None] | None = None

    async def refuses(self, tokens: TokenSet) -> bool | None:
        """Whether the host refuses `tokens`; None when it did not say."""
        asking = self._asking
        unanswered = asking is not None and asking.done() and (asking.cancelled() or asking.result() is None)
        if asking is None or unanswered or self._token != tokens.access_token:
            self._token = tokens.access_token
            # Assigned before anything is awaited, and not cancelled with whoever asked first.
            asking = self._asking = asyncio.create_task(self._oauth.refuses(tokens), name="token check")
            asking.add_done_callback(retrieve)
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Ask no longer."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
