"""ConversationOpener: opens the conversation with a run of PostHog or of the workspace, as the page needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtCore import QObject

    from app.core.backend import Backend
    from app.core.posthog.types import Task, TaskRun
    from app.core.runs.conversation import Conversation
    from app.core.runs.desk.local_conversation import LocalConversation
    from app.core.runs.items import Permission
    from app.core.runs.queued import Queued
    from app.core.runs.transcript import Transcript
    from app.core.services import Services
    from app.core.storage.attachments import Attachment
    from app.ui.bridge import Bridge
    from app.ui.tasks.run_pool import OpenedConversation
    from app.ui.transcript.answers import RunAnswer
    from app.ui.transcript.connection_line import ConnectionState


class FollowedRun:
    """A `RunConversation` of `core.runs`. `first` is the run as the list knows it."""

    # Each agent of PostHog and of the workspace takes messages during a turn, and files.
    steers = takes_files = True

    def __init__(self, conversation: Conversation, first: TaskRun) -> None:
        self._conversation, self._first = conversation, first
        self.changed: Event[None] = Event()
        follower = conversation.follower
        self._ends: list[Callable[[], None]] = [
            follower.status.subscribe(lambda _status: self.changed.emit(None)),
            follower.run_changed.subscribe(lambda _run: self.changed.emit(None)),
            conversation.changed.subscribe(lambda _none: self.changed.emit(None)),
            conversation.stopping_changed.subscribe(lambda _stopping: self.changed.emit(None)),
        ]

    def close(self) -> None:
        """Listen to nothing, and delete what the transcript has on the disk."""
        for end in self._ends:
            end()
        self._conversation.follower.close()

    @property
    def transcript(self) -> Transcript:
        return self._conversation.follower.transcript

    @property
    def run(self) -> TaskRun:
        return self._conversation.follower.run or self._first

    @property
    def connection(self) -> ConnectionState:
        from app.ui.transcript.connection_line import CONNECTIONS, ConnectionState

        now = self._conversation.follower.now
        return ConnectionState(CONNECTIONS[now.kind], now.seconds, now.error)

    @property
    def queued(self) -> Sequence[Queued]:
        return self._conversation.queued

    @property
    def hold(self) -> str:
        return self._conversation.hold.reason

    @property
    def stopping(self) -> bool:
        return self._conversation.stopping

    def try_now(self) -> None:
        self._conversation.retry()

    async def send(self, text: str, files: Sequence[Attachment] = (), *, now: bool = False) -> None:
        await self._conversation.send(text, files, steer=now)

    async def remove(self, queued_id: str) -> Queued | None:
        found = self._waiting(queued_id)
        return found if await self._conversation.remove(queued_id) else None

    async def send_now(self, queued_id: str) -> None:
        await self._conversation.send_now(queued_id)

    async def send_again(self, queued_id: str) -> None:
        await self._conversation.send_again(queued_id)

    async def stop_turn(self) -> None:
        await self._conversation.stop_turn()

    async def end(self) -> None:
        await self._conversation.close()

    async def answer(self, answer: RunAnswer) -> None:
        from app.core.runs.answers import QuestionAnswer

        answers = [QuestionAnswer(*each) for each in answer.answers]
        await self._conversation.answer(answer.permission, answer.option_id, answer.text, answers)

    async def dismiss(self, permission: Permission) -> None:
        await self._conversation.dismiss(permission)

    async def set_option(self, option_id: str, value: str) -> None:
        await self._conversation.set_option(option_id, value)

    def _waiting(self, queued_id: str) -> Queued | None:
        return next((each for each in self._conversation.queued if each.id == queued_id), None)


class ConversationOpener:
    """Called with a run, it follows that until it is closed. `owner` bounds the life of what it starts."""

    def __init__(self, services: Services, bridge: Bridge, owner: QObject) -> None:
        self._services, self._bridge, self._owner = services, bridge, owner

    def __call__(self, backend: Backend, task: Task, run: TaskRun) -> OpenedConversation:
        # The runs of this machine take a quarter of a second to load, which most runs do not need.
        if run.environment == "local" and self._services.local_runs.has(run.id):
            return self._open_local(self._services.local_runs.conversation(run.id))
        # Not needed for the first paint.
        from app.core.runs.conversations import open_conversation
        from app.ui.tasks.run_pool import OpenedConversation

        scope = backend.scope
        assert scope is not None, "there are no tasks without an account"
        conversation = open_conversation(backend, scope, task.id, run.id, folder=self._services.folder)
        followed = FollowedRun(conversation, run)
        job = self._bridge.spawn(self._owner, conversation.run())

        def close() -> None:
            job.cancel()
            followed.close()

        return OpenedConversation(followed, close)

    def _open_local(self, conversation: LocalConversation) -> OpenedConversation:
        """A run of this machine. It goes on when it is not looked at any more."""
        from app.ui.tasks.local_conversation import LocalRunView
        from app.ui.tasks.run_pool import OpenedConversation

        view = LocalRunView(conversation, self._services.storage.attachments)
        self._bridge.spawn(self._owner, view.load())
        return OpenedConversation(view, view.close)
