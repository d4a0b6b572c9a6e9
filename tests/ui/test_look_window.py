"""What the window is to the desktop and to assistive technology: its title, its icon, its role, its headings."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtGui import QAccessible, QImage
from PySide6.QtWidgets import QApplication, QStackedWidget, QVBoxLayout, QWidget

from app.ui.shell.titles import LONGEST, window_title
from app.ui.theme.app_icon import SIZES, app_icon
from app.ui.widgets.accessible_roles import HEADINGS, install_roles
from app.ui.widgets.page import TitledPage
from app.ui.widgets.text import ElidedLabel, Text
from tests.ui._every_screen import every_screen, shown_window
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import living

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


def interface_of(widget: QWidget):
    return QAccessible.queryAccessibleInterface(widget)


@pytest.mark.parametrize(
    ("open_title", "shown"),
    [
        ("", "Burrow"),
        ("Fix checkout crash", "Fix checkout crash — Burrow"),
        ("Fix\n  checkout\tcrash", "Fix checkout crash — Burrow"),
        ("Tick [*] the box", "Tick [*][*] the box — Burrow"),
    ],
)
def test_the_title_says_what_is_open_and_then_the_application(open_title: str, shown: str) -> None:
    assert window_title(open_title) == shown


def test_a_long_title_leaves_room_for_the_application() -> None:
    shown = window_title("x" * 5000)
    assert len(shown) < LONGEST + 20
    assert shown.endswith("… — Burrow")


def test_a_title_with_the_mark_of_an_unsaved_document_is_shown_as_it_is(qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.setWindowTitle(window_title("Tick [*] the box"))
    window.show()
    assert window.windowHandle().title() == "Tick [*] the box — Burrow"


async def test_the_title_of_the_window_follows_what_is_open(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        window = alive.window
        alive.tasks.selection.show_nothing()
        assert window.windowTitle() == "Tasks — Burrow"
        alive.tasks.pane.table.select_first()
        await settle()
        first = alive.tasks.pages.detail.title.text()
        assert window.windowTitle() == f"{first} — Burrow"
        alive.tasks.selection.new_task()
        assert window.windowTitle() == "New task — Burrow"
        window.go("servers")
        await until(lambda: bool(alive.servers.pane.servers.rows.lines()), 10)
        alive.servers.selection.show_nothing()
        assert window.windowTitle() == "Servers — Burrow"
        alive.servers.pane.servers.select_key(None, quiet=True)
        alive.servers.pane.servers.select_first()
        await settle()
        assert window.windowTitle() == "Workspace — Burrow"
        alive.servers.pane.add_wanted.emit()
        assert window.windowTitle() == "Add a server — Burrow"
        window.go("lab")
        assert window.windowTitle() == "Workspace lab — Burrow"
        window.go("tasks")
        assert window.windowTitle() == "New task — Burrow"
        window.choose_host()
        assert window.windowTitle() == "Burrow"
        window.stay_here()
        assert window.windowTitle() == "New task — Burrow"


async def test_the_window_is_one_and_every_title_in_view_is_a_heading(qapp: QApplication, tmp_path: Path) -> None:
    async with shown_window(qapp, tmp_path, "light", 1.0, (1180, 760)) as alive:
        assert interface_of(alive.window).role() == QAccessible.Role.Window
        async for name, root in every_screen(alive):
            heads = [each for each in root.findChildren(Text) if each.isVisible() and each.role in HEADINGS]
            assert heads or name in {"palette", "keys"}, name
            for head in heads:
                if head.text():
                    assert interface_of(head).role() == QAccessible.Role.Heading, f"{name}: {head.text()}"
                    assert interface_of(head).text(QAccessible.Text.Name), name


def test_headings_come_and_go_without_harm(qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    box = QVBoxLayout(window)
    install_roles(window)
    for number in range(300):
        label = ElidedLabel(f"Task {number}", "title") if number % 2 else Text(f"Section {number}", "section")
        box.addWidget(label)
        found = interface_of(label)
        assert (found.role(), found.text(QAccessible.Text.Name)) == (QAccessible.Role.Heading, label.text())
        label.setText("Renamed")
        assert found.text(QAccessible.Text.Name) == "Renamed"
        del found
        label.deleteLater()
        QApplication.sendPostedEvents(label, QEvent.Type.DeferredDelete)
        if number % 50 == 0:
            gc.collect()
    plain = Text("Not a heading")
    box.addWidget(plain)
    assert interface_of(plain).role() == QAccessible.Role.StaticText


async def test_the_application_has_an_icon_in_every_size_of_a_task_bar(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        assert not qapp.windowIcon().isNull()
        assert not alive.window.windowIcon().isNull()
    icon = app_icon()
    assert [size.width() for size in icon.availableSizes()] == list(SIZES)
    assert (SIZES[0], SIZES[-1]) == (16, 256)
    for size in SIZES:
        image: QImage = icon.pixmap(size, size).toImage()
        assert image.pixelColor(0, 0).alpha() < 200
        colours = {image.pixelColor(x, y).name() for x in range(size) for y in range(size)}
        assert len(colours) >= 3


def test_a_page_with_a_title_is_followed_whenever_it_is_added(qtbot, qapp: QApplication) -> None:
    from app.ui.place import Place

    place = Place(None)  # type: ignore[arg-type]
    qtbot.addWidget(place)
    pages, said = QStackedWidget(place), []
    pages.addWidget(QWidget())
    place.follow_titles(pages)
    place.titled.connect(said.append)
    page = TitledPage("One")
    pages.addWidget(page)
    pages.setCurrentWidget(page)
    page.set_title("Two")
    assert said == ["One", "Two"]
    assert place.open_title == "Two"


def test_a_heading_made_while_assistive_technology_listens_is_one_from_its_first_text(
    qapp: QApplication, caplog: pytest.LogCaptureFixture
) -> None:
    window = QWidget()
    install_roles(window)
    QAccessible.setActive(True)
    try:
        title = Text("Tasks", "title", parent=window)
        assert interface_of(title).role() == QAccessible.Role.Heading
    finally:
        QAccessible.setActive(False)
    assert caplog.records == []
