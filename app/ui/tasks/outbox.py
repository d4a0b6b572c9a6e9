"""Sends new tasks: each is stored in the outbox first, so that neither a lost sign-in nor a crash loses one.

A task that was never sent waits for the sign-in or the connection. It is then sent once, in the order of writing, for
the account and project it was written in. A task whose outcome is unknown is sent again only if the user says so.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.core.auth.status import CredentialState
from app.core.errors import BurrowError, Offline, OutcomeUnknown, SignInNeeded, TimedOut
from app.core.posthog.task_fields import texts_of
from app.core.posthog.types import new_task
from app.ui.bridge import Generation
from app.ui.tasks.rows import PendingTask
from app.ui.tasks.wording import SendState

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.core.fetcher import Admission
    from app.core.posthog.types import NewTask, Task, User
    from app.core.services import Services
    from app.core.storage import OutboxItem, Scope
    from app.ui.bridge import Bridge

KIND = "task.create"

SENDABLE = frozenset({SendState.SIGN_IN, SendState.CONNECTION})


class OutboxSender(QObject):
    """The outbox of one project of one account.

    `changed` when `pending` changed; `sent(id, Task)` when the server accepted a task, and `waiting_sent` after that if
    it had waited; `refused(id)` when the server rejected it; `trouble(BurrowError)` when the outbox itself fails.
    """

    changed = Signal()
    sent = Signal(str, object)
    refused = Signal(str)
    waiting_sent = Signal()
    trouble = Signal(object)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._bridge = bridge
        self._numbers = itertools.count(1)
        self._generation = Generation(bridge, self)
        self._backend: Backend | None = None
        self._scope: Scope | None = None
        self._project: int | None = None
        self._pending: dict[str, PendingTask] = {}
        # The id of a pending task, which lasts as long as the process, to that of its item in the storage.
        self._item_ids: dict[str, str] = {}
        # Those that are announced by `waiting_sent` once they are accepted.
        self._waited: set[str] = set()
        # Of the tasks that waited, the one being sent. The next one follows when the server has answered.
        self._turn: str | None = None

    @property
    def pending(self) -> tuple[PendingTask, ...]:
        return tuple(self._pending.values())

    def get(self, pending_id: str) -> PendingTask | None:
        return self._pending.get(pending_id)

    def start(self, backend: Backend | None) -> None:
        """Another account or project: load what waits for it."""
        # Of a request in flight the item stays "sending": it is an unknown outcome once its account is back.
        self._generation.renew()
        self._backend = backend
        self._scope = backend.scope if backend is not None else None
        self._project = backend.project.id if backend is not None and backend.project is not None else None
        self._pending.clear()
        self._item_ids.clear()
        self._waited.clear()
        self._turn = None
        self.changed.emit()
        if self._scope is not None and self._project is not None:
            self._generation.spawn(self._read(self._scope), done=self._loaded, failed=self.trouble.emit)

    def send(self, new: NewTask) -> str:
        """Show, store and send a new task, after those that wait. Returns its id in `pending`."""
        # Behind others that wait it waits too, in the state of the oldest: tasks arrive in the order of writing.
        waiting = self._ready()
        behind = waiting[0].state if waiting else SendState.CONNECTION if self._turn is not None else None
        made = self._show(PendingTask(f"p{next(self._numbers)}", new, behind or SendState.SENDING, datetime.now(UTC)))
        if behind is None or self._scope is None or self._project is None:
            self._spawn_send(made)
        else:
            self._generation.spawn(
                self._store(self._scope, self._project, made, behind),
                done=lambda _nothing: self.drain(),
                failed=lambda error: self._send_failed(made, error),
            )
        return made.id

    def send_again(self, pending_id: str) -> None:
        """Send a task that waits, failed or has an unknown outcome, because the user asked for it."""
        item = self._pending.get(pending_id)
        if item is not None and item.state is not SendState.SENDING:
            self._spawn_send(self._show(replace(item, state=SendState.SENDING, error=None)))

    def drain(self) -> None:
        """Send the tasks that wait, one after the other, once the server has confirmed the account they belong to."""
        backend = self._backend
        if backend is None or backend.credential.status.state is not CredentialState.SIGNED_IN:
            return
        # One at a time: the end of a turn sends the next one itself.
        if self._turn is not None or not self._ready():
            return
        self._generation.spawn(backend.accounts.me(), done=self._verified, failed=_ignore, key="verify")

    def take_back(self, pending_id: str) -> NewTask | None:
        """Remove a task that was not sent from the outbox, and return its text."""
        item = self._pending.get(pending_id)
        if item is None or item.state is SendState.SENDING:
            return None
        self.discard(pending_id)
        return item.new

    def discard(self, pending_id: str) -> None:
        """Remove a task from the outbox."""
        if self._pending.pop(pending_id, None) is None:
            return
        item_id = self._item_ids.pop(pending_id, None)
        if item_id is not None:
            # Not in the generation: what the user discarded goes, even if the account changes now.
            self._bridge.spawn(self, self._services.storage.outbox.remove(item_id), failed=self.trouble.emit)
        self.changed.emit()

    def _ready(self) -> list[PendingTask]:
        """The tasks that were never sent, the oldest first."""
        return sorted((p for p in self._pending.values() if p.state in SENDABLE), key=lambda p: p.created_at)

    def _verified(self, me: User) -> None:
        # Somebody else may have signed in since, perhaps in another process.
        if self._scope is not None and self._scope.account == me.account_key and self._turn is None:
            self._send_next()

    def _send_next(self) -> None:
        """Send the oldest task that was never sent. One that failed or has an unknown outcome waits for the user."""
        item = next(iter(self._ready()), None)
        self._turn = None if item is None else item.id
        if item is not None:
            self._waited.add(item.id)
            self.send_again(item.id)

    def _show(self, item: PendingTask) -> PendingTask:
        self._pending[item.id] = item
        self.changed.emit()
        return item

    def _spawn_send(self, item: PendingTask) -> None:
        backend, scope, project = self._backend, self._scope, self._project
        if backend is None or scope is None or project is None:
            self._set_failed(item, SignInNeeded("Nobody is signed in."))
            return
        self._generation.spawn(
            self._send(backend, scope, project, item),
            done=lambda task: self._accepted(item, task),
            failed=lambda error: self._send_failed(item, error),
        )

    async def _send(self, backend: Backend, scope: Scope, project: int, item: PendingTask) -> Task:
        outbox = self._services.storage.outbox
        sure = backend.sure
        # The state says what a process that ends here leaves behind: "sending" becomes an unknown outcome. Until it is
        # sure who is signed in nothing can leave, so the item counts as never sent.
        item_id = await self._store(scope, project, item, SendState.SENDING if sure else SendState.SIGN_IN)
        try:
            admission = await _admit(backend, scope)
            if not sure:
                await outbox.update(item_id, SendState.SENDING.value)
            # Should another process sign in to another account before the request leaves, it is not sent.
            task: Task = await backend.tasks.create(item.new, admission=admission)
        except BurrowError as error:
            # A process that ends before this finds the item still "sending", so of unknown outcome.
            await outbox.update(item_id, state_after(error).value)
            raise
        # If the process ends before this, the next start asks the user instead of creating the task twice.
        await outbox.remove(item_id)
        return task

    async def _store(self, scope: Scope, project: int, item: PendingTask, state: SendState) -> str:
        """Store a task with its state. Returns the id of its outbox item."""
        outbox = self._services.storage.outbox
        known = self._item_ids.get(item.id)
        if known is not None:
            await outbox.update(known, state.value)
            return known
        stored = await outbox.add(scope, KIND, payload_of(item.new, project), state=state.value)
        self._item_ids[item.id] = stored.id
        return stored.id

    def _accepted(self, item: PendingTask, task: Task) -> None:
        self._pending.pop(item.id, None)
        self._item_ids.pop(item.id, None)
        self.sent.emit(item.id, task)
        if item.id in self._waited:
            self._waited.discard(item.id)
            self.waiting_sent.emit()
        self.changed.emit()
        if item.id == self._turn:
            self._send_next()
        else:
            self.drain()

    def _send_failed(self, item: PendingTask, error: BurrowError) -> None:
        # It may have been discarded meanwhile.
        if item.id in self._pending:
            self._set_failed(item, error)

    def _set_failed(self, item: PendingTask, error: BurrowError) -> None:
        state = state_after(error)
        # What is not in the storage cannot wait: nothing would send it at the next start.
        if state in SENDABLE and item.id not in self._item_ids:
            state = SendState.FAILED
        self._show(replace(item, state=state, error=error))
        if state is SendState.FAILED:
            self.refused.emit(item.id)
        if item.id == self._turn:
            # If this one has to wait again, so do those behind it. One that the server refused holds nobody up.
            if state in SENDABLE:
                self._turn = None
            else:
                self._send_next()

    async def _read(self, scope: Scope) -> list[OutboxItem]:
        return [item for item in await self._services.storage.outbox.list(scope) if item.kind == KIND]

    def _loaded(self, items: list[OutboxItem]) -> None:
        known = set(self._item_ids.values())
        for item in items:
            # A task that was written while the outbox was being read is shown already.
            if item.id in known or item.payload.get("project") != self._project:
                continue
            number = f"p{next(self._numbers)}"
            self._item_ids[number] = item.id
            self._pending[number] = PendingTask(
                number, new_task(item.payload), stored_state(item.state), moment_of_item(item.created_at)
            )
        self.changed.emit()
        self.drain()


async def _admit(backend: Backend, scope: Scope) -> Admission:
    """Raise `SignInNeeded` when another account is signed in, `Offline` when that cannot be known. Nothing was sent."""
    try:
        return await backend.admit(scope)
    except SignInNeeded:
        raise
    except BurrowError as trouble:
        raise Offline(trouble.cause, trouble.facts) from None


def state_after(error: BurrowError) -> SendState:
    """What an error of the create call means for the task: never sent, perhaps received, or refused."""
    if isinstance(error, SignInNeeded):
        return SendState.SIGN_IN
    if isinstance(error, Offline):
        return SendState.CONNECTION
    return SendState.UNKNOWN if may_have_arrived(error) else SendState.FAILED


def may_have_arrived(error: BurrowError) -> bool:
    """Whether the request may have taken effect: the error says so, or a successful answer could not be read."""
    status = error.facts.status
    return isinstance(error, OutcomeUnknown | TimedOut) or (status is not None and status < 300)


def stored_state(text: str) -> SendState:
    """The state of an item of an earlier start. One that was being sent then may have been received."""
    if text == SendState.SENDING.value:
        return SendState.UNKNOWN
    try:
        return SendState(text)
    except ValueError:
        return SendState.CONNECTION


def payload_of(new: NewTask, project: int) -> dict[str, Any]:
    return {**texts_of(new), "project": project}


def moment_of_item(created_at: object) -> datetime:
    """When an item was stored; the storage keeps unix seconds."""
    if isinstance(created_at, datetime):
        return created_at
    return datetime.fromtimestamp(float(str(created_at)), UTC)


def _ignore(_error: BurrowError) -> None:
    """The next answer of the server drains the outbox again."""
