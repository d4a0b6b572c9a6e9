"""What the page of sign-in details is about: the sign-in of the current account, or of one of the own servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.diagnostics.snapshot import snapshot_of, snapshot_of_server
from app.core.diagnostics.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.auth.credential import Credential
    from app.core.auth.status import CredentialStatus
    from app.core.backend import Backend
    from app.core.diagnostics.snapshot import SignInSnapshot
    from app.core.services import Services
    from app.core.sign_ins import SignIn
    from app.ui.bridge import Generation


class DetailsSubject(NamedTuple):
    """A sign-in with its history. `backend` is None for a server of the user's own."""

    sign_in: SignIn
    credential: Credential
    backend: Backend | None
    timeline: Timeline

    @staticmethod
    def of(services: Services, key: str) -> DetailsSubject:
        """The subject for a sign-in in use, named by `SignIn.key`."""
        sign_in, backend = services.sign_ins.of(key), services.backend
        assert sign_in is not None
        assert sign_in.credential is not None
        if sign_in.server_id is None and backend is not None:
            return DetailsSubject(sign_in, sign_in.credential, backend, backend.timeline)
        return DetailsSubject(sign_in, sign_in.credential, None, Timeline.of(sign_in.credential, services.role))

    @property
    def key(self) -> str:
        """The key of the sign-in."""
        return self.sign_in.key

    @property
    def personal(self) -> bool:
        """Whether it is the sign-in of an account, which has a name, a project and drafts."""
        return self.backend is not None

    @property
    def status(self) -> CredentialStatus:
        """How the credential stands now."""
        return self.sign_in.status

    def snapshot(self) -> SignInSnapshot:
        """The facts as they are now."""
        return snapshot_of_server(self.credential) if self.backend is None else snapshot_of(self.backend)

    def is_for(self, sign_in: SignIn) -> bool:
        """Whether another sign-in is for the same server; a new sign-in may have changed the credential."""
        return sign_in.server_id is not None and sign_in.server_id == self.sign_in.server_id

    def follow(self, generation: Generation, changed: Callable[[object], None]) -> None:
        """Call `changed` with whatever happens to the sign-in, until the generation is renewed."""
        credential = self.credential
        # A backend records the events of its credential itself.
        if self.backend is None:
            generation.listen(credential.happened, self.timeline.record_event)
        else:
            generation.listen(self.backend.changed, changed)
        generation.listen(credential.changed, changed)
        generation.listen(credential.happened, changed)
