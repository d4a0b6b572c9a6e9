"""Small stand-ins with the shapes the window is built on: a backend whose session a test moves through its states."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QVBoxLayout

from app.core.auth.grant.grant import Grant
from app.core.auth.http.clients import HttpClients
from app.core.auth.key import CredentialKey
from app.core.auth.profile import CredentialProfile
from app.core.auth.status import CredentialState, CredentialStatus
from app.core.auth.tokens import TokenSet
from app.core.busy import Busy
from app.core.clock import SystemClock
from app.core.diagnostics.activity import Activity
from app.core.diagnostics.timeline import TimelineStep
from app.core.errors import BurrowError, Facts, SignInNeeded
from app.core.events import Event
from app.core.hosts import US, Host, parse_host
from app.core.installation import InstalledApp, InstallKind
from app.core.known_accounts import KnownAccounts
from app.core.mcp.servers.definitions import HttpServer, ServerAuthorization
from app.core.posthog.types import Membership, Project, User
from app.core.posthog.wire import encode_membership
from app.core.sign_ins import SignIn, SignIns
from app.core.storage.values import Draft, GrantEvent
from app.core.updates.service import Updates
from app.core.updates.source import UpdateSource
from app.ui.context import Command, Context
from app.ui.place import Identity, Place
from app.ui.tasks.wording import run_state
from app.ui.widgets.fields import FilterField
from app.ui.widgets.lists import ListTable
from app.ui.widgets.page import RememberedSplitter, SidePane, TitledPage
from app.ui.widgets.rows import Row
from tests.ui._tasks_fakes import FakeSettings


class FakeSignIn:
    def __init__(self) -> None:
        self.url = "https://us.posthog.com/oauth/authorize?x=1"
        self.opened = 0
        self._end: asyncio.Future[BurrowError | None] = asyncio.get_running_loop().create_future()

    def open_again(self) -> None:
        self.opened += 1

    def cancel(self) -> None:
        self.end(SignInNeeded("Signing in was cancelled.", Facts(code="cancelled")))

    def end(self, failure: BurrowError | None = None) -> None:
        if not self._end.done():
            self._end.set_result(failure)

    async def finish(self) -> None:
        failure = await self._end
        if failure is not None:
            raise failure


class FakeTime:
    """The server's clock: `skew` seconds ahead."""

    skew = 0.0
    clock = SystemClock()

    def local(self, moment: float) -> float:
        return moment - self.skew


class FakeOAuth:
    def __init__(self) -> None:
        self.time = FakeTime()


class FakeJournal:
    def __init__(self) -> None:
        self.events: tuple[GrantEvent, ...] = ()
        self.hold: asyncio.Event | None = None

    def fingerprint(self, token: str) -> str:
        return f"{len(token):08x}"

    async def recent(self, limit: int) -> tuple[GrantEvent, ...]:
        if self.hold is not None:
            await self.hold.wait()
        return self.events[:limit]


class FakeTimeline:
    """What happened, the newest first; `hold` keeps it from being read."""

    def __init__(self) -> None:
        self.steps: tuple[TimelineStep, ...] = ()
        self.read = 0
        self.hold: asyncio.Event | None = None

    async def recent(self, limit: int) -> tuple[TimelineStep, ...]:
        self.read += 1
        if self.hold is not None:
            await self.hold.wait()
        return self.steps[:limit]


