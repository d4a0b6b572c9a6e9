"""The changes of a run in the window: shown, kept, discarded, undone and committed, with real repositories."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt, QUrl
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.runs.worktrees.run_changes import RunChanges
from app.ui.bridge import Bridge
from app.ui.changes.controller import ChangesController
from app.ui.changes.opening import open_in_editor
from app.ui.changes.page import ChangesPage
from app.ui.widgets.context_menu import ContextMenu
from tests.core.worktrees.conftest import run_git
from tests.ui._screens import look, nameless, save
from tests.ui._walk import clipped, misnamed, overlapping, small_targets
from tests.ui.changes._runs import RememberedShape, changed_run
from tests.until import until

Key = Qt.Key


class Shown:
    """A page with its controller."""

    def __init__(self, run: RunChanges, *, size: tuple[int, int] = (1000, 700), shape: str = "unified") -> None:
        self.run, self.shape, self.opened = run, RememberedShape(shape), list[Path]()
        self.bridge = Bridge()
        self.crashes: list[BaseException] = []
        self.bridge.crashed.connect(self.crashes.append)
        self.page = ChangesPage()
        self.page.resize(*size)
        self.controller = ChangesController(self.page, self.bridge, self.shape, open_file=self._open)
        self.controller.show_run(run)
        self.page.show()
        self.page.activateWindow()

    def _open(self, path: Path) -> str:
        self.opened.append(path)
        return ""

    async def ready(self) -> None:
        await until(lambda: self.page.files.rows.rowCount() and self.page.view.count and not self.page.progress.active)

    async def pick(self, path: str) -> None:
        self.page.files.select_key(path)
        await until(lambda: self.page.head.path.text() == path and self.page.path == path)
        await until(lambda: self.controller._shown is not None and self.controller._shown.path == path)

    def stages(self) -> dict[str, str]:
        return {path: each.stage for path, each in self.page._listed.items()}

    async def stage_is(self, path: str, stage: str | None) -> None:
        await until(lambda: self.stages().get(path) == stage)

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        target = QApplication.focusWidget() or self.page
        QTest.keyClick(target, key, modifiers)

    async def end(self) -> None:
        await self.controller.save_typed()
        self.page.close()
        self.page.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        assert not self.crashes


@pytest.fixture
def run(tmp_path: Path) -> RunChanges:
    return changed_run(tmp_path / "shop", tmp_path / "asides")


async def test_a_run_is_decided_about_by_keyboard_alone(qapp: QApplication, run: RunChanges) -> None:
    shown = Shown(run)
    await shown.ready()
    page = shown.page
    page.focus_first()
    await shown.pick("NOTES.md")
    shown.press(Key.Key_Space)
    await shown.stage_is("NOTES.md", "kept")
    # The next file that waits for a decision is in view.
    assert page.path == "logo.png"
    shown.press(Key.Key_Delete)
    await shown.stage_is("logo.png", None)
    assert (run.folder / "logo.png").read_bytes() == b"\x89PNG\0\1"
    shown.press(Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    await shown.stage_is("logo.png", "open")
    assert (run.folder / "logo.png").read_bytes() == b"\x89PNG\0\2"
    page.commit.message.setFocus()
    QTest.keyClicks(page.commit.message, "Mend the cart")
    shown.press(Key.Key_Return)
    await shown.stage_is("NOTES.md", "committed")
    assert run_git(run.folder, "log", "-1", "--format=%s").strip() == "Mend the cart"
    assert shown.stages()["src/checkout/values.py"] == "committed"
    assert page.commit.message.text() == ""
    await shown.pick("src/checkout/cart.py")
    shown.press(Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    shown.press(Key.Key_C, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert shown.opened == [run.folder / "src/checkout/cart.py"]
    assert QGuiApplication.clipboard().text() == str(run.folder / "src/checkout/cart.py")
    await shown.end()


async def test_what_was_committed_is_taken_back_by_the_next_commit(qapp: QApplication, run: RunChanges) -> None:
    (run.folder / "test_cart.py").chmod(0o755)
    run_git(run.folder, "add", "test_cart.py")
    run_git(run.folder, "commit", "--quiet", "-m", "By the agent", "test_cart.py")
    program = run.folder / "README"
    program.touch()
    shown = Shown(run)
    await shown.ready()
    page = shown.page
    await shown.pick("README")
    assert page.none._title.text() == "An empty file."
    page.focus_first()
    await shown.pick("test_cart.py")
    shown.press(Key.Key_Delete)
    await shown.stage_is("test_cart.py", "kept")
    await shown.pick("test_cart.py")
    assert page.head.discard.isHidden()
    assert page._listed["test_cart.py"].change.kind == "reverted"
    # It can be undone as any other.
    shown.press(Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    await shown.stage_is("test_cart.py", "committed")
    await shown.end()


async def test_from_the_list_a_key_goes_from_change_to_change_of_the_file(qapp: QApplication, run: RunChanges) -> None:
    shown = Shown(run)
    await shown.ready()
    page = shown.page
    page.focus_first()
    await shown.pick("src/checkout/cart.py")
    before = page.view.current
    shown.press(Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert page.files.current_key() == "src/checkout/cart.py"
    assert page.view.current != before
    # Into a difference that has no lines nothing goes.
    await shown.pick("logo.png")
    shown.press(Key.Key_Return)
    shown.press(Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert (page.files.current_key(), page.files.hasFocus()) == ("logo.png", True)
    await shown.end()


async def test_another_mode_alone_is_said(qapp: QApplication, run: RunChanges) -> None:
    run_git(run.folder, "checkout", "--quiet", run.base, "--", "src/checkout/cart.py")
    (run.folder / "src/checkout/cart.py").chmod(0o755)
    shown = Shown(run)
    await shown.ready()
    await shown.pick("src/checkout/cart.py")
    assert shown.page.none._title.text() == "It can be run as a program now."
    assert shown.page.head.counts.text() == "mode"
    await shown.end()


async def test_what_git_refuses_is_said_in_place_and_nothing_typed_is_lost(qapp: QApplication, run: RunChanges) -> None:
    shown = Shown(run)
    await shown.ready()
    page = shown.page
    page.commit.press()
    assert not page.commit.error.isHidden()
    page.commit.message.insertPlainText("Typed and kept")
    lock = run.folder / ".git" / "index.lock"
    lock.write_text("")
    page.commit.press()
    await until(lambda: "busy" in page.card.text())
    assert page.commit.message.text() == "Typed and kept"
    await shown.end()
    lock.unlink()
    again = Shown(RunChanges(run.folder, run.base, run.asides))
    await again.ready()
    await until(lambda: again.page.commit.message.text() == "Typed and kept")
    again.page.commit.press()
    await again.stage_is("src/checkout/values.py", "committed")
    await until(lambda: not (run.asides / "commit-message").exists())
    await again.end()


async def test_it_looks_again_when_a_turn_ends_and_when_the_window_comes_back(
    qapp: QApplication, run: RunChanges
) -> None:
    shown = Shown(run)
    await shown.ready()
    await shown.pick("test_cart.py")
    (run.folder / "test_cart.py").write_text("x = 1\n")
    shown.controller.turn_ended()
    await until(lambda: shown.page.head.counts.text() == "+1 \u22120")
    (run.folder / "more.txt").write_text("more\n")
    QApplication.sendEvent(shown.page, QEvent(QEvent.Type.WindowActivate))
    await shown.stage_is("more.txt", "open")
    assert shown.page.path == "test_cart.py"
    await shown.end()


async def test_a_folder_that_is_no_repository_says_so(qapp: QApplication, tmp_path: Path) -> None:
    shown = Shown(RunChanges(tmp_path, "HEAD", tmp_path / "asides"))
    await until(lambda: "git repository" in shown.page.nothing.accessibleName())
    assert shown.page.commit.isHidden()
    await shown.end()


async def test_the_menu_of_a_file_acts_on_the_selected_ones(qapp: QApplication, run: RunChanges) -> None:
    shown = Shown(run)
    await shown.ready()
    page = shown.page
    page.files.show_selected(["NOTES.md", "logo.png"])
    page._open_file_menu("logo.png", page.mapToGlobal(page.rect().center()))
    (menu,) = [each for each in page.findChildren(ContextMenu) if each.isVisible()]
    actions = {each.text().partition("\t")[0]: each for each in menu.actions()}
    assert not actions["Open in editor"].isEnabled()
    actions["Keep"].trigger()
    menu.close()
    await shown.stage_is("NOTES.md", "kept")
    await shown.stage_is("logo.png", "kept")
    await shown.end()


async def test_two_columns_are_remembered_and_a_narrow_window_has_one(qapp: QApplication, run: RunChanges) -> None:
    shown = Shown(run)
    await shown.ready()
    await shown.pick("src/checkout/cart.py")
    shown.page.shape.set_value("beside")
    shown.page._choose("beside")
    await until(lambda: shown.page.view.beside)
    assert shown.shape.shape == "beside"
    shown.page.resize(500, 700)
    await until(lambda: not shown.page.view.beside)
    assert not shown.page.shape.isEnabled()
    shown.page.resize(1000, 700)
    await until(lambda: shown.page.view.beside)
    await shown.end()


async def test_fifty_thousand_lines_open_and_scroll_without_holding_the_loop(
    qapp: QApplication, run: RunChanges
) -> None:
    long = run.folder / "long.txt"
    long.write_text("".join(f"line {n} of many, and some words\n" for n in range(50_000)))
    shown = Shown(run)
    await shown.ready()
    gaps: list[float] = []

    async def beat() -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - before)
            before = now

    # As in the window, whose collector runs while nothing else does.
    gc.collect()
    gc.freeze()
    gc.disable()
    heart = asyncio.ensure_future(beat())
    await shown.pick("long.txt")
    assert shown.page.view.count == 50_001
    bar = shown.page.view.verticalScrollBar()
    for step in range(30):
        bar.setValue(bar.maximum() * step // 30)
        await asyncio.sleep(0.002)
    heart.cancel()
    gc.enable()
    gc.unfreeze()
    # 29 ms at the most where eight processes share two cores.
    assert max(gaps) < 0.1
    await shown.end()


def test_a_file_that_the_desktop_would_run_is_not_given_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    given: list[QUrl] = []
    plain, program = tmp_path / "a.py", tmp_path / "b.py"
    for each in (plain, program):
        each.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    def take(url: QUrl) -> bool:
        given.append(url)
        return True

    assert open_in_editor(plain, open_address=take) == ""
    assert "VISUAL" in open_in_editor(program, open_address=take)
    (tmp_path / "c.desktop").write_text("[Desktop Entry]\n")
    (tmp_path / "notes.txt").symlink_to("c.desktop")
    assert "VISUAL" in open_in_editor(tmp_path / "notes.txt", open_address=take)
    assert [each.toLocalFile() for each in given] == [str(plain), str(tmp_path), str(tmp_path)]
    started: list[list[str]] = []
    monkeypatch.setenv("VISUAL", "env -i")

    def start(command: list[str], _folder: str) -> bool:
        started.append(command)
        return True

    assert open_in_editor(program, start=start) == ""
    assert started == [["env", "-i", str(program)]]
    assert "not there" in open_in_editor(tmp_path / "gone")


LOOKS = [
    ("light", 1.0, (1100, 720), "beside"),
    ("dark", 1.0, (520, 640), "unified"),
    ("light", 1.5, (900, 760), "unified"),
    ("dark", 1.5, (1300, 760), "beside"),
]


@pytest.mark.parametrize(("mode", "scale", "size", "shape"), LOOKS, ids=str)
async def test_no_look_of_changes_cuts_covers_shrinks_or_misnames_anything(
    qapp: QApplication, run: RunChanges, tmp_path: Path, mode: str, scale: float, size: tuple[int, int], shape: str
) -> None:
    with look(mode, scale):
        shown = Shown(run, size=size, shape=shape)
        await shown.ready()
        await shown.pick("src/checkout/cart.py")
        shown.page.view.setFocus(Qt.FocusReason.TabFocusReason)
        shown.page.view.step_change(1)
        page = shown.page
        for _ in range(3):
            await asyncio.sleep(0.01)
        found = [*clipped(page), *overlapping(page), *small_targets(page, scale), *misnamed(page), *nameless(page)]
        save(page, f"changes-{size[0]}", mode, scale, tmp_path)
        await shown.end()
    assert not found, "\n".join(found)
