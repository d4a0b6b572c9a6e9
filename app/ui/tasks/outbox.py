"""Sends new tasks: each is stored in the outbox first, so that neither a lost sign-in nor a crash loses one.

A task that was never sent waits for the sign-in or the connection. It is then sent once, in the order of writing, for
the account and project it was written in. A task whose outcome is unknown is sent again only if the user says so.

Several windows share the outbox. The one that claims a task sends it; the others show it as being sent, and take it
over if that window dies.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.core.auth.status import CredentialState
from app.core.errors import BurrowError, Offline, OutcomeUnknown, SignInNeeded, StorageTrouble, TimedOut
from app.core.posthog.run_options import RunOptions
from app.core.posthog.task_fields import texts_of
from app.core.posthog.types import new_task
from app.core.storage.attachments import FIELD, decode, encode
from app.ui.bridge import Generation
from app.ui.tasks.rows import PendingTask
from app.ui.tasks.wording import SendState

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.backend import Backend
    from app.core.fetcher import Admission
    from app.core.posthog.types import NewTask, Task, User
    from app.core.services import Services
    from app.core.storage import OutboxItem, Scope
    from app.ui.bridge import Bridge

KIND = "task.create"
RUN_WITH = "run_with"

SENDABLE = frozenset({SendState.SIGN_IN, SendState.CONNECTION})
# How often to look what became of a task that another window sends.
WATCH_MS = 1000


class OutboxSender(QObject):
    """The outbox of one project of one account.

    `changed` when `pending` changed; `sent(id, Task)` when the server accepted a task; `run_wanted(task_id, options)`
    after that if it is to run, with its `RunOptions` or None; `waiting_sent` if it had waited; `refused(id)` when the
    server rejected it; `gone_elsewhere` when another window has sent or discarded one; `trouble(BurrowError)` when the
    outbox itself fails.
    """

    changed = Signal()
    sent = Signal(str, object)
    run_wanted = Signal(str, object)
    refused = Signal(str)
    waiting_sent = Signal()
    gone_elsewhere = Signal()
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
        # The tasks that this window is sending. What the outbox says about any other one is shown.
        self._sending: set[str] = set()
        # Items whose tasks the server has, and which could not be removed.
        self._left_over: set[str] = set()
        self._watch = QTimer(self, interval=WATCH_MS)
        self._watch.timeout.connect(self._look_again)

    @property
    def pending(self) -> tuple[PendingTask, ...]:
        return tuple(self._pending.values())

    @property
    def sending(self) -> frozenset[str]:
        """The ids of those that this window sends now."""
        return frozenset(self._sending)

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
        self._sending.clear()
        self._turn = None
        self._watch.stop()
        self.changed.emit()
        if self._scope is not None and self._project is not None:
            self._generation.spawn(self._read(self._scope), done=self._loaded, failed=self.trouble.emit)

    def send(self, new: NewTask, *, run: bool = False, files: str = "", options: RunOptions | None = None) -> str:
        """Show, store and send a new task, after those that wait. Returns its id in `pending`.

        `options` are those to run it with; None: those of the last run of its repository.
        """
        # Behind others that wait it waits too, in the state of the oldest: tasks arrive in the order of writing.
        waiting = self._ready()
        behind = waiting[0].state if waiting else SendState.CONNECTION if self._turn is not None else None
        state = behind or SendState.SENDING
        made = self._show(
            PendingTask(f"p{next(self._numbers)}", new, state, datetime.now(UTC), run=run, files=files, options=options)
        )
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
        backend, scope = self._backend, self._scope
        if backend is None or scope is None or self._project is None or self._turn is not None:
            return
        if backend.credential.status.state is CredentialState.SIGNED_IN:
            self._generation.spawn(
                self._prepare(backend, scope), done=self._prepared, failed=self.trouble.emit, key="drain"
            )

    def take_back(self, pending_id: str, taken: Callable[[NewTask, str], object]) -> None:
        """Remove a task that was not sent from the outbox, then give its text and its files to `taken`.

        It is not given if another window has begun to send the task.
        """
        item = self._pending.get(pending_id)
        if item is None or item.state is SendState.SENDING:
            return
        item_id = self._item_ids.get(pending_id)
        if item_id is None:
            self.discard(pending_id)
            taken(item.new, item.files)
            return

        def removed(done: bool) -> None:
            if not done:
                self._look_again()
                return
            self._pending.pop(pending_id, None)
            self._item_ids.pop(pending_id, None)
            self.changed.emit()
            taken(item.new, item.files)

        outbox = self._services.storage.outbox
        self._generation.spawn(outbox.remove(item_id), done=removed, failed=self.trouble.emit)

    def found(self, pending_id: str, task_id: str) -> None:
        """A task of unknown outcome is on the server: its files go to it, and it leaves the outbox."""
        item, scope, project = self._pending.get(pending_id), self._scope, self._project
        if item is None or not item.files or scope is None or project is None:
            self.discard(pending_id)
            return
        from app.core.posthog.waiting_files import keep

        work = keep(self._services.storage.drafts, scope, project, task_id, item.files)
        # In this order: the files are named by the outbox until the task has them.
        self._bridge.spawn(self, work, done=lambda _nothing: self.discard(pending_id), failed=self.trouble.emit)

    def discard(self, pending_id: str) -> None:
        """Remove a task from the outbox."""
        if self._pending.pop(pending_id, None) is None:
            return
        item_id = self._item_ids.pop(pending_id, None)
        if item_id is not None:
            # Not in the generation: what the user discarded goes, even if the account changes now.
            self._bridge.spawn(
                self,
                self._services.storage.outbox.remove(item_id),
                done=lambda removed: None if removed else self._look_again(),
                failed=self.trouble.emit,
            )
        self.changed.emit()

    def _ready(self) -> list[PendingTask]:
        """The tasks that were never sent, the oldest first."""
        return sorted((p for p in self._pending.values() if p.state in SENDABLE), key=lambda p: p.created_at)

    async def _prepare(self, backend: Backend, scope: Scope) -> bool:
        """Read what waits. Whether there is something, and the server confirms whose it is."""
        self._merge(await self._read(scope))
        if not self._ready():
            return False
        try:
            me: User = await backend.accounts.me()
        except BurrowError:
            # The next answer of the server drains the outbox again.
            return False
        # Another window may have sent some of it meanwhile.
        self._merge(await self._read(scope))
        return me.account_key == scope.account

    def _prepared(self, confirmed: bool) -> None:
        if confirmed and self._turn is None:
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
        self._sending.add(item.id)
        self._generation.spawn(
            self._send(backend, scope, project, item),
            done=lambda task: self._left(item) if task is None else self._accepted(item, task),
            failed=lambda error: self._send_failed(item, error),
        )

    async def _send(self, backend: Backend, scope: Scope, project: int, item: PendingTask) -> Task | None:
        """The task as the server has it; None if another window has claimed it or it is no longer in the outbox."""
        outbox = self._services.storage.outbox
        sure = backend.sure
        # The state says what a process that ends here leaves behind: "sending" becomes an unknown outcome. Until it is
        # sure who is signed in nothing can leave, so the item counts as never sent.
        item_id = await self._claim(scope, project, item, SendState.SENDING if sure else SendState.SIGN_IN)
        if item_id is None:
            return None
        try:
            admission = await _admit(backend, scope)
            if not sure and not await outbox.update(item_id, SendState.SENDING.value):
                return None
            # Should another process sign in to another account before the request leaves, it is not sent.
            task: Task = await backend.tasks.create(item.new, admission=admission)
        except BurrowError as error:
            # A process that ends before this leaves the item "sending", so of unknown outcome.
            with suppress(StorageTrouble):
                await outbox.release(item_id, state_after(error).value)
            raise
        except BaseException:
            # Cancelled, or a bug: whoever reads the item next shows what its state says.
            outbox.release_soon(item_id)
            raise
        if item.files:
            from app.core.posthog.waiting_files import keep

            try:
                await keep(self._services.storage.drafts, scope, project, task.id, item.files)
            except StorageTrouble as trouble:
                # They stay in memory, and are written with the next draft.
                self.trouble.emit(trouble)
        # If the process ends before this, the next start asks the user instead of creating the task twice.
        try:
            await outbox.remove(item_id)
        except StorageTrouble as trouble:
            # The task exists all the same, and must not be shown as one that could be sent again.
            self._left_over.add(item_id)
            self.trouble.emit(trouble)
        return task

    async def _claim(self, scope: Scope, project: int, item: PendingTask, state: SendState) -> str | None:
        """Claim a task, which is stored if it is not yet. Returns the id of its outbox item."""
        outbox = self._services.storage.outbox
        known = self._item_ids.get(item.id)
        if known is not None:
            in_order = item.id == self._turn
            try:
                claimed = await outbox.claim(known, state.value, in_order=in_order)
            except StorageTrouble as trouble:
                # It is stored and was not sent, so it goes on waiting.
                self.trouble.emit(trouble)
                raise Offline(trouble.cause, trouble.facts) from None
            return None if claimed is None else known
        stored = await outbox.add(scope, KIND, payload_of(item, project), state=state.value, claim=True)
        self._item_ids[item.id] = stored.id
        return stored.id

    async def _store(self, scope: Scope, project: int, item: PendingTask, state: SendState) -> None:
        """Store a task that waits behind others."""
        outbox = self._services.storage.outbox
        stored = await outbox.add(scope, KIND, payload_of(item, project), state=state.value)
        self._item_ids[item.id] = stored.id

    def _left(self, item: PendingTask) -> None:
        """Another window sends or has sent the task."""
        self._sending.discard(item.id)
        self._waited.discard(item.id)
        if item.id == self._turn:
            self._turn = None
        self._look_again()

    def _accepted(self, item: PendingTask, task: Task) -> None:
        self._sending.discard(item.id)
        self._pending.pop(item.id, None)
        self._item_ids.pop(item.id, None)
        self.sent.emit(item.id, task)
        if item.run:
            # The item is gone: should this fail or the process end now, the task is there and was not run.
            self.run_wanted.emit(task.id, item.options)
        if item.id in self._waited:
            self._waited.discard(item.id)
            self.waiting_sent.emit()
        self.changed.emit()
        if item.id == self._turn:
            self._send_next()
        else:
            self.drain()

    def _send_failed(self, item: PendingTask, error: BurrowError) -> None:
        self._sending.discard(item.id)
        # It may have been discarded meanwhile.
        if item.id in self._pending:
            self._set_failed(item, error)

    def _set_failed(self, item: PendingTask, error: BurrowError) -> None:
        self._sending.discard(item.id)
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
        self._merge(items)
        self.drain()

    def _look_again(self) -> None:
        """Show what other windows made of the outbox, and send what is left."""
        if self._scope is not None and self._project is not None:
            self._generation.spawn(self._read(self._scope), done=self._loaded, failed=self.trouble.emit, key="look")

    def _merge(self, items: list[OutboxItem]) -> None:
        """Show the tasks of this project as the outbox has them, except those that this window is sending."""
        mine = {item.id: item for item in items if item.payload.get("project") == self._project}
        known = {item_id: number for number, item_id in self._item_ids.items()}
        before = dict(self._pending)
        for item_id in self._left_over & mine.keys():
            del mine[item_id]
            self._bridge.spawn(self, self._services.storage.outbox.remove(item_id), failed=_ignore)
        for item in mine.values():
            number = known.get(item.id) or f"p{next(self._numbers)}"
            if number in self._sending:
                continue
            self._item_ids[number] = item.id
            state = SendState.SENDING if item.claimed_elsewhere else stored_state(item.state)
            shown = self._pending.get(number)
            if shown is None:
                self._pending[number] = PendingTask(
                    number,
                    new_task(item.payload),
                    state,
                    moment_of_item(item.created_at),
                    run=item.payload.get("run") is True,
                    files=encode(decode(item.payload.get(FIELD))),
                    options=_options(item.payload.get(RUN_WITH)),
                )
            elif shown.state is not state:
                self._pending[number] = replace(shown, state=state, error=None)
        for item_id, number in known.items():
            if item_id not in mine and number not in self._sending:
                del self._item_ids[number]
                self._pending.pop(number, None)
        if any(item.claimed_elsewhere for item in mine.values()):
            self._watch.start()
        else:
            self._watch.stop()
        if self._pending != before:
            self.changed.emit()
        if before.keys() - self._pending.keys():
            self.gone_elsewhere.emit()


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


def payload_of(item: PendingTask, project: int) -> dict[str, Any]:
    """A task as the outbox stores it. Whether it is to run is stored with it: it may be sent after a restart."""
    payload: dict[str, Any] = {**texts_of(item.new), "project": project}
    if item.files:
        payload[FIELD] = item.files
    if item.run and item.options is not None:
        payload[RUN_WITH] = msgspec.to_builtins(item.options)
    return {**payload, "run": True} if item.run else payload


def _options(stored: object) -> RunOptions | None:
    """The options that an outbox item names; None for what this version cannot read."""
    try:
        return msgspec.convert(stored, RunOptions)
    except msgspec.ValidationError:
        return None


def moment_of_item(created_at: object) -> datetime:
    """When an item was stored; the storage keeps unix seconds."""
    if isinstance(created_at, datetime):
        return created_at
    return datetime.fromtimestamp(float(str(created_at)), UTC)


def _ignore(_error: BurrowError) -> None:
    """The next look at the outbox tries again."""
