"""ChangesController: asks the repository of a run what changed, and does with it what the person decides."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication

from app.ui.bridge import Generation
from app.ui.changes.changes_head import BESIDE, UNIFIED
from app.ui.changes.diff_blocks import rows_of_difference
from app.ui.changes.disk import told
from app.ui.changes.opening import open_in_editor
from app.ui.changes.words import groups_of, mode_words, subjects, tr
from app.ui.save_soon import SaveSoon
from app.ui.widgets.undo import Undoable, UndoKind

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from app.core.errors import BurrowError
    from app.core.runs.worktrees.changes import FileChange, FileDifference
    from app.core.runs.worktrees.discarding import Discarded
    from app.core.runs.worktrees.run_changes import ChangeList, RunChanges
    from app.ui.bridge import Bridge
    from app.ui.changes.page import ChangesPage
    from app.ui.widgets.context_menu import ContextMenu
    from app.ui.widgets.diff_rows import DiffRows
    from app.ui.widgets.rows import Group

SHAPE_SETTING = "changes.shape"


class ShapeSettings(Protocol):
    """Where it is remembered how differences are shown (`UiSettings`)."""

    def choice(self, key: str, options: Sequence[str], default: str) -> str: ...

    def put(self, key: str, value: object) -> None: ...


class _Shown:
    """The difference in view, and its rows."""

    def __init__(self, path: str, difference: FileDifference, rows: DiffRows, *, beside: bool) -> None:
        self.path, self.difference, self.rows, self.beside = path, difference, rows, beside


class ChangesController(QObject):
    """Call `show_run` with the changes of a run, and `turn_ended` when its agent has ended a turn."""

    def __init__(
        self,
        page: ChangesPage,
        bridge: Bridge,
        settings: ShapeSettings,
        *,
        open_file: Callable[[Path], str] = open_in_editor,
    ) -> None:
        super().__init__(page)
        self._page, self._bridge, self._settings, self._open_file = page, bridge, settings, open_file
        self._generation = Generation(bridge, self)
        self._run: RunChanges | None = None
        self._found: ChangeList | None = None
        self._shown: _Shown | None = None
        self._typed = ""
        self._save_soon = SaveSoon(self._save_typed, self)
        page.set_shape(settings.choice(SHAPE_SETTING, (UNIFIED, BESIDE), UNIFIED))
        page.looked.connect(self.look)
        page.picked.connect(lambda _path: self._read_difference())
        page.shape_changed.connect(self._read_difference)
        page.chosen.connect(lambda shape: settings.put(SHAPE_SETTING, shape))
        page.keep_wanted.connect(self._keep)
        page.discard_wanted.connect(self._discard)
        page.open_wanted.connect(self._open)
        page.copy_path_wanted.connect(self._copy_path)
        page.menu_filled.connect(self._fill_menu)
        page.commit.committed.connect(self._commit)
        page.commit.edited.connect(self._edited)

    def show_run(self, run: RunChanges | None) -> None:
        """Show the changes of another run, or of none."""
        if run is self._run:
            return
        self._save_typed()
        self._generation.renew()
        self._run, self._found, self._shown = run, None, None
        self._page.undo.settle()
        self._page.say("")
        self._page.commit.show_message("")
        if run is not None:
            self._generation.spawn(run.typed(), done=self._show_typed)
            if self._page.isVisible():
                self.look()

    def turn_ended(self) -> None:
        """The agent has ended a turn: look again, if the person looks."""
        if self._page.isVisible():
            self.look()

    def look(self) -> None:
        """Ask again what changed."""
        if self._run is not None:
            self._page.show_busy(busy=True)
            self._generation.spawn(
                told(partial(_looked, self._run)), done=self._show_list, failed=self._look_failed, key="look"
            )

    async def save_typed(self) -> None:
        """Store what is typed; awaited before the window closes."""
        if self._run is not None and self._save_soon.isActive():
            self._save_soon.stop()
            await told(partial(self._run.keep_typed, self._typed))

    def _show_list(self, looked: tuple[ChangeList, list[Group]]) -> None:
        self._page.show_busy(busy=False)
        former, self._found = self._found, looked[0]
        if self._found != former:
            self._page.show_list(*looked)
        else:
            self._page.card.clear()
        self._read_difference()

    def _look_failed(self, trouble: BurrowError) -> None:
        self._page.show_busy(busy=False)
        self._page.show_trouble(trouble, whole=self._found is None)

    def _read_difference(self) -> None:
        path = self._page.path
        listed = self._page.listed(path)
        if self._run is None or listed is None:
            return
        work = told(partial(_difference, self._run, listed.change, self._shown, beside=self._page.beside))
        self._generation.spawn(work, done=self._show_difference, failed=self._page.show_trouble, key="difference")

    def _show_difference(self, shown: _Shown) -> None:
        former = self._shown
        if shown is former:
            return
        self._shown = shown
        listed = self._page.listed(shown.path)
        if listed is None:
            return
        stay = former is not None and former.path == shown.path
        note = _note(listed.change, shown.difference)
        self._page.show_difference(shown.path, shown.rows, beside=shown.beside, note=note, stay=stay)
        cut = tr("The difference is very long: only its beginning is shown.") if shown.difference.cut else ""
        self._page.say(cut)

    def _changes(self, paths: Sequence[str]) -> list[FileChange]:
        return [listed.change for path in paths if (listed := self._page.listed(path)) is not None]

    def _keep(self, paths: list[str]) -> None:
        run = self._run
        listed = [each for path in paths if (each := self._page.listed(path)) and each.stage != "committed"]
        if run is None or not listed:
            return
        changes = [each.change for each in listed]
        release = all(each.stage == "kept" for each in listed)
        self._act(partial(run.release if release else run.keep, changes))

    def _discard(self, paths: list[str]) -> None:
        run, changes = self._run, self._changes(paths)
        if run is None or not changes:
            return

        async def discard() -> None:
            self._offer_undo(run, await run.discard(changes))

        self._act(discard)

    def _offer_undo(self, run: RunChanges, done: Discarded) -> None:
        def undo() -> None:
            # Not in the generation: it is undone even if another run is in view by now.
            self._bridge.spawn(self, told(partial(run.take_back, done)), done=self._done, failed=self._failed)

        kind = UndoKind(tr("Changes of {0} discarded"), tr("Changes of {0} files discarded"))
        self._page.undo.add(Undoable(kind, subjects([each.path for each in done.changes]), undo))

    def _commit(self, message: str, *, hooks: bool = False) -> None:
        run, found = self._run, self._found
        if run is None or found is None:
            return
        changes = [each.change for each in found.files if each.stage == "kept"]
        self._page.commit.show_busy(busy=True)
        self._bridge.spawn(
            self, told(partial(run.commit, message, changes, hooks=hooks)), done=self._committed, failed=self._failed
        )

    def _committed(self, commit: str) -> None:
        self._page.commit.show_busy(busy=False)
        self._page.commit.show_message("")
        self._edited("")
        self._page.say(tr("Committed as {0}.").format(commit[:10]))
        self.look()

    def _act(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._page.show_busy(busy=True)
        self._bridge.spawn(self, told(work), done=self._done, failed=self._failed)

    def _done(self, _result: object) -> None:
        self.look()

    def _failed(self, trouble: BurrowError) -> None:
        self._page.commit.show_busy(busy=False)
        self._page.show_busy(busy=False)
        self._page.show_trouble(trouble)

    def _open(self, path: str) -> None:
        found = self._file(path)
        if found is not None:
            self._page.say(self._open_file(found))

    def _copy_path(self, path: str) -> None:
        found = self._file(path)
        if found is not None:
            QGuiApplication.clipboard().setText(str(found))
            self._page.say(tr("Path copied."))

    def _file(self, path: str) -> Path | None:
        return Path(self._found.top) / path if self._found is not None and path else None

    def _fill_menu(self, menu: ContextMenu) -> None:
        run, some = self._run, self._found is not None and bool(self._found.files)
        files = () if self._found is None else self._found.files
        open_changes = [each.path for each in files if each.stage == "open" and not each.path.endswith("/")]
        menu.add(tr("Keep all"), lambda: self._keep(open_changes), enabled=bool(open_changes))
        message = self._page.commit.message.text()
        kept = some and self._found is not None and any(each.stage == "kept" for each in self._found.files)
        menu.add(
            tr("Commit and run the repository's hooks"),
            lambda: self._commit(message, hooks=True),
            enabled=bool(message.strip()) and bool(kept),
        )
        if run is not None:
            menu.add(tr("Show discarded files"), lambda: self._page.say(_open_folder(run.asides)))

    def _edited(self, text: str) -> None:
        self._typed = text
        self._save_soon.changed()

    def _show_typed(self, text: str) -> None:
        if text and not self._page.commit.message.text():
            self._typed = text
            self._page.commit.show_message(text)

    def _save_typed(self) -> None:
        if self._run is not None and (self._save_soon.isActive() or self.sender() is self._save_soon):
            self._save_soon.stop()
            self._bridge.spawn(self, told(partial(self._run.keep_typed, self._typed)), failed=self._page.show_trouble)


async def _looked(run: RunChanges) -> tuple[ChangeList, list[Group]]:
    """What is changed now, and how it is listed: the files may be many."""
    found = await run.look()
    return found, await asyncio.to_thread(groups_of, found)


async def _difference(run: RunChanges, change: FileChange, former: _Shown | None, *, beside: bool) -> _Shown:
    """The difference of a file; `former` itself if that is what it shows."""
    from app.core.runs.worktrees.changes import FileDifference

    difference = FileDifference() if change.path.endswith("/") else await run.difference(change)

    def laid_out() -> _Shown:
        # The lines may be many, and comparing them takes its time too.
        if former is not None and (former.path, former.beside, former.difference) == (change.path, beside, difference):
            return former
        return _Shown(change.path, difference, rows_of_difference(difference, beside=beside), beside=beside)

    return await asyncio.to_thread(laid_out)


def _note(change: FileChange, difference: FileDifference) -> str:
    """Why there are no lines to show; empty where there are."""
    if change.path.endswith("/"):
        return tr("A git repository of its own. Its files are not compared.")
    if difference.binary:
        return tr("A binary file. Its content is not compared.")
    if not difference.hunks:
        renamed = tr("Renamed, with the same content.") if change.kind == "renamed" else ""
        return " ".join(filter(None, (renamed, mode_words(change)))) or tr("An empty file.")
    return ""


def _open_folder(folder: Path) -> str:
    from PySide6.QtCore import QUrl
    from PySide6.QtGui import QDesktopServices

    if not folder.is_dir():
        return tr("Nothing was discarded.")
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
    return ""
