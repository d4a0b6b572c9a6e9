"""Storage: everything that Burrow stores and that is no secret, in one SQLite file shared by several processes."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble
from app.core.storage.attachments import Attachments
from app.core.storage.cache import Cache
from app.core.storage.calls import Calls
from app.core.storage.database import Database
from app.core.storage.drafts import Drafts
from app.core.storage.exchanges import ExchangeLog
from app.core.storage.follow_ups import FollowUps
from app.core.storage.grant_log import GrantLog
from app.core.storage.log import ActivityLog
from app.core.storage.outbox import Outbox
from app.core.storage.proxy_clients import StoredClients
from app.core.storage.proxy_sessions import StoredSessions
from app.core.storage.raised_policies import RaisedPolicies
from app.core.storage.settings import Settings
from app.core.storage.writer import Writer

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from app.core.storage.run_starts import RunStarts
    from app.core.storage.stops import Stops

FILE_NAME = "burrow.sqlite3"


class Storage:
    """Settings, drafts, outbox, starts of runs, messages to them and stops of their turns, raised policies, cached
    answers, calls of tools, activity, events of grants, and the clients and sessions of the local MCP proxy.

    Every method waits for the writer's thread, except `Settings.get`, the `add` of the activity, and `touch` of the
    proxy's sessions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = Writer("burrow-storage")
        self._closing: Future[None] | None = None
        self.settings = Settings(database, self._writer)
        self.drafts = Drafts(database, self._writer)
        self.outbox = Outbox(database, self._writer)
        self.follow_ups = FollowUps(database, self._writer)
        self.raised_policies = RaisedPolicies(database, self._writer)
        self.cache = Cache(database, self._writer)
        self.calls = Calls(database, self._writer)
        self.activity = ActivityLog(database, self._writer)
        self.exchanges = ExchangeLog(database, self._writer)
        self.grants = GrantLog(database, self._writer)
        self.proxy_clients = StoredClients(database, self._writer)
        self.proxy_sessions = StoredSessions(database, self._writer)
        self.attachments = Attachments(None if database.path is None else database.path.parent)
        database.replaced = self.settings.restore

    @cached_property
    def run_starts(self) -> RunStarts:
        """Starts of runs that are under way. Not needed before the window is painted."""
        from app.core.storage.run_starts import RunStarts

        return RunStarts(self._database, self._writer)

    @cached_property
    def stops(self) -> Stops:
        """The turns that the user stopped. Not needed before the window is painted."""
        from app.core.storage.stops import Stops

        return Stops(self._database, self._writer)

    @staticmethod
    def open(folder: Path) -> Storage:
        """Open or create the database in `folder`. Raises `StorageTrouble`, which names the path."""
        return Storage(Database(folder / FILE_NAME))

    @staticmethod
    def in_memory() -> Storage:
        """A storage that lives as long as the process, for a folder that cannot be written."""
        return Storage(Database(None))

    @property
    def notice(self) -> str | None:
        """What was set aside, where it is and what the user can do with it; None when nothing was.

        It may also appear later, when damage is found while the database is in use.
        """
        return self._database.notice

    async def delete_unnamed_attachments(self) -> None:
        """Delete the copies of files that no draft, no message, no start of a run and nothing in the outbox names.

        Raises `StorageTrouble`.
        """
        import asyncio

        named = await self.drafts.attachments() | await self.outbox.attachments()
        named |= await self.follow_ups.attachments() | await self.run_starts.attachments()
        await asyncio.to_thread(self.attachments.clean, named)

    async def close(self) -> None:
        """Write what is unwritten, and close the file. Safe to call again. Raises nothing."""
        if self._closing is None:
            self._closing = self._writer.close(self._finish)
        import asyncio

        await asyncio.wrap_future(self._closing)

    def _finish(self) -> None:
        with contextlib.suppress(StorageTrouble):
            self.drafts.flush()
        self.drafts.close()
        self.outbox.close()
        self.follow_ups.close()
        if "run_starts" in self.__dict__:
            self.run_starts.close()
        self.raised_policies.close()
        self._database.close()
