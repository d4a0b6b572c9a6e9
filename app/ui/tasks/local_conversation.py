"""LocalRunView: a run of this machine as the page of a run needs it."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QCoreApplication

from app.core.errors import NotFound, Rejected
from app.core.events import Event
from app.core.runs.answers import QuestionAnswer
from app.core.runs.desk.local_conversation import GO_ON
from app.core.runs.local.status import RunPhase
from app.core.storage.attachments import Attachment
from app.ui.transcript.connection_line import ConnectionState
from app.ui.transcript.run_notice import LocalAction, LocalNotice

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from app.core.posthog.types import TaskRun
    from app.core.runs.desk.local_conversation import LocalConversation
    from app.core.runs.items import Permission
    from app.core.runs.local.claim import RunHolder
    from app.core.runs.local.status import WaitingPrompt
    from app.core.runs.transcript import Transcript
    from app.core.runs.worktrees.environments import EnvironmentAction
    from app.core.storage.attachments import Attachments
    from app.ui.transcript.answers import RunAnswer

START, ANEW, SEND, AGREE, SKIP, CONTINUE, END = "start", "anew", "send", "agree", "skip", "go-on", "end"
SIGN_IN, COMMAND = "sign-in:", "command:"
# What repositories call the icons of their commands.
ICONS = {"run": "play", "test": "lab", "debug": "activity", "tool": "tool", "build": "tool", "stop": "stop"}
HOLD_OF_PHASE = {RunPhase.WORKING: "turn", RunPhase.STOPPING: "turn", RunPhase.STARTING: "starting"}


class WaitingText(NamedTuple):
    """A message that waits."""

    id: str
    text: str
    files: tuple[Attachment, ...] = ()
    state: str = "waiting"
    error: None = None


class LocalRunView:
    """A `RunConversation` of `core.runs.local`. `close` listens to nothing more; the run goes on."""

    def __init__(self, conversation: LocalConversation, store: Attachments) -> None:
        self.changed: Event[None] = Event()
        self._conversation = conversation
        self._store = store
        self._loaded = False
        # The attachments of messages that wait, by the paths that the agent is told, as far as they are known.
        self._attached: dict[str, Attachment] = {}
        self._stop_listening = conversation.changed.subscribe(self.changed.emit)

    async def load(self) -> None:
        """Read the stored transcript."""
        await self._conversation.open()
        self._loaded = True
        self.changed.emit(None)

    def close(self) -> None:
        """Listen to nothing more."""
        self._stop_listening()

    @property
    def transcript(self) -> Transcript:
        return self._conversation.transcript

    @property
    def takes_files(self) -> bool:
        """They are kept beside the run, and handed to the agent."""
        return self._conversation.elsewhere is None

    @property
    def run(self) -> TaskRun:
        return self._conversation.run

    @property
    def connection(self) -> ConnectionState:
        return ConnectionState("live" if self._loaded else "connecting")

    @property
    def queued(self) -> Sequence[WaitingText]:
        return [self._waiting(each) for each in self._conversation.queued]

    @property
    def hold(self) -> str:
        return HOLD_OF_PHASE.get(self._conversation.status.phase, "")

    @property
    def stopping(self) -> bool:
        return self._conversation.status.phase is RunPhase.STOPPING

    @property
    def steers(self) -> bool:
        return self._conversation.steers

    @property
    def notice(self) -> LocalNotice | None:
        return notice_of(self._conversation) if self._loaded else None

    @property
    def actions(self) -> Sequence[LocalAction]:
        return () if self._conversation.elsewhere is not None else actions_of(self._conversation.actions)

    def try_now(self) -> None:
        """There is no connection that could be tried."""

    async def act(self, action: str) -> None:
        conversation = self._own
        if action.startswith(COMMAND):
            await conversation.act(conversation.actions[int(action.removeprefix(COMMAND))])
        elif action.startswith(SIGN_IN):
            await conversation.sign_in(action.removeprefix(SIGN_IN))
        else:
            acts: dict[str, Callable[[], Coroutine[None, None, None]]] = {
                START: conversation.start,
                ANEW: conversation.start_anew,
                SEND: conversation.send_held,
                AGREE: conversation.agree_to_setup,
                SKIP: conversation.skip_setup,
                CONTINUE: conversation.go_on,
                END: lambda: conversation.end("cancelled"),
            }
            await acts[action]()

    @property
    def _own(self) -> LocalConversation:
        """The conversation, to do something. Raises `Rejected` while another process carries the run out."""
        if self._conversation.elsewhere is not None:
            raise Rejected(_who(self._conversation.elsewhere), action=_tr("Do it there."))
        return self._conversation

    async def send(self, text: str, files: Sequence[Attachment] = (), *, now: bool = False) -> None:
        conversation, paths = self._own, []
        for each in files:
            content = await asyncio.to_thread(self._store.read, each)
            paths.append(await conversation.keep_file(each.name, content))
            self._attached[paths[-1]] = each
        await conversation.send(text, tuple(paths), now=now)

    async def remove(self, queued_id: str) -> WaitingText | None:
        found = next((each for each in self._conversation.queued if str(each.id) == queued_id), None)
        if found is None:
            return None
        for each in found.files:
            # They came with the task, or before Burrow was started again.
            if each not in self._attached:
                self._attached[each] = await asyncio.to_thread(self._store.add_file, Path(each))
        try:
            await self._conversation.remove(queued_id)
        except NotFound:
            return None
        return self._waiting(found)

    async def send_now(self, queued_id: str) -> None:
        await self._own.send_now(queued_id)

    async def send_again(self, queued_id: str) -> None:
        await self._own.send_held()

    async def stop_turn(self) -> None:
        await self._own.stop_turn()

    async def end(self) -> None:
        await self._own.end()

    async def answer(self, answer: RunAnswer) -> None:
        answers = [QuestionAnswer(*each) for each in answer.answers]
        await self._own.answer(answer.permission, answer.option_id, answer.text, answers)

    async def dismiss(self, permission: Permission) -> None:
        await self._own.stop_turn()

    async def set_option(self, option_id: str, value: str) -> None:
        await self._own.set_option(option_id, value)

    def _waiting(self, prompt: WaitingPrompt) -> WaitingText:
        files = tuple(self._attached.get(each) or Attachment(Path(each).name, "", 0, "") for each in prompt.files)
        return WaitingText(str(prompt.id), prompt.text, files)


def actions_of(commands: Sequence[EnvironmentAction]) -> list[LocalAction]:
    """The commands of a repository as buttons."""
    return [
        LocalAction(f"{COMMAND}{number}", each.name, each.command, ICONS.get(each.icon, "play"))
        for number, each in enumerate(commands)
    ]


def notice_of(conversation: LocalConversation) -> LocalNotice | None:
    """What a local run needs the person for."""
    status, record = conversation.status, conversation.record
    again = LocalAction(START, _tr("Start it again"))
    if conversation.elsewhere is not None:
        return LocalNotice(
            _tr("This run is carried out elsewhere"),
            _who(conversation.elsewhere),
            _tr("What its agent does appears here. Answer it, write to it and stop it there."),
            tone="info",
        )
    if conversation.setup is not None:
        environment = conversation.setup.environment
        return LocalNotice(
            _tr("May this script set the worktree up?"),
            _tr("{0} of the repository runs it once, in {1}.").format(environment.file, record.folder),
            _tr("You are asked again when its text changes."),
            (LocalAction(AGREE, _tr("Run the script")), LocalAction(SKIP, _tr("Go on without it"))),
            script=environment.script,
        )
    match status.phase:
        case RunPhase.FORGOTTEN:
            return LocalNotice(
                _tr("The agent has forgotten this conversation"),
                status.text,
                _tr("It can start anew, and is told with your next message what was said here."),
                (LocalAction(ANEW, _tr("Start anew with this history")),),
            )
        case RunPhase.NEW | RunPhase.ENDED if record.cut:
            return LocalNotice(
                _tr("This run was cut off"),
                _tr("Burrow ended its agent while it was at work. What it was just saying may be missing."),
                _tr("Go on tells it: “{0}” You can also send another message.").format(GO_ON),
                (LocalAction(CONTINUE, _tr("Go on")), LocalAction(END, _tr("End this run"))),
            )
        case RunPhase.NEW | RunPhase.ENDED if not record.ended and not status.text:
            return LocalNotice(
                _tr("The agent is not running"),
                "",
                _tr("A message starts it, and it goes on where it was."),
                (LocalAction(START, _tr("Start the agent")),),
                tone="info",
            )
        case RunPhase.ENDED if not record.ended:
            title = _tr("The agent has ended")
            return LocalNotice(title, status.text, status.advice, (again,), "bad", status.stderr)
        case RunPhase.FAILED:
            sign_in = "\n".join(filter(None, (_sign_in_words(each.name, each.command) for each in status.sign_in)))
            advice = "\n".join(filter(None, (status.advice, sign_in)))
            title = _tr("The agent could not be started")
            return LocalNotice(title, status.text, advice, (again,), "bad", status.stderr)
        case RunPhase.READY if status.text and status.held:
            acts = [LocalAction(f"{SIGN_IN}{each.id}", each.name) for each in status.sign_in if not each.command]
            words = "\n".join(filter(None, (_sign_in_words(each.name, each.command) for each in status.sign_in)))
            return LocalNotice(
                _tr("The agent did not take the message"),
                status.text,
                "\n".join(filter(None, (status.advice, words))),
                (*acts, LocalAction(SEND, _tr("Send it again"))),
            )
        case RunPhase.READY if status.held and conversation.queued:
            return LocalNotice(
                _tr("Messages wait"),
                "",
                _tr("You stopped the turn. They are sent with your next message."),
                (LocalAction(SEND, _tr("Send them now")),),
                tone="info",
            )
    return None


def _who(holder: RunHolder) -> str:
    """Which other process has a run."""
    words = {
        "window": _tr("Another window of Burrow has it (process {0})."),
        "command line": _tr("A command in a terminal has it (process {0})."),
    }
    return words.get(holder.role, _tr("Another process of Burrow has it ({0}).")).format(holder.pid or "?")


def _sign_in_words(name: str, command: tuple[str, ...]) -> str:
    return _tr("{0}: run in a terminal: {1}").format(name, shlex.join(command)) if command else ""


def _tr(text: str) -> str:
    return QCoreApplication.translate("LocalRun", text)
