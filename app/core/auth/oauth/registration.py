"""Client: Burrow as one host knows it, with what that host says of itself; both are asked for once and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.oauth.server import Metadata, Registration
from app.core.hosts import origin_of

if TYPE_CHECKING:
    from app.core.auth.oauth.server import OAuth
    from app.core.auth.settings import HostSettings
    from app.core.hosts import Host

METADATA, REGISTRATION = "metadata", "client"


class Client:
    """Metadata (RFC 8414) and registration (RFC 7591) of one host."""

    def __init__(self, host: Host, oauth: OAuth, settings: HostSettings) -> None:
        self._host = host
        self._oauth = oauth
        self._settings = settings
        self._metadata: Metadata | None = None

    async def metadata(self) -> Metadata:
        """The host's metadata, remembered so that a renewal needs no discovery (faults row 39)."""
        if self._metadata is None:
            self._metadata = self._remembered_metadata() or await self.rediscover()
        return self._metadata

    async def rediscover(self) -> Metadata:
        """Ask the host for its metadata afresh, as every sign-in does."""
        self._metadata = await self._oauth.discover()
        await self._settings.set(METADATA, _plain(self._metadata))
        return self._metadata

    @property
    def configured(self) -> bool:
        """Whether a person named the client id; such a one is never replaced."""
        return self._host.client_id is not None

    async def registration(self, metadata: Metadata) -> Registration:
        """The registration with the issuer: configured, remembered, or made now."""
        if self._host.client_id is not None:
            return Registration(self._host.client_id, "/callback", metadata.issuer)
        return self.remembered(metadata) or await self.register(metadata)

    def remembered(self, metadata: Metadata) -> Registration | None:
        """The registration that was made with this issuer; that of another one is none (faults row 40)."""
        remembered = self._settings.get(REGISTRATION)
        if self.configured or not isinstance(remembered, dict) or remembered.get("issuer") != metadata.issuer:
            return None
        try:
            return Registration(**remembered)
        except TypeError:
            return None

    async def register(self, metadata: Metadata) -> Registration:
        """Register with the issuer, in place of a registration that it no longer knows (faults row 31)."""
        registration = await self._oauth.register(metadata)
        await self._settings.set(REGISTRATION, _plain(registration))
        return registration

    async def forget_registration(self, client_id: str | None = None) -> None:
        """The issuer no longer knows the client: the next sign-in registers anew (faults row 31).

        With `client_id`, only if it is still the one that is remembered: another process may have registered anew.
        """
        await self._settings.refresh(REGISTRATION)
        remembered = self._settings.get(REGISTRATION)
        if client_id is None or not isinstance(remembered, dict) or remembered.get("client_id") == client_id:
            await self._settings.set(REGISTRATION, None)

    def _remembered_metadata(self) -> Metadata | None:
        remembered = self._settings.get(METADATA)
        if not isinstance(remembered, dict):
            return None
        try:
            known = Metadata(**remembered)
        except TypeError:
            return None
        # The embedded workspace changes its port; and no token ever goes to another origin.
        return known if origin_of(known.token_endpoint) == self._host.origin else None


def _plain(value: Metadata | Registration) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
