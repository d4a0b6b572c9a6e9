"""The Changes tab of a task: the changes of a run on this machine, and the worktrees by the palette."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.core.runs.local.agents import survey_agent
from app.core.runs.local.record import LocalRecord, save_record
from app.ui.changes.page import ChangesPage
from app.ui.changes.worktrees_dialog import WorktreesDialog
from app.ui.tasks.run_page import CHANGES
from app.ui.theme import apply_theme
from tests.ui._screens import save
from tests.ui._tasks_fakes import settle
from tests.ui.changes._runs import changed_run
from tests.ui.test_local_runs import local_place
from tests.until import until


async def test_a_run_on_this_machine_shows_its_changes_beside_its_transcript(
    qapp: QApplication, tmp_path: Path
) -> None:
    run = changed_run(tmp_path / "shop", tmp_path / "asides")
    record = LocalRecord(
        id="aa11", agent=survey_agent(), folder=str(run.folder), task="t1", base=run.base, created=time.time()
    )
    save_record(tmp_path / "data", record)
    apply_theme(qapp, "light", 1.0)
    async with local_place(qapp, tmp_path / "data") as local:
        views = local.place.runs._views
        assert views is not None
        await until(lambda: local.services.local_runs.has("aa11"))
        await settle()
        views.turn_to(CHANGES)
        await settle()
        page = views.changes.currentWidget()
        assert isinstance(page, ChangesPage)
        await until(lambda: page.files.rows.rowCount() and page.view.count)
        assert page.listed("src/checkout/cart.py") is not None
        for _ in range(3):
            await asyncio.sleep(0.02)
        save(local.place, "changes-in-place", "light", 1.0, tmp_path)
        page.discard_wanted.emit(["logo.png"])
        await until(lambda: page.listed("logo.png") is None)
        assert list((tmp_path / "data" / "runs" / "aa11" / "discarded").rglob("logo.png"))
        (command,) = [each for each in local.place.commands() if each.id == "tasks.worktrees"]
        command.run()
        (dialog,) = local.place.findChildren(WorktreesDialog)
        await until(lambda: dialog.none.isVisible())
        dialog.close()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
