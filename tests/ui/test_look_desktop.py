"""The dialogs and bars of an installed application: nothing is cut off or covered, and the place keeps room below."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from app.core.updates.status import UpdateState, UpdateStatus
from app.ui.shell.fitted_dialog import FittedDialog
from app.ui.shell.link_dialog import LinkDialog
from app.ui.shell.update_bar import UpdateBar
from app.ui.shell.window import MainWindow
from app.ui.theme import theme
from tests.ui._desktop_screens import CALL, LONG, MANY, RELEASE, desktop_screens
from tests.ui._pixels import painted
from tests.ui._screens import look, nameless
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui._tasks_fakes import settle
from tests.ui._walk import clipped, misnamed, mnemonics, overlapping, small_targets
from tests.ui.test_shell import opened

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@pytest.mark.parametrize("scale", [1.0, 1.6])
async def test_no_dialog_or_bar_cuts_covers_shrinks_or_misnames_anything(
    qapp: QApplication, tmp_path: Path, scale: float
) -> None:
    faults = []
    with look("light", scale):
        async with opened(FakeServices(FakeBackend())) as window:
            window.resize(720, 420)
            async for name, root in desktop_screens(window, tmp_path):
                faults.extend(f"{name}: {fault}" for fault in faults_of(root, window, scale))
    assert not faults, "\n".join(faults)


def faults_of(root: QWidget, window: MainWindow, scale: float) -> list[str]:
    found = [*clipped(root), *overlapping(root), *small_targets(root, scale), *misnamed(root)]
    found.extend(f"{each} has no name" for each in nameless(root))
    letters = mnemonics(root)
    if len(letters) != len(set(letters)):
        found.append(f"letters {letters}")
    if isinstance(root, FittedDialog) and root.height() > root.box.totalHeightForWidth(root.width()):
        found.append("has room below its words that nothing fills")
    if isinstance(root, QDialog) and not root.screen().availableGeometry().contains(root.rect()):
        found.append(f"{root.size().toTuple()} is larger than a small screen")
    if window.pages.height() < window.height() * 0.55:
        found.append(f"leaves the place {window.pages.height()} of {window.height()} pixels")
    return found


def test_a_name_of_others_reorders_nothing_in_the_bar_and_leaves_room_for_the_rest(qtbot) -> None:
    bar = UpdateBar()
    qtbot.addWidget(bar)
    bar.show_status(UpdateStatus(UpdateState.READY, RELEASE), (LONG, CALL, *MANY))
    assert bar.text().endswith(f", {CALL.what}, and {len(MANY)} more")
    assert len(bar.text()) < 180
    assert chr(0x202E) not in bar.text()


def test_the_text_of_a_link_has_the_edge_of_what_is_only_read(host: QWidget) -> None:
    dialog = LinkDialog("Begin a draft?", "A link.", "Begin", host, text="Say why", named="Text")
    dialog.show()
    QApplication.processEvents()
    preview = dialog.preview
    top = preview.mapTo(dialog, QPoint(preview.width() // 2, 0))
    assert painted(dialog).pixelColor(top).name() == theme().colours.border.lower()


async def test_a_bar_that_is_hidden_takes_no_room() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        bars, place = window.bars, window.pages
        whole = place.height()
        assert not bars.isVisible()
        window.links.open("burrow://no/such")
        await settle()
        assert bars.isVisible()
        assert place.height() < whole
        window.links.forget()
        await settle()
        assert not bars.isVisible()
        assert place.height() == whole