class FakeCredential:
    def __init__(self, status: CredentialStatus, key: CredentialKey, name: str = "PostHog US") -> None:
        self.status = status
        self.key = key
        self.profile = CredentialProfile(key, name, "https://us.posthog.com", key.issuer)
        self.changed: Event[CredentialStatus] = Event()
        self.happened: Event[Any] = Event()
        self.oauth = FakeOAuth()
        self.journal = FakeJournal()
        self.sign_in: FakeSignIn | None = None
        self.stores: list[str] = []
        self.signed_out = 0
        self.grant: Any = None
        self.renews_at: float | None = None

    def become(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        self.changed.emit(self.status)

    async def begin_sign_in(self, *, scopes: Any = (), open_browser: bool = True) -> FakeSignIn:
        self.sign_in = FakeSignIn()
        return self.sign_in

    async def wait_restored(self) -> None:
        return None

    async def sign_out(self) -> bool:
        self.signed_out += 1
        self.become(state=CredentialState.SIGNED_OUT)
        return True

    async def choose_store(self, kind: str) -> None:
        self.stores.append(kind)
        self.become(trouble=None, store=kind)


def sign_in_of(
    status: CredentialStatus, generation: int = 0, title: str = "PostHog US", server_id: str | None = None
) -> SignIn:
    """A sign-in in use; its token is the one of this generation."""
    session = FakeCredential(status, CredentialKey(f"https://{title}"), title)
    if generation:
        session.grant = Grant(TokenSet("an-access-token", generation=generation))
    return SignIn(session, title, server_id, session.begin_sign_in)  # type: ignore[arg-type]


class FakeBackend:
    def __init__(
        self, host: Host = US, status: CredentialStatus | None = None, lab: object | None = None, slot: str = ""
    ) -> None:
        self.host = host
        key = CredentialKey(host.key if host.embedded else host.origin, slot=slot)
        self.credential = FakeCredential(status or CredentialStatus(CredentialState.SIGNED_IN), key, host.name)
        self.changed: Event[FakeBackend] = Event()
        self.account: User | None = User(uuid="u-1", email="ana@example.org", first_name="Ana")
        self.projects = (Project(1, "Web shop"), Project(2, "Mobile app"))
        self.project: Project | None = self.projects[0]
        self.lab = lab
        self.scope = None
        self.timeline = FakeTimeline()

    async def select_project(self, project_id: int) -> None:
        self.project = next(project for project in self.projects if project.id == project_id)
        self.changed.emit(self)


class AccountSettings(FakeSettings):
    """Settings in memory that the accounts of this machine are read from."""

    def __init__(self) -> None:
        super().__init__()
        self.refreshed: list[str] = []

    def under(self, prefix: str) -> dict[str, Any]:
        return {key: value for key, value in self.values.items() if key.startswith(prefix)}

    async def refresh_under(self, prefix: str) -> None:
        self.refreshed.append(prefix)

    def remember(self, issuer: str, email: str, slot: str = "", project: Project | None = None) -> CredentialKey:
        """Somebody has signed in to an account, and not out of it."""
        key = CredentialKey(issuer, slot=slot)
        user = User(uuid=f"{email} {slot}", email=email, first_name=email.partition("@")[0].title())
        self.values[f"account:{key.text}"] = encode_membership(Membership(user, (), project, "sign-in"))
        return key


class FakeDrafts:
    """Drafts of which some cannot be written while `fail` is set."""

    def __init__(self) -> None:
        self.unsaved: tuple[Draft, ...] = ()
        self.fail: BurrowError | None = None

    async def retry(self) -> None:
        if self.fail is not None:
            raise self.fail
        self.unsaved = ()


@dataclass
class FakeStorage:
    settings: AccountSettings = field(default_factory=AccountSettings)
    outbox: Any = None
    drafts: FakeDrafts = field(default_factory=FakeDrafts)
    notice: str | None = None


class FakeOwnServers:
    """Servers of the user's own, each with a sign-in. `fail` is raised by the next sign-in."""

    def __init__(self) -> None:
        self.changed: Event[None] = Event()
        self.servers: tuple[HttpServer, ...] = ()
        self.sessions: dict[str, FakeCredential] = {}
        self.fail: BurrowError | None = None

    def add(self, title: str, status: CredentialStatus | None = None) -> FakeCredential:
        """A server that was signed in to."""
        url = f"https://{title.lower()}.example/mcp"
        key = CredentialKey(url, url)
        server = HttpServer(f"own-{title.lower()}", title, url, ServerAuthorization(key))
        session = FakeCredential(status or CredentialStatus(CredentialState.SIGNED_IN), key, title)
        session.changed.subscribe(lambda _status: self.changed.emit(None))
        self.sessions[server.id] = session
        self.servers = tuple(sorted((*self.servers, server), key=lambda each: each.title))
        self.changed.emit(None)
        return session

    def remove(self, title: str) -> None:
        self.servers = tuple(server for server in self.servers if server.title != title)
        self.changed.emit(None)

    def credential_of(self, server: HttpServer) -> FakeCredential:
        return self.sessions[server.id]

    async def begin_sign_in(self, server_id: str) -> FakeSignIn:
        failure, self.fail = self.fail, None
        if failure is not None:
            raise failure
        return await self.sessions[server_id].begin_sign_in()


class FakeServices:
    role = "window"

    def __init__(self, backend: FakeBackend | None = None) -> None:
        self.storage = FakeStorage()
        self.activity = Activity()
        self.busy = Busy()
        # Nothing is there.
        self.folder = Path("/nonexistent/burrow")
        self.backend = backend
        self.backend_changed: Event[FakeBackend | None] = Event()
        self.accounts = KnownAccounts(self.storage.settings)  # type: ignore[arg-type]
        self.own_servers = FakeOwnServers()
        self.servers = SimpleNamespace(listed=())
        # Touches nothing before it is asked to.
        self.updates = Updates(
            Path("/nowhere"),
            HttpClients,
            self.storage.settings,  # type: ignore[arg-type]
            self.busy,
            installed=InstalledApp(InstallKind.APPIMAGE, ("/nowhere/Burrow.AppImage",), Path("/nowhere")),
            source=UpdateSource("https://updates.example/", b"{}"),
        )
        self.sign_ins = SignIns(lambda: self.backend, self.backend_changed, self.own_servers)  # type: ignore[arg-type, return-value]

        self.fail: BurrowError | None = None
        self.adding = False
        self.puts_down = 0

    def usual_store(self) -> None:
        return None

    async def keep_where_usual(self) -> None:
        return None

    async def put_runs_down(self) -> None:
        self.puts_down += 1

    async def resolve(self, named: str) -> Host:
        failure, self.fail = self.fail, None
        if failure is not None:
            raise failure
        return parse_host(named)

    async def connect(self, host: Host, *, slot: str | None = None) -> FakeBackend:
        """As the real ones: somebody is signed in to a known account, and nobody to any other."""
        chosen = self.accounts.last_slot(host) if slot is None else slot
        known = next((each for each in self.accounts.of(host) if each.slot == chosen), None)
        state = CredentialState.SIGNED_OUT if known is None else CredentialState.SIGNED_IN
        backend = FakeBackend(host, CredentialStatus(state), slot=chosen)
        backend.account = None if known is None else known.user
        self.switch(None)
        await asyncio.sleep(0)
        self.adding = known is None and chosen != self.accounts.last_slot(host)
        self.switch(backend)
        if known is not None:
            await self.storage.settings.set("host", host.key)
            await self.accounts.use(host, chosen)
        return backend

    def remembered_host(self) -> Any:
        return self.storage.settings.get("host") or None

    @property
    def without_account(self) -> bool:
        return self.backend is None and self.storage.settings.get("host") == ""

    def switch(self, backend: FakeBackend | None) -> None:
        self.backend = backend
        self.backend_changed.emit(backend)


class FakePlace(Place):
    """A place with a filter, a list and a page; notes what the window asks of it."""

    def __init__(self, context: Context, name: str) -> None:
        super().__init__(context)
        self.name = name
        self.typed = ""
        self.asked: list[str] = []
        side = SidePane(name)
        self.filter = FilterField(f"Filter {name}")
        side.add_padded(self.filter)
        self.list = ListTable(name, two_lines=True)
        self.list.set_rows(
            [
                Row("1", "Fix checkout crash on Safari", "acme/web", run_state("in_progress"), trailing="4 min ago"),
                Row("2", "Backfill events", "acme/pipeline", run_state("queued"), trailing="2 h ago"),
                Row("3", "Update the landing page", "acme/web", run_state("completed"), trailing="yesterday"),
            ]
        )
        side.box.addWidget(self.list, 1)
        self.page = TitledPage("Fix checkout crash on Safari")
        self.page.status.set_state(run_state("in_progress"), "04:12")
        self.edit = QLineEdit()
        self.edit.setAccessibleName("Reply")
        self.page.set_body(self.edit, margins=True)
        split = RememberedSplitter(Qt.Orientation.Horizontal, [side, self.page], [300, 600])
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(split)

    def show_account(self, former: Identity | None) -> None:
        self.asked.append("backend")
        self.count_changed.emit(3 if self.backend is not None else 0)

    def activate(self) -> None:
        self.asked.append("activate")

    def refresh(self) -> None:
        self.asked.append("refresh")

    def focus_filter(self) -> None:
        self.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def open_item(self, item: str) -> None:
        self.asked.append(f"open {item}")

    def begin_draft(self, fields: Mapping[str, str], note: str) -> None:
        self.asked.append(f"draft {fields['description']} in {fields['repository']}: {note}")

    def commands(self) -> list[Command]:
        new = Command(
            f"{self.name}.new", f"New in {self.name}", lambda: self.asked.append("new"), self._key(), self.name
        )
        return [new, Command(f"{self.name}.off", "Not now", lambda: None, "", self.name, lambda: False)]

    def items(self) -> list[Command]:
        return [
            Command(
                f"{self.name}.item.{row}", f"Open {title}", lambda row=row: self.asked.append(f"open {row}"), "", "Item"
            )
            for row, title in (("1", "checkout crash"), ("2", "backfill"))
        ]

    def unsaved_text(self) -> str:
        return self.typed

    def _key(self) -> str:
        return "Ctrl+N" if self.name == "tasks" else "Ctrl+Shift+N"
