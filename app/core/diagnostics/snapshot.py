"""SignInSnapshot: how a sign-in stands, as values without secrets, for whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from app.core.auth.credential import Credential
    from app.core.hosts import Host
    from app.core.posthog.types import Project, User

# What is less is the time that an answer takes, and seconds that its `Date` does not tell.
SKEW_TOLD_FROM = 5.0


class SignInSnapshot(NamedTuple):
    """Times are unix seconds of this computer's clock. `skew` says how far the server's is ahead, 0 if it hardly is.

    `token` is a fingerprint, `generation` counts the renewals of the grant. `renewable` is False for an API key.
    """

    account: str | None
    server: str
    host: str
    origin: str
    project: str | None
    state: str
    trouble: str | None
    reason: str | None
    store: str
    persistent: bool
    skew: float
    token: str = ""
    generation: int = 0
    renewable: bool = True
    issued_at: float | None = None
    renews_at: float | None = None
    scopes: tuple[str, ...] = ()


class SnapshotSource(Protocol):
    """What a snapshot is taken of (`app.core.backend`)."""

    host: Host
    session: Credential

    @property
    def account(self) -> User | None: ...

    @property
    def project(self) -> Project | None: ...


def snapshot_of(backend: SnapshotSource) -> SignInSnapshot:
    """How the sign-in of an account stands now."""
    host, account, project = backend.host, backend.account, backend.project
    return _snapshot(backend.session, host.name, host.key, host.origin)._replace(
        account=(account.email or account.short_name) if account else None,
        project=f"{project.name} ({project.id})" if project else None,
    )


def snapshot_of_server(credential: Credential) -> SignInSnapshot:
    """How the sign-in to a server of the user's own stands now; there is no account, and the key names the host."""
    profile = credential.profile
    return _snapshot(credential, profile.name, profile.key.text, profile.origin)


def _snapshot(credential: Credential, server: str, host: str, origin: str) -> SignInSnapshot:
    status, grant, time = credential.status, credential.grant, credential.oauth.time
    standing = SignInSnapshot(
        None,
        server,
        host,
        origin,
        None,
        status.state.value,
        status.trouble,
        status.reason,
        status.store,
        status.persistent,
        time.skew if abs(time.skew) > SKEW_TOLD_FROM else 0.0,
    )
    if grant is None:
        return standing
    tokens = grant.tokens
    return standing._replace(
        token=credential.journal.fingerprint(tokens.access_token),
        generation=tokens.generation,
        renewable=grant.renewable,
        issued_at=time.local(tokens.issued_at) if tokens.issued_at else None,
        renews_at=credential.renews_at,
        scopes=tuple(dict.fromkeys(tokens.scope.split())),
    )
