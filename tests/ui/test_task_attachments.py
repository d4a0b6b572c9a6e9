"""Files dropped and pictures pasted into the composer and the reply to an agent: kept with the draft, and sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QColor, QDragEnterEvent, QDropEvent, QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.errors import OutcomeUnknown, ServerTrouble
from app.core.posthog.types import NewTask, TaskRun
from app.core.storage import Storage
from app.core.storage import attachments as module
from app.core.storage.attachments import encode
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.tasks.attached import AttachmentBox, paths_of
from app.ui.tasks.composer import Composer
from app.ui.tasks.place import TasksPlace
from app.ui.theme import apply_theme
from app.ui.transcript.page import TranscriptPage
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import ANA, FakeBackend, FakeNavigator, FakeServices, FakeTasks, settle, task, until
from tests.ui.transcript._conversation import RecordedConversation, RecordedRuns

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

Opens = Callable[..., Any]


class Window:
    def __init__(self, place: TasksPlace, tasks: FakeTasks, storage: Storage, runs: RecordedRuns) -> None:
        self.place, self.tasks, self.storage, self.runs = place, tasks, storage, runs

    @property
    def composer(self) -> Composer:
        return self.place.pages.composer

    async def run(self) -> tuple[TranscriptPage, RecordedConversation]:
        """The page of the run of the one task."""
        self.place.pane.show_now()
        self.place.pane.table.select_key("task:t1")
        await until(lambda: "r1" in self.runs.opened)
        await settle()
        views = self.place.pages._views
        assert views is not None
        return views.transcript, self.runs.opened["r1"]

    @property
    def names(self) -> list[str]:
        return [file.name for file in self.composer.attached.files]

    async def saved(self) -> None:
        job = self.composer.save_now()
        if job is not None:
            await job.wait()
        self.place.drafts.refresh()
        await asyncio.sleep(0.05)
        await settle()


@pytest.fixture
def opens(qapp: QApplication, tmp_path: Path) -> Opens:
    @asynccontextmanager
    async def make(tasks: FakeTasks | None = None) -> AsyncIterator[Window]:
        apply_theme(qapp, "light", 1.0)
        bridge, services = Bridge(), FakeServices()
        crashes: list[BaseException] = []
        bridge.crashed.connect(crashes.append)
        storage = Storage.open(tmp_path / "data")
        services.storage = storage  # type: ignore[assignment]
        context = Context(services, bridge, FakeNavigator())  # type: ignore[arg-type]
        runs = RecordedRuns()
        place = TasksPlace(context, open_conversation=runs)
        place.resize(1000, 700)
        place.show()
        place.activateWindow()
        tasks = tasks or FakeTasks()
        place.set_backend(FakeBackend(tasks))  # type: ignore[arg-type]
        await until(lambda: not place.controller.load.busy)
        await settle()
        yield Window(place, tasks, storage, runs)
        await place.flush()
        await bridge.close()
        await storage.close()
        place.close()
        place.deleteLater()
        await settle()
        assert crashes == []

    return make


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text("what I found")
    return path


def of_files(*paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def drop(page: QWidget, data: QMimeData) -> None:
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    # Qt hands a drop only to what a drag has entered.
    for kind in (QDragEnterEvent, QDropEvent):
        QApplication.sendEvent(page, kind(QPoint(5, 5), *how))


def running() -> FakeTasks:
    return FakeTasks([task(1, latest_run=TaskRun("r1", status="in_progress", environment="cloud"))])


def button(root: QWidget, words: str) -> QPushButton:
    return next(each for each in root.findChildren(QPushButton) if each.text() == words and each.isVisibleTo(root))


async def test_a_file_that_cannot_be_kept_is_said_and_not_listed(
    opens: Opens, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 5)
    async with opens() as window:
        window.place.selection.new_task()
        for data in (of_files(notes), of_files(tmp_path)):
            window.composer.description.insertFromMimeData(data)
            await until(lambda: window.composer.attached._said.text() not in {"", "Copying…"})
            assert window.names == []
        assert window.composer.description.toPlainText() == ""


async def test_a_dropped_file_is_kept_with_the_draft_over_a_restart(opens: Opens, notes: Path) -> None:
    async with opens() as window:
        window.place.selection.new_task()
        drop(window.composer, of_files(notes))
        await until(lambda: window.names == ["notes.txt"])
        window.composer.description.setPlainText("Read the notes")
        await window.saved()
        assert nameless(window.place) == []
    await asyncio.to_thread(notes.unlink)
    async with opens() as window:
        window.place.drafts.refresh()
        await until(lambda: window.place.drafts.all)
        window.composer.open_draft(window.place.drafts.all[0])
        await until(lambda: window.names == ["notes.txt"])
        [file] = window.composer.attached.files
        assert window.storage.attachments.read(file) == b"what I found"


async def test_several_files_keep_their_order_and_one_that_fails_does_not_take_the_others_with_it(
    opens: Opens, notes: Path, tmp_path: Path
) -> None:
    many = [tmp_path / f"{number}.txt" for number in range(25)]
    for number, path in enumerate(many):
        await asyncio.to_thread(path.write_text, str(number))
    async with opens() as window:
        window.place.selection.new_task()
        window.composer.attached.add_paths([notes, tmp_path, many[0], notes])
        await until(lambda: window.names == ["notes.txt", "0.txt"])
        assert "is no file" in window.composer.attached._said.text()
        window.composer.attached.add_paths(many)
        await until(lambda: len(window.names) == 20)
        assert "6 are left out" in window.composer.attached._said.text()
        assert window.names[2:5] == ["1.txt", "2.txt", "3.txt"]


async def test_a_picture_of_the_clipboard_is_attached_and_text_stays_text(opens: Opens) -> None:
    async with opens() as window:
        window.place.selection.new_task()
        image = QImage(4, 3, QImage.Format.Format_RGB32)
        image.fill(QColor("red"))
        QGuiApplication.clipboard().setImage(image)
        window.composer.description.paste()
        await until(lambda: len(window.names) == 1)
        [file] = window.composer.attached.files
        assert QImage.fromData(window.storage.attachments.read(file)).size() == image.size()
        assert window.composer.description.toPlainText() == ""
        # What a word processor copies is text with a picture of it.
        both = QMimeData()
        both.setText("words")
        both.setImageData(image)
        window.composer.description.insertFromMimeData(both)
        assert window.composer.description.toPlainText() == "words"
        assert len(window.names) == 1


async def test_a_draft_with_nothing_but_a_file_is_a_draft(opens: Opens, notes: Path) -> None:
    async with opens() as window:
        window.place.selection.new_task()
        window.composer.attached.add_paths([notes])
        await until(lambda: window.names == ["notes.txt"])
        await window.saved()
        assert not window.composer.empty
        assert len(window.place.drafts.all) == 1
        button(window.composer.attached, "Remove").click()
        assert window.names == []
        await window.saved()
        assert window.place.drafts.all == ()


async def test_a_file_that_arrives_after_the_draft_was_left_does_not_join_the_next_one(
    opens: Opens, notes: Path
) -> None:
    async with opens() as window:
        window.place.selection.new_task()
        window.composer.description.setPlainText("One")
        window.composer.attached.add_paths([notes])
        window.composer.begin()
        await asyncio.sleep(0.1)
        assert window.names == []


async def test_files_stay_with_a_refused_task_and_go_with_the_one_that_is_created(opens: Opens, notes: Path) -> None:
    tasks = FakeTasks()
    tasks.fail["create"] = ServerTrouble("503.")
    async with opens(tasks) as window:
        window.place.selection.new_task()
        window.composer.description.setPlainText("Read the notes")
        window.composer.attached.add_paths([notes])
        await until(lambda: window.names == ["notes.txt"])
        window.composer.submit()
        await until(lambda: window.composer.card.isVisible())
        assert window.names == ["notes.txt"]
        window.composer.submit()
        await until(lambda: window.place.pages.shows_detail)
        await until(lambda: window.place.pages.detail._files.isVisible())
        assert window.names == []
    async with opens(tasks) as window:
        [task_id] = tasks.tasks
        window.place.pane.show_now()
        window.place.pane.table.select_key(f"task:{task_id}")
        await until(lambda: window.place.pages.detail._files.isVisible())
        [file] = window.place.files.get(task_id)
        assert window.storage.attachments.read(file) == b"what I found"
        # It is no draft of a task, and nobody is asked about it.
        assert window.place.drafts.all == ()
        button(window.place.pages.detail._files, "Remove").click()
        await until(lambda: not window.place.pages.detail._files.isVisible())
        await asyncio.sleep(0.1)
        assert await window.storage.drafts.list(ANA) == ()


async def test_files_go_to_the_task_of_unknown_outcome_that_is_found_on_the_server(opens: Opens, notes: Path) -> None:
    tasks = FakeTasks()
    tasks.fail["create"] = OutcomeUnknown("The connection ended.")
    async with opens(tasks) as window:
        window.place.selection.new_task()
        window.composer.description.setPlainText("Read the notes")
        window.composer.attached.add_paths([notes])
        await until(lambda: window.names == ["notes.txt"])
        window.composer.submit()
        await until(lambda: window.place.outbox.pending and window.place.outbox.pending[0].state.value == "unknown")
        assert window.place.pages.unsent._files.text() == "Files: notes.txt"
        assert window.place.pages.unsent._files.isVisible()
        tasks.tasks["t9"] = task(9, "Read the notes", description="Read the notes", created_at=datetime.now(UTC))
        window.place.submission._found("p1", tasks.tasks["t9"])
        await until(lambda: not window.place.outbox.pending)
        window.place.files.refresh()
        await until(lambda: [file.name for file in window.place.files.get("t9")] == ["notes.txt"])


async def test_the_files_of_a_task_that_is_deleted_are_forgotten(opens: Opens, notes: Path) -> None:
    async with opens() as window:
        window.place.outbox.send(
            NewTask(description="Read the notes"),
            files=encode([window.storage.attachments.add_file(notes)]),
        )
        await until(lambda: any(window.place.files.get(task_id) for task_id in window.tasks.tasks))
        [task_id] = window.tasks.tasks
        window.place.controller.delete(task_id)
        window.place.pane.undo.settle()
        await until(lambda: not window.tasks.tasks)
        await asyncio.sleep(0.1)
        assert window.place.files.get(task_id) == ()
        assert await window.storage.drafts.list(ANA) == ()


async def test_a_run_that_could_not_be_started_leaves_the_files_and_the_next_one_gets_them(
    opens: Opens, notes: Path
) -> None:
    tasks = FakeTasks()
    tasks.fail["run"] = ServerTrouble("503.")
    async with opens(tasks) as window:
        window.place.selection.new_task()
        window.composer.description.setPlainText("Read the notes")
        window.composer.attached.add_paths([notes])
        await until(lambda: window.names == ["notes.txt"])
        window.composer.send_and_run.click()
        await until(lambda: window.place.pages.shows_detail and window.place.pages.detail.card.isVisible())
        page = window.place.pages.detail
        await until(page._files.isVisible)
        assert tasks.files == {}
        page.run_button.click()
        await until(lambda: tasks.files)
        assert list(tasks.files.values()) == [{"notes.txt": b"what I found"}]
        await until(lambda: not page._files.isVisible())
        await asyncio.sleep(0.1)
        assert await window.storage.drafts.list(ANA) == ()


async def test_a_file_that_the_server_would_refuse_is_not_sent_with_a_message(
    opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_PDF", 2**20)
    large = tmp_path / "report.pdf"
    await asyncio.to_thread(large.write_bytes, bytes(2**20 + 1))
    async with opens(running()) as window:
        page, conversation = await window.run()
        page.reply.set_text("Read it")
        page.reply.field.insertFromMimeData(of_files(large))
        # Before it is known.
        QTest.keyClick(page.reply.field, Qt.Key.Key_Return)
        box = page.findChild(AttachmentBox)
        assert box is not None
        await until(lambda: not box.copying)
        assert box._said.text() == "report.pdf is larger than 1 MB. Attach a smaller file."
        await settle()
        assert (conversation.done, page.reply.text, page.reply.files) == ([], "Read it", ())
        conversation.takes_files = False
        conversation.changed.emit(None)
        await settle()
        drop(page, of_files(tmp_path / "any.txt"))
        assert not box.copying


async def test_what_is_dropped_on_a_run_and_pasted_into_its_reply_goes_with_the_message(
    opens: Opens, notes: Path
) -> None:
    async with opens(running()) as window:
        page, conversation = await window.run()
        drop(page, of_files(notes))
        await until(lambda: len(page.reply.files) == 1)
        image = QImage(4, 3, QImage.Format.Format_RGB32)
        image.fill(QColor("red"))
        QGuiApplication.clipboard().setImage(image)
        page.reply.field.setFocus()
        page.reply.field.paste()
        # It is sent once the picture is there.
        QTest.keyClick(page.reply.field, Qt.Key.Key_Return)
        assert conversation.done == []
        await until(lambda: conversation.done)
        [(what, text, _now, *files)] = conversation.done
        assert (what, text) == ("send", "")
        assert files[0].name == "notes.txt"
        assert (files[1].name.startswith("Picture "), files[1].type) == (True, "image/png")
        await until(lambda: page.reply.files == ())


async def test_what_is_typed_and_attached_while_a_message_is_stored_belongs_to_the_next_one(
    opens: Opens, notes: Path
) -> None:
    async with opens(running()) as window:
        page, conversation = await window.run()
        conversation.holds = asyncio.Event()
        page.reply.field.setFocus()
        QTest.keyClicks(page.reply.field, "one")
        QTest.keyClick(page.reply.field, Qt.Key.Key_Return)
        await settle()
        QTest.keyClicks(page.reply.field, "two")
        drop(page, of_files(notes))
        await until(lambda: len(page.reply.files) == 1)
        conversation.holds.set()
        await until(lambda: page.reply.text == "two")
        QTest.keyClick(page.reply.field, Qt.Key.Key_Return)
        await until(lambda: len(conversation.done) == 2)
        assert conversation.done[0] == ("send", "one", False)
        assert [each.name for each in conversation.done[1][3:]] == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (None, 2),
        ("/srv/a b.txt\n/srv/c.txt", 2),
        ("file:///srv/a%20b.txt\r\nfile:///srv/c.txt\r\n", 2),
        ("a b.txt\nc.txt", 2),
        ("see a b.txt", 0),
        ("/srv/a b.txt\nand what I think of it", 0),
    ],
)
def test_files_with_a_text_of_their_own_are_pasted_as_text(words: str | None, files: int) -> None:
    data = of_files(Path("/srv/a b.txt"), Path("/srv/c.txt"))
    if words is not None:
        data.setText(words)
    assert len(paths_of(data)) == files
