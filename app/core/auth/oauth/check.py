"""TokenCheck: asks the host whether a token is dead, after a refusal that does not say whose credential it is about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.background import retrieve

if TYPE_CHECKING:
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.tokens import TokenSet


class TokenCheck:
    """One check for each token, which all callers share. Its answer is remembered for as long as the token is checked.

    A check that the host did not answer is made again by the next caller.
    """

    def __init__(self, oauth: AuthorizationServer) -> None:
        self._oauth = oauth
        # One task holds both the check in flight and, once it is done, the remembered answer.
        self._token = ""
        self._check: asyncio.Task[bool | None] | None = None

    async def refuses(self, tokens: TokenSet) -> bool | None:
        """Whether the host refuses `tokens`; None when it did not say."""
        check = self._check
        # One answer for each token: a vendor that fails for ever must not cost a request each time. If an accepted
        # token dies later, the host's own refusals say so without doubt. Only a host that did not say is asked again.
        unanswered = check is not None and check.done() and (check.cancelled() or check.result() is None)
        if check is None or unanswered or self._token != tokens.access_token:
            self._token = tokens.access_token
            # Assigned before the first await: whoever asks meanwhile shares it. Shielded: it outlives its first caller.
            check = self._check = asyncio.create_task(self._oauth.refuses(tokens), name="token check")
            check.add_done_callback(retrieve)
        return await asyncio.shield(check)

    async def close(self) -> None:
        """Cancel a check in flight."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.gather(self._check, return_exceptions=True)
