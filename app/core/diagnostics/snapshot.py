"""SignInSnapshot: the status of a sign-in as values without secrets, for the window and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from app.core.auth.credential import Credential
    from app.core.hosts import Host
    from app.core.posthog.types import Project, User

# A smaller difference may come from the time that a response takes, and from the whole seconds of its `Date`.
SKEW_SHOWN_FROM = 5.0


class SignInSnapshot(NamedTuple):
    """All times are in Unix seconds by this computer's clock.

    `skew` is how many seconds the server's clock is ahead, 0 if the difference is small. `token` is a fingerprint.
    `generation` is that of the tokens (`auth/tokens.py`). `refreshable` is False for an API key. `works_until` is set
    once the server refused to refresh the grant: the access token works until then; infinity if that is unknown.
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
    refreshable: bool = True
    issued_at: float | None = None
    renews_at: float | None = None
    works_until: float | None = None
    scopes: tuple[str, ...] = ()


class SnapshotSource(Protocol):
    """The source of a snapshot (`app.core.backend`)."""

    host: Host
    credential: Credential

    @property
    def account(self) -> User | None: ...

    @property
    def project(self) -> Project | None: ...


def snapshot_of(backend: SnapshotSource) -> SignInSnapshot:
    """The present status of an account's sign-in."""
    host, account, project = backend.host, backend.account, backend.project
    return _snapshot(backend.credential, host.name, host.key, host.origin)._replace(
        account=(account.email or account.short_name) if account else None,
        project=f"{project.name} ({project.id})" if project else None,
    )


def snapshot_of_server(credential: Credential) -> SignInSnapshot:
    """The present status of the sign-in to a server of the user's own: no account, and the key names the host."""
    profile = credential.profile
    return _snapshot(credential, profile.name, profile.key.text, profile.origin)


def _snapshot(credential: Credential, server: str, host: str, origin: str) -> SignInSnapshot:
    status, grant, time = credential.status, credential.grant, credential.oauth.time
    snapshot = SignInSnapshot(
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
        time.skew if abs(time.skew) > SKEW_SHOWN_FROM else 0.0,
    )
    if grant is None:
        return snapshot
    tokens = grant.tokens
    return snapshot._replace(
        token=credential.journal.fingerprint(tokens.access_token),
        generation=tokens.generation,
        refreshable=grant.refreshable,
        issued_at=time.local(tokens.issued_at) if tokens.issued_at else None,
        renews_at=credential.renews_at,
        works_until=status.works_until,
        scopes=tuple(dict.fromkeys(tokens.scope.split())),
    )
