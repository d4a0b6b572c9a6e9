"""When a session is well again, so that a place asks anew for what it could not have.

A status changes with every renewal. Whoever asks again at each change of it, and is refused, causes the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.auth.status import CredentialStatus


class Comeback:
    """Follows one session from the status it has now."""

    def __init__(self, status: CredentialStatus) -> None:
        self._well = status.healthy

    def told(self, status: CredentialStatus) -> bool:
        """Whether the session has just become well."""
        before, self._well = self._well, status.healthy
        return self._well and not before
