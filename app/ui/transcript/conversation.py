"""What the page needs of the conversation with a run: `core.runs.conversation` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.events import Event
    from app.core.posthog.types import TaskRun
    from app.core.runs.items import Permission
    from app.core.storage.attachments import Attachment
    from app.ui.transcript.answers import RunAnswer
    from app.ui.transcript.connection_line import ConnectionState
    from app.ui.transcript.queued_list import QueuedText
    from app.ui.transcript.source import ItemSource


class RunConversation(Protocol):
    """`changed` is emitted when run, connection or queue are others. Coroutines raise `BurrowError`."""

    @property
    def changed(self) -> Event[None]: ...
    @property
    def transcript(self) -> ItemSource: ...
    @property
    def run(self) -> TaskRun: ...
    @property
    def connection(self) -> ConnectionState: ...
    @property
    def queued(self) -> Sequence[QueuedText]:
        """Messages that wait, in their order."""

    @property
    def hold(self) -> str:
        """Why they wait, as `queued_list.HOLDS`."""

    @property
    def stopping(self) -> bool:
        """Whether the turn is being stopped."""

    @property
    def steers(self) -> bool:
        """Whether a message can be sent while a turn is under way."""

    @property
    def takes_files(self) -> bool:
        """Whether a message can have files."""

    def try_now(self) -> None:
        """Connect at once instead of waiting."""

    async def send(self, text: str, files: Sequence[Attachment] = (), *, now: bool = False) -> None:
        """Store a message, to be sent as soon as it can be; with `now` into the turn that is under way."""

    async def remove(self, queued_id: str) -> QueuedText | None:
        """Take a message out of the queue, and return it; None if it is being sent or was."""

    async def send_now(self, queued_id: str) -> None:
        """Send a queued message while the turn goes on."""

    async def send_again(self, queued_id: str) -> None:
        """Send a message again that may have arrived, or was refused."""

    async def stop_turn(self) -> None:
        """Stop what the agent does."""

    async def end(self) -> None:
        """End the session."""

    async def answer(self, answer: RunAnswer) -> None:
        """Answer what the agent asks."""

    async def dismiss(self, permission: Permission) -> None:
        """Refuse what the agent asks, and stop the turn."""

    async def set_option(self, option_id: str, value: str) -> None:
        """Change a setting of the session."""
