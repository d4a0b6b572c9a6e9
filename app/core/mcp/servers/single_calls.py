"""SingleCalls: a tool whose policy is Ask is allowed for one call, and its policy set back after that.

The MCP store keeps one policy for all calls of a tool (docs/wire.md, "Tools and approval states"). So for the length of
the call others may call it too. It is written down before the policy is raised. What cannot be set back at once is
tried again, by this process or by a later one on the same data.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec

from app.core.background import BackgroundTasks
from app.core.errors import BurrowError, NotFound, Rejected, StorageTrouble
from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from app.core.posthog.types import ApprovalState, StoreTool
    from app.core.storage.values import RaisedPolicy, Scope

ALLOWED: ApprovalState = "approved"
# How long until a policy that could not be set back is tried again, in seconds: at first, and at most.
PAUSES = (2.0, 60.0)
GROWTH = 2.0

log = logging.getLogger(__name__)


class RaisedRecord(Protocol):
    """The durable record (`app.core.storage.raised_policies`)."""

    async def add(self, scope: Scope, project: int, server: str, tool: str, former: str) -> RaisedPolicy: ...

    async def finish(self, scope: Scope, raised: RaisedPolicy) -> bool: ...

    async def due(self, scope: Scope) -> tuple[RaisedPolicy, ...]: ...

    async def all(self, scope: Scope) -> tuple[RaisedPolicy, ...]: ...

    async def remove_over(self, scope: Scope, project: int, server: str, tool: str) -> None: ...

    async def remove(self, scope: Scope, project: int, server: str, tool: str) -> None: ...


class PolicyStore(Protocol):
    """The requests of one project that are needed (`app.core.posthog.store`)."""

    async def tools(self, installation_id: str) -> tuple[StoreTool, ...]: ...

    async def set_policy(self, installation_id: str, tool: str, state: ApprovalState) -> StoreTool: ...


class SingleCalls:
    """The single calls of one account.

    `still_allowed` has the tools that could not be set back yet; `changed` tells when it changes. `store` gives the
    store of a project; `scope` and `project` are those of the account now.
    """

    def __init__(
        self,
        record: RaisedRecord,
        store: Callable[[int], PolicyStore],
        scope: Callable[[], Scope | None],
        project: Callable[[], int | None],
        *,
        pauses: tuple[float, float] = PAUSES,
    ) -> None:
        self.changed: Event[None] = Event()
        self.still_allowed: tuple[RaisedPolicy, ...] = ()
        self._record = record
        self._store = store
        self._scope = scope
        self._project = project
        self._pauses = pauses
        # What raises, sets back or decides takes its turn, tool by tool.
        self._turns: defaultdict[tuple[int, str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._background = BackgroundTasks()
        self._working: asyncio.Task[None] | None = None
        self._again = asyncio.Event()

    @asynccontextmanager
    async def allowed(self, server: str, tool: str, former: str) -> AsyncIterator[None]:
        """Within this, the tool is allowed; after it, it is set back to `former` without waiting.

        Raises what the store raises when the tool may not be allowed, and `StorageTrouble` when that cannot be written
        down: then it is not allowed.
        """
        scope, project = self._scope(), self._project()
        if scope is None or project is None:
            raise NotFound("No project is selected.", action="Choose a project of this account.")
        async with self._turns[project, server, tool]:
            raised = await self._record.add(scope, project, server, tool, former)
            try:
                await self._store(project).set_policy(server, tool, ALLOWED)
            except BaseException:
                self._background.record(self._finish(scope, raised))
                raise
        try:
            yield
        finally:
            self._background.record(self._finish(scope, raised))

    async def decide(self, server: str, tool: str, state: ApprovalState) -> StoreTool:
        """Set the policy that the user chose. No call that is under way sets it back."""
        scope, project = self._scope(), self._project()
        if scope is None or project is None:
            raise NotFound("No project is selected.", action="Choose a project of this account.")
        async with self._turns[project, server, tool]:
            stored = await self._store(project).set_policy(server, tool, state)
            try:
                if await self._record.all(scope):
                    await self._record.remove(scope, project, server, tool)
                    self._note([row for row in self.still_allowed if row[1:4] != (project, server, tool)])
            except StorageTrouble as trouble:
                log.warning("the end of a single call was not recorded: %s", trouble.cause)
        return stored

    async def as_decided(self, server: str, tools: tuple[StoreTool, ...]) -> tuple[StoreTool, ...]:
        """Tools of the store with the policies that the user decided on, where one is raised for a call.

        A tool that is allowed for one call asks before the next one.
        """
        scope, project = self._scope(), self._project()
        if scope is None:
            return tools
        try:
            raised = [row for row in await self._record.all(scope) if (row.project, row.server) == (project, server)]
        except StorageTrouble:
            return tools
        former = {row.tool: row.former for row in raised}
        if former:
            # Its owner may have died.
            self.set_back_soon()
        return tuple(
            msgspec.structs.replace(tool, approval_state=former[tool.tool_name])
            if tool.tool_name in former and tool.approval_state == ALLOWED
            else tool
            for tool in tools
        )

    def set_back_soon(self) -> None:
        """Set back whatever is due now, and go on until all of it is."""
        self._again.set()
        if self._working is None or self._working.done():
            self._working = self._background.start(self._set_back())

    async def close(self) -> None:
        """Wait a moment for what is being set back. The rest is left to the next process."""
        await self._background.close()

    async def _finish(self, scope: Scope, raised: RaisedPolicy) -> None:
        due = await self._record.finish(scope, raised)
        if due and not await self._restore(scope, raised) and self._scope() == scope:
            self._note((*self.still_allowed, raised))
            self.set_back_soon()

    async def _set_back(self) -> None:
        pause, longest = self._pauses
        while True:
            self._again.clear()
            scope = self._scope()
            if scope is None:
                return
            try:
                due = await self._record.due(scope)
                left = [row for row in due if not await self._restore(scope, row)]
                self._note(left)
            except StorageTrouble as trouble:
                log.warning("what is still allowed cannot be read: %s", trouble.cause)
                left = list(self.still_allowed)
            if not left:
                return
            try:
                async with asyncio.timeout(pause):
                    await self._again.wait()
            except TimeoutError:
                pause = min(pause * GROWTH, longest)

    async def _restore(self, scope: Scope, raised: RaisedPolicy) -> bool:
        """Set one policy back, unless somebody changed it meanwhile; whether that is settled.

        Raises `StorageTrouble`.
        """
        key = (raised.project, raised.server, raised.tool)
        async with self._turns[key]:
            # The requests go out as the account that is shown. The former one sets it back when it is shown again.
            if self._scope() != scope:
                return False
            # The user may have decided while this waited for its turn.
            if not any(row.number == raised.number for row in await self._record.all(scope)):
                return True
            store = self._store(raised.project)
            try:
                listed = await store.tools(raised.server)
                now = next((tool.approval_state for tool in listed if tool.tool_name == raised.tool), None)
                if now == ALLOWED:
                    await store.set_policy(raised.server, raised.tool, _state(raised.former))
            except (NotFound, Rejected) as refusal:
                # The tool or its server is gone, or the team decided otherwise: there is nothing to set back.
                log.info("%s is not set back: %s", raised.tool, refusal.cause)
            except BurrowError as failure:
                log.info("%s is still allowed: %s", raised.tool, failure.cause)
                return False
            await self._record.remove_over(scope, *key)
        return True

    def _note(self, rows: Sequence[RaisedPolicy]) -> None:
        now = tuple(rows)
        if now != self.still_allowed:
            self.still_allowed = now
            self.changed.emit(None)


def _state(former: str) -> ApprovalState:
    return "do_not_use" if former == "do_not_use" else "needs_approval"
