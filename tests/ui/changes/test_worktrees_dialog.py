"""The worktrees of runs in the window: archived without a touch, deleted only as agreed, with real worktrees."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.runs.worktrees.worktrees import WorktreeRecord, Worktrees
from app.ui.bridge import Bridge
from app.ui.changes.worktrees_dialog import NoneInUse, WorktreesDialog
from tests.core.worktrees.conftest import run_git
from tests.ui._screens import look, nameless, save
from tests.ui._walk import clipped, misnamed, overlapping, small_targets
from tests.ui.changes._runs import changed_run
from tests.until import until


def is_there(record: WorktreeRecord) -> bool:
    return Path(record.path).exists()


class Working(NoneInUse):
    """An agent whose turn goes on until it is let go."""

    def __init__(self) -> None:
        self.turn = asyncio.Event()

    def works_in(self, folder: Path) -> bool:
        return not self.turn.is_set()

    async def idle_in(self, folder: Path) -> None:
        await self.turn.wait()


class Opened:
    def __init__(self, worktrees: Worktrees, in_use: NoneInUse) -> None:
        self.bridge = Bridge()
        self.crashes: list[BaseException] = []
        self.bridge.crashed.connect(self.crashes.append)
        self.dialog = WorktreesDialog(worktrees, in_use, self.bridge)
        self.dialog.show()

    async def choose(self, record: WorktreeRecord, summary: str) -> None:
        await until(lambda: record.id in self.dialog._known)
        self.dialog.choose(record.id)
        await self.says(summary)

    async def says(self, summary: str) -> None:
        await until(lambda: summary in self.dialog.summary.text())

    async def ask(self) -> None:
        self.dialog.delete_button.click()
        await until(lambda: self.dialog.question.open)

    def end(self) -> None:
        self.dialog.close()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        assert not self.crashes


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return changed_run(tmp_path / "shop", tmp_path / "asides").folder


async def test_archiving_touches_no_file_and_deleting_takes_only_what_was_agreed_to(
    qapp: QApplication, repository: Path, tmp_path: Path
) -> None:
    worktrees = Worktrees(tmp_path / "data")
    clean = await worktrees.create(repository, "Read the docs")
    dirty = await worktrees.create(repository, "Mend the cart")
    new = Path(dirty.path) / "new.txt"
    new.write_text("new")
    opened = Opened(worktrees, NoneInUse())
    dialog = opened.dialog
    await opened.choose(dirty, "1 file")
    assert "new.txt" in dialog.listing.toPlainText()
    dialog.archive_button.click()
    await until(lambda: dialog.record is not None and dialog.record.archived)
    assert new.read_text() == "new"
    dialog.archive_button.click()
    await until(lambda: dialog.record is not None and not dialog.record.archived)
    await opened.ask()
    # Enter never deletes, Esc changes nothing.
    assert dialog.question.no.hasFocus()
    QTest.keyClick(dialog.question.no, Qt.Key.Key_Escape)
    assert not dialog.question.open
    assert dialog.isVisible()
    await opened.ask()
    (Path(dirty.path) / "later.txt").write_text("later")
    dialog.question.yes.click()
    # What was not agreed to is asked about again.
    await until(lambda: dialog.question.open and "later.txt" in dialog.listing.toPlainText())
    assert new.exists()
    dialog.question.yes.click()
    await until(lambda: set(dialog._known) == {clean.id})
    assert "trash" in dialog.said.text()
    assert [each.read_text() for each in (tmp_path / "data").rglob("later.txt")] == ["later"]
    await opened.choose(clean, "Nothing would be lost")
    await opened.ask()
    dialog.question.yes.click()
    await until(lambda: dialog.none.isVisible())
    assert not is_there(clean)
    assert "burrow/read-the-docs" not in run_git(repository, "branch", "--list")
    opened.end()


async def test_deleting_waits_for_a_turn_and_can_be_given_up(
    qapp: QApplication, repository: Path, tmp_path: Path
) -> None:
    worktrees, working = Worktrees(tmp_path / "data"), Working()
    record = await worktrees.create(repository, "Read the docs")
    opened = Opened(worktrees, working)
    await opened.choose(record, "Nothing would be lost")
    await opened.ask()
    assert "An agent works in it" in opened.dialog.question.text
    opened.dialog.question.yes.click()
    await until(lambda: opened.dialog.stop_button.isVisible())
    opened.dialog.stop_button.click()
    await until(lambda: "Nothing was deleted" in opened.dialog.said.text())
    await opened.ask()
    opened.dialog.question.yes.click()
    await until(lambda: opened.dialog.stop_button.isVisible())
    assert is_there(record)
    working.turn.set()
    await until(lambda: not is_there(record) and opened.dialog.none.isVisible())
    opened.end()


async def test_a_folder_that_is_gone_counts_as_something_to_lose_and_can_leave_the_list(
    qapp: QApplication, repository: Path, tmp_path: Path
) -> None:
    worktrees = Worktrees(tmp_path / "data")
    record = await worktrees.create(repository, "Mend the cart")
    shutil.move(record.path, tmp_path / "moved")
    opened = Opened(worktrees, NoneInUse())
    await opened.choose(record, "what cannot be found out")
    await until(lambda: opened.dialog._known[record.id].counted)
    await opened.ask()
    assert "only leaves this list" in opened.dialog.question.text
    opened.dialog.question.yes.click()
    await until(lambda: opened.dialog.none.isVisible())
    assert record.branch in run_git(repository, "branch", "--list")
    opened.end()


@pytest.mark.parametrize(("mode", "scale", "size"), [("light", 1.0, (720, 640)), ("dark", 1.5, (640, 720))], ids=str)
async def test_no_look_of_worktrees_cuts_covers_shrinks_or_misnames_anything(
    qapp: QApplication, repository: Path, tmp_path: Path, mode: str, scale: float, size: tuple[int, int]
) -> None:
    worktrees = Worktrees(tmp_path / "data")
    archived = await worktrees.create(repository, "Read the docs")
    await worktrees.archive(archived)
    record = await worktrees.create(repository, "Mend the cart when it is empty")
    for name in ("new.txt", "more.txt"):
        (Path(record.path) / name).write_text(name)
    (Path(record.path) / "src/checkout/cart.py").write_text("")
    run_git(Path(record.path), "-c", "user.name=Ada", "commit", "--quiet", "--allow-empty", "-m", "Only here")
    with look(mode, scale):
        opened = Opened(worktrees, NoneInUse())
        dialog = opened.dialog
        dialog.resize(*size)
        await opened.choose(record, "3 files, 1 commit")
        await opened.ask()
        await until(lambda: all(each.counted for each in dialog._known.values()))
        for _ in range(3):
            await asyncio.sleep(0.01)
        found = [
            *(*clipped(dialog), *overlapping(dialog), *small_targets(dialog, scale)),
            *(*misnamed(dialog), *nameless(dialog)),
        ]
        save(dialog, f"worktrees-{size[0]}", mode, scale, tmp_path)
        opened.end()
    assert not found, "\n".join(found)
