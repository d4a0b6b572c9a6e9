"""A run on this machine in the window: started in the form, answered by keys, followed up, stopped, and taken up again.

The agent is the one that comes with Burrow, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QVBoxLayout, QWidget

from app.core.busy import Busy
from app.core.errors import Rejected
from app.core.posthog.run_files import RunFile
from app.core.posthog.types import TaskRun
from app.core.posthog.waiting_files import keep
from app.core.runs.desk.local_conversation import LocalConversation
from app.core.runs.desk.local_desk import LocalDesk, LocalStart
from app.core.runs.desk.memory import LocalChoice
from app.core.runs.items import Message, Permission, Prompt
from app.core.runs.local.agents import LocalAgent, survey_agent
from app.core.runs.local.claim import RunHolder
from app.core.runs.local.facts import SignInHint
from app.core.runs.local.record import LocalRecord
from app.core.runs.local.status import LocalStatus, RunPhase
from app.core.runs.worktrees.environments import NONE, EnvironmentAction, FoundEnvironments, WorkEnvironment
from app.core.storage.attachments import Attachment, Attachments, encode
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.tasks.local_conversation import LocalRunView, actions_of, notice_of
from app.ui.tasks.local_form import LocalRunPanel
from app.ui.tasks.place import TasksPlace
from app.ui.transcript.ask_card import ARM_MS
from app.ui.transcript.page import TranscriptPage
from app.ui.transcript.run_notice import LocalAction, LocalNotice, RunNoticeCard
from tests.core.conftest import Remembered
from tests.core.runs_local.running import scripted
from tests.ui._screens import look, nameless, save
from tests.ui._tasks_fakes import ANA, PROJECT, FakeBackend, FakeNavigator, FakeServices, FakeTasks, settle, task
from tests.ui._walk import clipped, overlapping
from tests.until import until

TASK = "Survey the repository."


class LocalServices(FakeServices):
    """The services of the place, with real local runs."""

    def __init__(self, folder: Path, settings: Remembered) -> None:
        super().__init__()
        self.folder = folder
        self.storage.attachments = Attachments(folder)  # type: ignore[attr-defined]
        self.local_runs = LocalDesk(folder, settings, lambda: None, self.busy)


class LocalPlace:
    """The place with one task, and the keys of a person."""

    def __init__(self, place: TasksPlace, services: LocalServices) -> None:
        self.place, self.services = place, services

    @property
    def page(self) -> TranscriptPage:
        assert self.place.runs._views is not None
        return self.place.runs._views.transcript

    @property
    def panel(self) -> LocalRunPanel:
        panel = self.place.local_desk._panel
        assert panel is not None
        return panel

    @property
    def conversation(self) -> LocalConversation:
        (run,) = self.services.local_runs.of("t1")
        return self.services.local_runs.conversation(run.id)

    def items(self, kind: type) -> list[object]:
        transcript = self.conversation.transcript
        return [each for each in map(transcript.item, range(len(transcript))) if isinstance(each, kind)]

    async def turns(self, count: int) -> None:
        def over() -> bool:
            state = self.conversation.transcript.state
            return state.turn == count and not state.busy

        await until(over, 20.0)
        await settle()

    async def say(self, text: str) -> None:
        self.page.reply.set_text(text)
        self.page.reply.focus()
        QTest.keyClick(self.page.reply.field, Qt.Key.Key_Return)
        await settle()

    def kept(self, name: str, content: bytes) -> Attachment:
        made: Attachment = self.services.storage.attachments.add_content(name, "text/plain", content)  # type: ignore[attr-defined]
        return made

    async def attach(self, name: str, content: bytes) -> None:
        """Have a file wait for a run of the task."""
        await keep(self.services.storage.drafts, ANA, PROJECT.id, "t1", encode([self.kept(name, content)]))  # type: ignore[arg-type]
        self.place.files.refresh()
        await until(lambda: bool(self.place.files.get("t1")))

    def buttons(self) -> list[str]:
        found = self.place.findChildren(QAbstractButton)
        return [each.text() for each in found if each.isVisibleTo(self.place)]

    def press(self, words: str) -> None:
        found = [
            each
            for each in self.place.findChildren(QAbstractButton)
            if each.text() == words and each.isVisibleTo(self.place)
        ]
        found[0].click()


@asynccontextmanager
async def local_place(
    qapp: QApplication, folder: Path, text: str = TASK, run: TaskRun | None = None
) -> AsyncIterator[LocalPlace]:
    bridge, services = Bridge(), LocalServices(folder, Remembered())
    crashes: list[BaseException] = []
    bridge.crashed.connect(crashes.append)
    one = msgspec.structs.replace(task(1), description=text, latest_run=run)
    place = TasksPlace(Context(services, bridge, FakeNavigator()))  # type: ignore[arg-type]
    place.resize(1200, 800)
    place.show()
    place.activateWindow()
    await settle()
    backend = services.backend = FakeBackend(FakeTasks([one]))
    place.set_backend(backend)  # type: ignore[arg-type]
    await until(lambda: not place.controller.load.busy)
    await settle()
    place.pane.show_now()
    await until(lambda: place.pane.table.select_key("task:t1"))
    await settle()
    try:
        yield LocalPlace(place, services)
    finally:
        await services.local_runs.close()
        await bridge.close()
        place.close()
        place.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        await settle()
    assert crashes == []


def repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "README.md").write_text("# Shop\n")
    environments = folder / ".posthog-code/environments"
    environments.mkdir(parents=True)
    for name in ("node", "python"):
        (environments / f"{name}.toml").write_text('[setup]\nscript = "exit 1"\n')
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q", "-b", "main"), ("add", "."), (*who, "commit", "-qm", "first")):
        subprocess.run(("git", *words), cwd=folder, check=True)
    return folder


async def test_the_form_opens_also_while_a_cloud_run_is_under_way(qapp: QApplication, tmp_path: Path) -> None:
    run = TaskRun("run-1", status="queued", environment="cloud", task="t1")
    async with local_place(qapp, tmp_path, run=run) as local:
        page = local.place.pages.detail
        assert page.cancel_button.isVisibleTo(page)
        page.run_here_button.click()
        await settle()
        assert local.panel.isVisibleTo(page)
        assert page.run_here_button.isHidden()
        assert not page.cancel_button.isHidden()


async def test_a_run_on_this_machine_from_the_form_to_the_day_after(qapp: QApplication, tmp_path: Path) -> None:
    made, data = repository(tmp_path / "shop"), tmp_path / "data"
    async with local_place(qapp, data) as local:
        await local.attach("notes.md", b"# Notes\n")
        local.place.task_actions.run_here()
        await until(lambda: local.panel.form.agent.count() > 1)
        form = local.panel.form
        form.agent.setCurrentIndex(form.agent.findData("survey"))
        form.agent.activated.emit(form.agent.currentIndex())
        QTest.keyClick(form.folder, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        assert "There is no folder" in local.panel.card.text()
        form.folder.setText(str(made))
        await until(lambda: form.environment.count() == 3)
        form.environment.setCurrentIndex(2)
        form.where.setCurrentIndex(1)
        form.where.activated.emit(1)
        QTest.keyClick(form.folder, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        await until(lambda: bool(local.services.local_runs.of("t1")))
        await settle()
        await until(lambda: not local.panel.isVisible())
        assert local.place.files.get("t1") == ()
        # The permission, by its number.
        await until(lambda: local.page.ask.permission is not None, 20.0)
        assert [work.kind.value for work in local.services.busy.works()] == ["run"]
        local.page.view.setFocus()
        # A key that is pressed as the question appears is not an answer to it.
        await until(lambda: local.page.ask._since.elapsed() > ARM_MS)
        QTest.keyClick(local.page.view, Qt.Key.Key_1)
        await local.turns(1)
        (asked,) = local.items(Permission)
        assert asked.answer  # type: ignore[attr-defined]
        assert local.conversation.record.environment == NONE
        worktree = Path(local.conversation.record.folder)
        assert worktree.name in local.page.header.branch.text()
        assert local.place.pages.detail._runs_title.text() == "Runs · 1"
        assert worktree != made
        assert local.services.busy.works() == ()
        # A follow-up that is stopped.
        local.page.reply.set_files(encode([local.kept("shot.png", b"no picture")]))
        await local.say("only read, and take your time")
        await until(lambda: local.page.header.stop.isVisible(), 10.0)
        QTest.keyClick(local.page.view, Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
        await local.turns(2)
        assert [each.files for each in local.items(Prompt)] == [("notes.md",), ("shot.png",)]  # type: ignore[attr-defined]
        # A crash, which the page tells of, with what can be done.
        await local.say("crash on purpose")
        await until(lambda: local.conversation.status.phase is RunPhase.ENDED, 10.0)
        await until(lambda: "The agent has ended" in local.page.notice.card.text())
        assert local.conversation.status.stderr
        run = local.conversation.record.id
    async with local_place(qapp, data) as local:
        await local.services.local_runs.load()
        await until(lambda: bool(local.services.local_runs.of("t1")))
        assert local.conversation.record.id == run
        local.place.runs.show_started("t1")
        await until(lambda: "The agent is not running" in local.page.notice.card.text())
        assert next(each.text for each in local.items(Prompt)) == TASK  # type: ignore[attr-defined]
        local.press("Start the agent")
        await until(lambda: local.conversation.status.phase in {RunPhase.READY, RunPhase.FORGOTTEN}, 10.0)
        before = len(local.items(Message))
        await local.say("only read")
        await until(lambda: len(local.items(Message)) > before, 20.0)
        assert local.page.notice.card.isHidden()


async def test_a_message_that_is_taken_back_keeps_the_files_that_came_with_the_task(tmp_path: Path) -> None:
    data, store = tmp_path / "data", Attachments(tmp_path / "data")
    (tmp_path / "work").mkdir()
    desk = LocalDesk(data, Remembered(), lambda: None, Busy())
    wanted = LocalStart(agent=scripted(stderr="no licence"), folder=str(tmp_path / "work"))
    file = RunFile("notes.md", "text/markdown", 5, lambda: b"notes")
    conversation = await desk.start(task(1), wanted, [file])
    await conversation.start()
    view = LocalRunView(conversation, store)
    await view.load()
    (waiting,) = view.queued
    assert [each.name for each in waiting.files] == ["notes.md"]
    taken = await view.remove(waiting.id)
    assert taken is not None
    assert [store.read(each) for each in taken.files] == [b"notes"]
    assert (view.queued, await view.remove(waiting.id)) == ([], None)
    view.close()
    await desk.close()


async def test_a_run_that_a_terminal_carries_out_appears_and_is_only_read(qapp: QApplication, tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "work"
    folder.mkdir()
    async with local_place(qapp, data) as local:
        other = LocalDesk(data, Remembered(), lambda: None, Busy(), role="command line")
        made = await other.start(task(1), LocalStart(agent=scripted(), folder=str(folder)))
        await made.start()
        local.place.runs.local._look_soon.setInterval(50)
        local.place.runs.show_started("t1")
        # Nobody presses anything: the place looks by itself.
        await until(lambda: bool(local.services.local_runs.of("t1")))
        await until(lambda: "This run is carried out elsewhere" in local.page.notice.card.text())
        assert f"A command in a terminal has it (process {os.getpid()})." in local.page.notice.card.text()
        assert "Start the agent" not in local.buttons()
        assert not local.page.reply._files.isVisible()  # type: ignore[union-attr]
        await local.say("only read")
        await until(lambda: local.page.reply.card.isVisible())
        assert local.page.reply.text == "only read"
        await made.send("say:aloud")
        await until(lambda: any("aloud" in each.text for each in local.items(Message)))  # type: ignore[attr-defined]
        await other.close()
        await until(lambda: "Start the agent" in local.buttons())
        assert local.conversation.queued == ()


SETUP = LocalNotice(
    "May this script set the worktree up?",
    ".posthog-code/environments/default.toml of the repository runs it once, in ~/.local/share/burrow/worktrees/shop.",
    "You are asked again when its text changes.",
    (LocalAction("agree", "Run the script"), LocalAction("skip", "Go on without it")),
    script="npm ci\nnpm run build\n",
)
CRASH = LocalNotice(
    "The agent has ended",
    "codex-acp ended with code 101.",
    "Start it again to go on with the conversation.",
    (LocalAction("start", "Start it again"),),
    "bad",
    ("thread 'main' panicked at core/src/session.rs:212:9:", "called `Option::unwrap()` on a `None` value"),
)
ENVIRONMENTS = FoundEnvironments(
    (
        WorkEnvironment("node", "Node 22", ".posthog-code/environments/node.toml", script="npm ci\n"),
        WorkEnvironment("docs", "Documentation", ".posthog-code/environments/docs.toml"),
    )
)
COMMANDS = (EnvironmentAction("Test", "npm test", "test"), EnvironmentAction("Start the shop", "npm start", "rocket"))
ACTIONS = actions_of(COMMANDS)


@pytest.mark.parametrize(("mode", "scale", "width"), [("light", 1.0, 900), ("dark", 1.5, 620)])
def test_form_and_notices_fit_at_every_text_size(
    qapp: QApplication, tmp_path: Path, mode: str, scale: float, width: int
) -> None:
    with look(mode, scale):
        page = QWidget()
        box = QVBoxLayout(page)
        panel = LocalRunPanel()
        cards = [RunNoticeCard(), RunNoticeCard()]
        for part in (panel, *cards):
            box.addWidget(part)
        box.addStretch()
        page.resize(width, 1100)
        page.show()
        choice = LocalChoice(agent=survey_agent(), folder="/home/mei/src/shop", worktree=True, base="main")
        panel.open_for(choice, bypass=False)
        panel.form.show_agents([LocalAgent("codex", "Codex", ("codex-acp",)), survey_agent()])
        panel.form.show_environments(ENVIRONMENTS)
        cards[0].show_notice(SETUP, ())
        cards[1].show_notice(CRASH, ACTIONS)
        panel.show_error(Rejected("No worktree can be made of /home/mei/src/shop: it has no commit."))
        for _ in range(3):
            QApplication.processEvents()
        save(page, "local-run", mode, scale, tmp_path)
        assert [(each.words, each.icon) for each in ACTIONS] == [("Test", "lab"), ("Start the shop", "play")]
        assert panel.form.agent.currentText() == "Survey agent"
        assert panel.form.start().base == "main"
        assert clipped(page) == []
        assert overlapping(page) == []
        assert nameless(page) == []
        page.close()
        page.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_of_several_environments_the_one_used_last_is_offered_first(qapp: QApplication) -> None:
    panel, wanted = LocalRunPanel(), []
    panel.form.folder_named.connect(wanted.append)
    node, docs = (each.file for each in ENVIRONMENTS.environments)
    panel.open_for(LocalChoice(agent=survey_agent(), folder="/shop", environment=docs), bypass=False)
    panel.form.show_agents([survey_agent()])
    # Nobody waits for a slow disk.
    assert panel.form.start().environment == docs
    panel.form._named_soon.timeout.emit()
    assert wanted == ["/shop"]
    panel.form.show_environments(ENVIRONMENTS)
    assert panel.form.start().environment == docs
    choices = [panel.form.environment.itemText(each) for each in range(panel.form.environment.count())]
    assert choices == ["Node 22", "Documentation", "None"]
    panel.form.environment.setCurrentIndex(2)
    assert panel.form.start().environment == NONE
    # Another folder has one only, which needs no choice.
    panel.form.folder.setText("/other")
    panel.form.show_environments(FoundEnvironments(ENVIRONMENTS.environments[:1]))
    assert panel.form._environment_field.isHidden()
    assert panel.form.start().environment == ""
    plain = msgspec.structs.replace(ENVIRONMENTS.environments[0], file="a.toml", script="")
    # Else the first that sets a worktree up.
    fresh = FoundEnvironments((plain, *ENVIRONMENTS.environments[:1]))
    panel.form.show_environments(fresh)
    assert panel.form.start().environment == node
    panel.deleteLater()


def test_each_state_of_an_agent_says_what_can_be_done() -> None:
    def said(phase: RunPhase, **fields: object) -> tuple[str, list[str]]:
        status = LocalStatus(phase=phase, **fields)  # type: ignore[arg-type]
        stands = Stands(status, LocalRecord(id="r", agent=survey_agent(), folder="/w"))
        notice = notice_of(stands)  # type: ignore[arg-type]
        return ("", []) if notice is None else (notice.title, [each.words for each in notice.actions])

    assert said(RunPhase.WORKING) == ("", [])
    assert said(RunPhase.NEW) == ("The agent is not running", ["Start the agent"])
    cut_off = Stands(LocalStatus(), LocalRecord(id="r", agent=survey_agent(), folder="/w", cut=True))
    notice = notice_of(cut_off)  # type: ignore[arg-type]
    assert notice is not None
    assert (notice.title, [each.words for each in notice.actions]) == (
        "This run was cut off",
        ["Go on", "End this run"],
    )
    assert "Go on where you were interrupted." in notice.advice
    assert said(RunPhase.FORGOTTEN)[1] == ["Start anew with this history"]
    assert said(RunPhase.FAILED)[1] == ["Start it again"]
    assert said(RunPhase.READY) == ("", [])
    hint = SignInHint("api", "Sign in to Codex")
    assert said(RunPhase.READY, held=True, text="No.", sign_in=(hint,))[1] == ["Sign in to Codex", "Send it again"]


class Stands(NamedTuple):
    """What is said of a run is made of."""

    status: LocalStatus
    record: LocalRecord
    setup: None = None
    elsewhere: RunHolder | None = None
    queued: tuple[()] = ()
