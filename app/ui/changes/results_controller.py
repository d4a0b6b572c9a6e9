"""ResultsController: asks for the files of a run in the cloud, and saves those that the person wants."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QStandardPaths, Qt
from PySide6.QtWidgets import QFileDialog

from app.core.posthog.artifact_files import file_name, save_artifact
from app.ui.bridge import Generation
from app.ui.changes.results_page import RunResults

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.posthog.runs import Runs
    from app.core.posthog.types import RunArtifact, TaskRun
    from app.ui.bridge import Bridge, Job
    from app.ui.changes.results_page import ResultsPage


class ResultsController(QObject):
    """Call `show_run` for another run, and again whenever it has changed."""

    def __init__(self, page: ResultsPage, bridge: Bridge) -> None:
        super().__init__(page)
        self._page, self._bridge = page, bridge
        self._generation = Generation(bridge, self)
        self._runs: Runs | None = None
        self._run: TaskRun | None = None
        self._results: RunResults | None = None
        self._downloads: dict[str, Job] = {}
        page.looked.connect(self.look)
        page.download_wanted.connect(self.ask_where)
        page.cancel_wanted.connect(self._cancel)

    def show_run(self, runs: Runs, run: TaskRun) -> None:
        """Show what a run made."""
        if self._run is None or run.id != self._run.id:
            # Downloads of the former run end: nobody would see them.
            self._generation.renew()
            self._downloads.clear()
            self._page.show_files(())
            self._page.say("")
        changed = self._run is None or (run.id, run.updated_at) != (self._run.id, self._run.updated_at)
        self._runs, self._run = runs, run
        results = RunResults.of(run)
        if results != self._results:
            # Not at each call: the focus would be lost with the buttons.
            self._results = results
            self._page.show_results(results)
        if changed:
            self.look()

    def look(self) -> None:
        """Ask for the files again."""
        if self._runs is not None and self._run is not None:
            work = self._runs.artifacts(self._run.task or "", self._run.id)
            self._generation.spawn(work, done=self._page.show_files, failed=self._look_failed, key="files")

    def ask_where(self, artifact: RunArtifact) -> None:
        """Ask for a place, then save a file there. The dialog asks before it names a file that is there."""
        folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DownloadLocation)
        dialog = QFileDialog(self._page, self._page.tr("Save file"), str(Path(folder) / file_name(artifact.name)))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        # One that was there by then was agreed to; one that comes later was not.
        dialog.fileSelected.connect(lambda path: self.save(artifact, Path(path), replace=os.path.lexists(path)))
        dialog.open()

    def save(self, artifact: RunArtifact, target: Path, *, replace: bool = False) -> None:
        """Save a file as `target`."""
        run = self._run
        if self._runs is None or run is None or artifact.id in self._downloads:
            return
        self._page.card.clear()
        self._page.show_progress(artifact, 0)
        progress = partial(self._page.show_progress, artifact)
        work = save_artifact(self._runs, run.task or "", run.id, artifact, target, progress, replace=replace)
        self._downloads[artifact.id] = self._generation.spawn(
            work, done=partial(self._saved, artifact), failed=partial(self._failed, artifact, target, replace)
        )

    def _cancel(self, artifact_id: str) -> None:
        job = self._downloads.pop(artifact_id, None)
        if job is not None:
            job.cancel()
        self._page.stop_progress(artifact_id)

    def _saved(self, artifact: RunArtifact, target: Path) -> None:
        self._downloads.pop(artifact.id, None)
        self._page.stop_progress(artifact.id)
        self._page.say(self._page.tr("Saved as {0}.").format(target))

    def _failed(self, artifact: RunArtifact, target: Path, replace: bool, trouble: BurrowError) -> None:
        self._downloads.pop(artifact.id, None)
        self._page.stop_progress(artifact.id)
        again = (self._page.tr("Try again"), lambda: self.save(artifact, target, replace=replace))
        other = (self._page.tr("Choose another place"), lambda: self.ask_where(artifact))
        self._page.card.show_error(trouble, [again, other])

    def _look_failed(self, trouble: BurrowError) -> None:
        self._page.card.show_error(trouble, [(self._page.tr("Try again"), self.look)])
