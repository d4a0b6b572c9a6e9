"""Every setting counts at once, has a default, is reached by keyboard and from the palette, and survives nonsense."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QUrl, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.desktop.link_handler import KEEP_SETTING, link_handler
from app.core.desktop.notification import DesktopNotification
from app.core.diagnostics.about import Versions, notices
from app.core.diagnostics.activity import Activity
from app.core.installation import InstalledApp, InstallKind
from app.core.preferences import (
    ADDRESS,
    ANSWER,
    ANSWER_SETTING,
    NONE,
    PROXY_MODE,
    SILENCE_SETTING,
    SYSTEM,
    preferences,
    use_preferences,
)
from app.core.runs.worktrees.worktrees import Worktrees
from app.core.updates.service import MODE_SETTING as UPDATES_MODE
from app.ui.bridge import Bridge
from app.ui.changes.worktrees_dialog import NoneInUse, WorktreesDialog
from app.ui.places import PLACES
from app.ui.settings import UiSettings
from app.ui.shell.about import About
from app.ui.shell.appearance import DENSITY_SETTING, MODE_SETTING, SCALE_SETTING, Appearance, restore_appearance
from app.ui.shell.doors import OFFERED
from app.ui.shell.help import Help
from app.ui.shell.layout import DRAWER_SETTING, PLACE_SETTING, START_SETTING, WINDOW_SETTING, WindowLayout
from app.ui.shell.notices import NOTIFY_APPROVALS, NOTIFY_CALLS, NOTIFY_SIGN_IN, Notices
from app.ui.shell.setting_row import SettingRow
from app.ui.shell.settings.crash_section import REPORTS_SETTING, CrashSection
from app.ui.shell.settings.desktop_section import LOGIN_SETTING, DesktopSection
from app.ui.shell.settings.links_section import LinksSection
from app.ui.shell.settings.look_section import LookSection
from app.ui.shell.settings.network_section import NetworkSection
from app.ui.shell.settings.notices_section import NoticesSection
from app.ui.shell.settings.page import LIST_HEIGHT, LIST_WIDTH, SettingsPage
from app.ui.shell.settings.runs_section import WORKTREES_SETTING, RunsSection
from app.ui.shell.settings.section import SettingsContext
from app.ui.shell.settings.sections import SECTIONS
from app.ui.shell.settings.sign_in_section import STORE, SignInSection
from app.ui.shell.settings.start_section import StartSection
from app.ui.shell.settings.updates_section import UpdatesSection
from app.ui.theme import apply_theme, theme
from app.ui.widgets.choices import CheckBox, Segmented, Select
from app.ui.widgets.lists import ListTable
from app.ui.widgets.text import Text
from tests.ui._screens import nameless
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui._tasks_fakes import FakeSettings, settle
from tests.ui.changes._runs import changed_run
from tests.ui.test_shell import opened, press, until

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

NONSENSE: list[Any] = [True, 5, 1e300, -3, "x", [], {"a": 1}, [1, 2, 3, 4, 5, 6], ["a", "b", 1, 2, 3], [10**30] * 5]


class InTray(QObject):
    """A desktop that has a tray."""

    changed = Signal()
    looked = possible = True
    login_command = ("/opt/burrow/burrow",)


@pytest.fixture(autouse=True)
def as_before(qapp: QApplication, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    apply_theme(qapp, "light", 1.0)
    yield
    use_preferences(None)
    theme().set_compact(False)
    apply_theme(qapp, "light", 1.0)


@asynccontextmanager
async def page(services: FakeServices | None = None) -> AsyncIterator[SettingsPage]:
    services = services or FakeServices(FakeBackend())
    bridge, parent = Bridge(), QWidget()
    settings = UiSettings(services.storage.settings, bridge, parent)  # type: ignore[arg-type]
    context = SettingsContext(services, bridge, settings, Appearance(settings), PLACES, InTray(parent))  # type: ignore[arg-type]
    shown = SettingsPage(context, parent)
    await until(lambda: shown.section(DesktopSection).login.isEnabled())
    shown.show()
    try:
        yield shown
    finally:
        await settle()
        await bridge.close()
        shown.close()
        parent.deleteLater()


def choose(control: Any, value: object) -> None:
    """Choose a value of a drop-down list as the user does."""
    row = next(row for row in range(control.count()) if control.itemData(row) == value)
    control.setCurrentIndex(row)
    control.activated.emit(row)


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize(
    "key",
    [
        *(MODE_SETTING, SCALE_SETTING, DENSITY_SETTING, START_SETTING, PROXY_MODE, ANSWER_SETTING, SILENCE_SETTING),
        *(NOTIFY_SIGN_IN, NOTIFY_CALLS, "net.proxy_address"),
    ],
)
async def test_a_value_of_the_wrong_kind_is_shown_as_the_default(qapp: QApplication, key: str, value: Any) -> None:
    services = FakeServices(FakeBackend())
    services.storage.settings.values[key] = value
    if key in {MODE_SETTING, SCALE_SETTING, DENSITY_SETTING}:
        restore_appearance(services.storage.settings)  # type: ignore[arg-type]
    async with page(services) as shown:
        assert shown.section(LookSection).theme_choice.value() in {"system", "light", "dark"}
        assert preferences().proxy.mode in {SYSTEM, NONE, ADDRESS}
        assert 0.5 <= theme().user_scale <= 2.0


@pytest.mark.parametrize("value", NONSENSE)
async def test_a_remembered_layout_of_the_wrong_kind_never_breaks_the_start(qapp: QApplication, value: Any) -> None:
    stored = FakeSettings()
    stored.values.update({WINDOW_SETTING: value, PLACE_SETTING: value, START_SETTING: value})
    window, bridge = QWidget(), Bridge()
    settings = UiSettings(stored, bridge, window)  # type: ignore[arg-type]
    layout = WindowLayout(window, settings, place=lambda: "", drawer=lambda: None)
    layout.restore()
    assert isinstance(layout.place, str)
    assert settings.sizes(WINDOW_SETTING) is None
    await bridge.close()
    window.deleteLater()
    await settle()


@pytest.mark.parametrize("value", NONSENSE)
async def test_a_window_opens_whatever_its_settings_are(qapp: QApplication, value: Any) -> None:
    services = FakeServices(FakeBackend())
    keys = (MODE_SETTING, SCALE_SETTING, DENSITY_SETTING, START_SETTING, PLACE_SETTING, WINDOW_SETTING, DRAWER_SETTING)
    services.storage.settings.values.update(dict.fromkeys((*keys, PROXY_MODE, ANSWER_SETTING), value))
    async with opened(services) as window:
        assert window.current == "tasks"
        window.drawers.toggle()
        window.open_settings()
        window.findChildren(SettingsPage)[0].reject()


async def test_every_setting_counts_at_once_and_can_be_reset(qapp: QApplication) -> None:
    async with page() as shown:
        shown.section(LookSection).context.appearance.set_mode("system")
        shown.refresh()
        assert not any(row.reset_button.isVisible() for row in shown.rows.values())
        assert not shown.reset_button.isEnabled()
        shown.section(LookSection).theme_choice._choose("dark")
        assert theme().mode == "dark"
        choose(shown.section(LookSection).scale, 1.25)
        assert theme().user_scale == 1.25
        usual = theme().row(32)
        shown.section(LookSection).density._choose("compact")
        assert 24 <= theme().row(32) < usual
        choose(shown.section(StartSection).start, "servers")
        choose(shown.section(NetworkSection).proxy, NONE)
        assert preferences().proxy.mode == NONE
        choose(shown.section(NetworkSection).waits[ANSWER_SETTING], 120.0)
        assert preferences().answer_seconds == 120
        choose(shown.section(NetworkSection).waits[SILENCE_SETTING], 300.0)
        assert preferences().silence_seconds == 300
        usual = {key: box.isChecked() for key, box in shown.section(NoticesSection).boxes.items()}
        for box in shown.section(NoticesSection).boxes.values():
            box.click()
        shown.section(UpdatesSection).box.click()
        choose(shown.section(DesktopSection).close, "quit")
        shown.section(DesktopSection).hidden.toggle()
        shown.section(CrashSection).watch.click()
        shown.section(RunsSection).bypass.click()
        shown.section(RunsSection).draft.click()
        changed = {key for key, row in shown.rows.items() if row.reset_button.isVisibleTo(shown)}
        assert changed == set(shown.rows) - {STORE, LOGIN_SETTING, KEEP_SETTING, REPORTS_SETTING, WORKTREES_SETTING}
        shown.rows[ANSWER_SETTING].reset_button.click()
        assert preferences().answer_seconds == ANSWER.default
        shown.reset_all()
        assert (theme().mode, theme().user_scale, theme().compact) == ("system", 1.0, False)
        assert preferences().proxy.mode == SYSTEM
        assert usual == {key: box.isChecked() for key, box in shown.section(NoticesSection).boxes.items()}


async def test_lists_follow_the_density(qapp: QApplication) -> None:
    table = ListTable("Tasks", two_lines=True)
    usual = table.row_height()
    theme().set_compact(True)
    assert table.verticalHeader().defaultSectionSize() == table.row_height() < usual


async def test_an_address_that_cannot_be_used_is_refused_beside_its_field_and_changes_nothing(
    qapp: QApplication,
) -> None:
    async with page() as shown:
        choose(shown.section(NetworkSection).proxy, ADDRESS)
        assert shown.section(NetworkSection).address.isVisible()
        shown.section(NetworkSection).address.setText("http://ana:geheim@proxy:1")
        shown.section(NetworkSection).address.editingFinished.emit()
        assert "password" in shown.section(NetworkSection).address_error.text()
        assert "geheim" not in shown.section(NetworkSection).address_error.text()
        assert preferences().proxy.mode == SYSTEM
        shown.section(NetworkSection).address.setText("proxy.example:3128")
        shown.section(NetworkSection).address.editingFinished.emit()
        assert shown.section(NetworkSection).address_error.isHidden()
        assert preferences().proxy == (ADDRESS, "http://proxy.example:3128")


async def test_enter_in_a_field_presses_no_button(qapp: QApplication) -> None:
    async with page() as shown:
        shown.section(LookSection).theme_choice._choose("dark")
        choose(shown.section(NetworkSection).proxy, ADDRESS)
        shown.section(NetworkSection).address.setText("proxy.example:1")
        QTest.keyClick(shown.section(NetworkSection).address, Qt.Key.Key_Return)
        assert theme().mode == "dark"
        assert shown.isVisible()
        assert preferences().proxy.address == "http://proxy.example:1"


async def test_the_store_of_the_sign_in_is_shown_and_moved(qapp: QApplication) -> None:
    from app.core.auth.grant.grant import Grant
    from app.core.auth.tokens import TokenSet

    services = FakeServices(FakeBackend())
    assert services.backend is not None
    services.backend.credential.grant = Grant(TokenSet("a", generation=1))
    async with page(services) as shown:
        assert shown.section(SignInSection).store.currentData() == "keyring"
        choose(shown.section(SignInSection).store, "file")
        await until(lambda: services.backend is not None and services.backend.credential.stores == ["file"])


async def test_everything_has_a_name_and_is_reached_by_tab(qapp: QApplication) -> None:
    async with page() as shown:
        assert not nameless(shown)
        for key, row in shown.rows.items():
            # A checkout cannot be the program for links.
            if key not in {STORE, KEEP_SETTING}:
                shown.focus_on(key)
                focused = shown.focusWidget()
                assert focused is row.control or row.control.isAncestorOf(focused), key


async def test_tab_reaches_every_control_in_the_order_of_the_page(qapp: QApplication) -> None:
    async with page() as shown:
        shown.activateWindow()
        await until(shown.isActiveWindow)
        shown.section(LookSection).theme_choice._choose("dark")
        shown.focus_on(MODE_SETTING)
        reached: list[str] = []
        for _ in range(40):
            focused = QApplication.focusWidget()
            assert focused is not None
            row = next((key for key, row in shown.rows.items() if row.isAncestorOf(focused)), "")
            if row and row not in reached:
                reached.append(row)
            QTest.keyClick(focused, Qt.Key.Key_Tab)
            if focused is shown.close_button:
                break
        assert reached == [key for key in shown.rows if key not in {STORE, KEEP_SETTING}]
        assert focused is shown.close_button


async def test_the_list_of_sections_leads_to_each_one_and_gives_way_where_there_is_little_room(
    qapp: QApplication,
) -> None:
    async with page() as settings:
        settings.resize(theme().px(LIST_WIDTH), theme().px(LIST_HEIGHT))
        await until(settings.sections.isVisible)
        doors = settings.sections.findChildren(QPushButton)
        assert [door.text() for door in doors] == [section.title for section in SECTIONS]
        wanted = next(door for door in doors if door.text() == NetworkSection.title)
        wanted.click()
        await settle()
        assert settings.section(NetworkSection).proxy.hasFocus()
        [heading] = [text for text in settings.column.findChildren(Text) if text.text() == NetworkSection.title]
        assert heading.mapTo(settings.column.viewport(), heading.rect().topLeft()).y() == 0
        settings.resize(theme().px(LIST_WIDTH) - 1, theme().px(LIST_HEIGHT))
        await until(lambda: not settings.sections.isVisible())


async def test_nothing_else_appears_while_it_is_built(qapp: QApplication) -> None:
    seen: list[str] = []

    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                seen.append(type(watched).__name__)
            return False

    watch = Watch()
    qapp.installEventFilter(watch)
    async with page():
        qapp.removeEventFilter(watch)
    assert seen == ["SettingsPage"]


async def test_a_setting_that_was_asked_for_is_whole_in_view_also_when_its_words_come_later(qapp: QApplication) -> None:
    async with page() as shown:
        shown.resize(shown.width(), 440)
        shown.focus_on(UPDATES_MODE)
        row = shown.rows[UPDATES_MODE]
        await settle()
        before = row.height()
        row.set_hint("What is found takes many words. " * 14)
        await until(lambda: row.height() > before)
        view = shown.column.viewport()

        def whole() -> bool:
            top = row.mapTo(view, QPoint(0, 0)).y()
            return 0 <= top + row.height() <= view.height()

        await until(whole)
        # The person goes elsewhere, and stays there.
        shown.column.verticalScrollBar().setValue(0)
        row.set_hint("Fewer. " * 40)
        await settle()
        assert shown.column.verticalScrollBar().value() == 0


async def test_the_palette_finds_each_setting_and_opens_it_there() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        titles = {command.title for command in window._palette_commands()}
        assert {"Appearance: Theme", "Network: Proxy", "Sign-in: Where the sign-in is kept"} <= titles
        window.open_settings(PROXY_MODE)
        dialog = next(each for each in window.findChildren(SettingsPage))
        assert dialog.focusWidget() is dialog.section(NetworkSection).proxy
        window.open_settings(MODE_SETTING)
        assert len(window.findChildren(SettingsPage)) == 1
        dialog.reject()


async def test_the_keys_open_settings_and_help_and_stand_in_the_menu() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        press(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
        assert window.findChildren(SettingsPage)
        window.findChildren(SettingsPage)[0].reject()
        window.activateWindow()
        await until(window.isActiveWindow)
        press(window, Qt.Key.Key_F1)
        (shown,) = window.findChildren(Help)
        assert not nameless(shown)
        shown.reject()
        window.doors.click()
        menu = window.doors.menu_shown
        assert menu is not None
        assert [action.text() for action in menu.actions()] == [
            "Open the command palette",
            "Show or hide activity",
            "Show keyboard shortcuts",
            "Settings…",
            "Help",
            "About Burrow",
        ]
        assert len(menu.actions()) == len(OFFERED)
        menu.close()


async def test_the_settings_can_be_opened_before_anybody_has_signed_in() -> None:
    async with opened(FakeServices()) as window:
        assert not window.pages.shows_places
        assert {"Settings", "Help"} <= {
            each.text() for each in window.pages.findChildren(QPushButton) if each.isVisible()
        }
        press(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
        assert window.findChildren(SettingsPage)
        window.findChildren(SettingsPage)[0].reject()


async def test_about_names_versions_and_licences_and_copies_diagnostics_without_secrets(
    qapp: QApplication, tmp_path: Any
) -> None:
    services = FakeServices(FakeBackend())
    services.folder = tmp_path
    bridge, parent = Bridge(), QWidget()
    asked: list[QUrl] = []
    about = About(services, bridge, parent, lambda address: bool(asked.append(address)))  # type: ignore[arg-type, func-returns-value]
    about.show()
    await until(lambda: "MIT" in about.licences.toPlainText())
    assert "PySide6" in about.licences.toPlainText()
    assert not nameless(about)
    about.copy_path()
    assert QGuiApplication.clipboard().text() == str(tmp_path)
    about.open_folder()
    assert asked == [QUrl.fromLocalFile(str(tmp_path))]
    assert "can be copied" in about.line.text()
    about.copy_diagnostics()
    await until(lambda: "Qt" in QGuiApplication.clipboard().text())
    assert Versions.of_process().burrow in QGuiApplication.clipboard().text()
    await bridge.close()
    about.close()
    parent.deleteLater()


def test_the_notices_name_the_packages() -> None:
    assert "httpx" in notices()


@pytest.mark.parametrize(("wanted", "shown"), [(False, 0), (True, 1)])
async def test_a_notification_is_shown_only_where_it_is_wanted(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch, wanted: bool, shown: int
) -> None:
    monkeypatch.setattr(QGuiApplication, "applicationState", lambda: Qt.ApplicationState.ApplicationInactive)
    window, bridge, activity, told = QWidget(), Bridge(), Activity(), list[DesktopNotification]()
    settings = UiSettings(FakeSettings(), bridge)  # type: ignore[arg-type]
    for key in (NOTIFY_CALLS, NOTIFY_SIGN_IN, NOTIFY_APPROVALS):
        settings.put(key, wanted)
    notices_ = Notices(window, activity, bridge, settings, show=told.append)
    activity.record("mcp", "Notion", "tools/call search", "ok")
    activity.record("mcp", "Notion", "tools/list", "ok")
    await settle()
    assert len(told) == shown
    notices_.sign_in_needed("Sign in again.", lambda: None)
    notices_.approval_wanted("Cursor", "Server: Notion.", refuse=lambda: None, review=lambda: None)
    assert len(told) == 3 * shown
    monkeypatch.setattr(QGuiApplication, "applicationState", lambda: Qt.ApplicationState.ApplicationActive)
    window.show()
    notices_.sign_in_needed("Sign in again.", lambda: None)
    notices_.approval_wanted("Cursor", "Server: Notion.", refuse=lambda: None, review=lambda: None)
    assert len(told) == 3 * shown
    assert isinstance(notices_, QObject)
    await bridge.close()
    window.deleteLater()


@pytest.mark.parametrize("made", [lambda: Segmented([("a", "A", "", "accent")], "A"), lambda: Select("A")])
def test_a_name_stands_beside_the_middle_of_its_control(qtbot, made) -> None:
    row = SettingRow("Theme", "What it looks like, in a few words that need more than one line.", made())
    qtbot.addWidget(row)
    row.resize(640, row.sizeHint().height())
    row.show()
    QApplication.processEvents()
    middles = [each.mapTo(row, each.rect().center()).y() for each in (row._label, row.control)]
    assert abs(middles[0] - middles[1]) <= 1


async def test_start_at_login_is_what_the_system_says(qapp: QApplication, tmp_path: Path) -> None:
    file = tmp_path / "autostart" / "burrow.desktop"
    async with page() as shown:
        section = shown.section(DesktopSection)
        section.login.click()
        await until(file.exists)
        assert "Exec=/opt/burrow/burrow --hidden\n" in file.read_text()
        section.hidden.click()
        await until(lambda: "Exec=/opt/burrow/burrow\n" in file.read_text())
    file.write_text("[Desktop Entry]\nType=Application\nName=Rabbits\nExec=rabbits\n")
    bridge, parent = Bridge(), QWidget()
    settings = UiSettings(FakeSettings(), bridge, parent)  # type: ignore[arg-type]
    services = FakeServices(FakeBackend())
    shown = SettingsPage(
        SettingsContext(services, bridge, settings, Appearance(settings), PLACES, InTray(parent)),  # type: ignore[arg-type]
        parent,
    )
    await until(lambda: "Another program" in shown.rows[LOGIN_SETTING].note.text())
    assert not shown.section(DesktopSection).login.isEnabled()
    await bridge.close()
    parent.deleteLater()


async def test_links_are_opened_by_what_the_system_says_and_by_this_burrow_once_it_is_chosen(
    qapp: QApplication, tmp_path: Path
) -> None:
    environment = {"HOME": str(tmp_path), "XDG_DATA_DIRS": str(tmp_path / "system")}
    choices = tmp_path / ".config" / "mimeapps.list"
    choices.parent.mkdir()
    choices.write_text("[Default Applications]\nx-scheme-handler/burrow=own\u202e.desktop\n", "utf-8")
    installed = InstalledApp(InstallKind.APPIMAGE, (str(tmp_path / "Burrow.AppImage"),))
    async with page() as shown:
        row = shown.rows[KEEP_SETTING]
        await until(lambda: row.note.text() == "Only an installed Burrow can open them.")
        services = shown.section(LinksSection).context.services
        section = LinksSection(shown.section(LinksSection).context, shown, lambda: link_handler(installed, environment))
        section.rows = {KEEP_SETTING: row}
        box = section.controls()[KEEP_SETTING]
        assert isinstance(box, CheckBox)
        section.changed.connect(section.refresh)
        await until(lambda: row.note.text() == "own‹U+202E›.desktop opens them.")
        assert not box.isChecked()
        box.click()
        await until(lambda: "x-scheme-handler/burrow=burrow.desktop" in choices.read_text("utf-8"))
        await until(box.isChecked)
        assert services.storage.settings.get(KEEP_SETTING) is True
        box.click()
        await until(lambda: row.note.text() == "No program opens them.")
        (tmp_path / ".local" / "share" / "applications").rmdir()
        (tmp_path / ".local" / "share" / "applications").touch()
        box.click()
        await until(lambda: "could not be written" in row.note.text())
        assert not box.isChecked()


async def test_without_a_tray_the_setting_says_why_closing_quits(qapp: QApplication) -> None:
    async with page() as shown:
        section = shown.section(DesktopSection)
        tray = section.context.background
        assert tray is not None
        assert section.close.isEnabled()
        tray.possible = False  # type: ignore[misc]
        tray.changed.emit()
        assert not section.close.isEnabled()
        assert "no tray" in shown.rows["tray.close"].note.text()


@pytest.mark.parametrize("possible", [False, True])
async def test_where_nothing_shows_notifications_the_settings_say_so(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch, possible: bool
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    async with page() as shown:
        tray: Any = shown.section(DesktopSection).context.background
        tray.possible = possible
        section = shown.section(NoticesSection)
        await until(lambda: section._nowhere)
        shown.refresh()
        said = "No service" in shown.rows[NOTIFY_APPROVALS].note.text()
        # A tray shows messages too.
        assert said is not possible


async def test_the_worktrees_of_runs_are_counted_shown_and_counted_again(qapp: QApplication, tmp_path: Path) -> None:
    services, shown_folders = FakeServices(FakeBackend()), list[str]()
    services.folder = tmp_path / "data"
    worktrees = services.local_runs = NoneInUse()  # type: ignore[attr-defined]
    worktrees.worktrees = Worktrees(services.folder)  # type: ignore[attr-defined]
    async with page(services) as shown:
        section = shown.section(RunsSection)
        note = shown.rows[WORKTREES_SETTING].note
        await until(lambda: note.text() == "None.")
        assert not section.worktrees_button.isEnabled()
        section._open_address = lambda url: bool(shown_folders.append(url.toLocalFile())) or True
        section.folder_button.click()
        assert shown_folders == [str(services.folder)]
    repository = changed_run(tmp_path / "shop", tmp_path / "asides").folder
    record = await Worktrees(services.folder).create(repository, "Mend the cart")
    kept = services.folder / "worktrees" / "trash" / "old"
    kept.mkdir(parents=True)
    (kept / "file").write_bytes(b"x" * 2048)
    async with page(services) as shown:
        section = shown.section(RunsSection)
        note = shown.rows[WORKTREES_SETTING].note
        await until(lambda: "1 worktree, " in note.text())
        assert "“trash”: 2.00 KiB." in note.text()
        assert note.text().count(str(services.folder / "worktrees")) == 1
        section.worktrees_button.click()
        [dialog] = shown.findChildren(WorktreesDialog)
        await until(lambda: record.id in dialog._known)
        shutil.rmtree(record.path)
        dialog.accept()
        await until(lambda: "1 worktree, 0 bytes" in note.text())
