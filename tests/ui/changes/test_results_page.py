"""What a run in the cloud made: copied, opened only after its address was shown, and downloaded."""

from __future__ import annotations

import asyncio
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from app.core.posthog.runs import Runs
from app.core.posthog.types import TaskRun
from app.ui.bridge import Bridge
from app.ui.changes.results_controller import ResultsController
from app.ui.changes.results_page import ResultsPage, RunResults
from app.ui.widgets.buttons import IconButton
from tests.core.conftest import signed_in
from tests.core.scripted import Reply
from tests.ui._screens import look, nameless, save
from tests.ui._walk import clipped, misnamed, overlapping, small_targets
from tests.until import until

RUN = TaskRun(
    "r",
    "completed",
    "t",
    environment="cloud",
    output={
        "pr_url": "https://github.com/acme/shop/pull/12",
        "head_branch": "posthog-code/mend",
        "head_sha": "1a2b3c4d5e",
    },
)
PLACE = "/api/projects/7/tasks/t/runs/r/"
FILES = [
    {"id": "0", "name": "notes.md", "type": "user_attachment", "size": 10, "storage_path": "s/0"},
    {"id": "1", "name": "../report.md", "type": "output", "size": 6, "storage_path": "s/1"},
]


def test_only_a_web_address_is_offered_as_a_pull_request() -> None:
    made = RunResults.of(RUN)
    assert made == RunResults("posthog-code/mend", "1a2b3c4d5e", "https://github.com/acme/shop/pull/12")
    assert RunResults.of(TaskRun("r", output={"pr_url": "file:///etc/passwd", "head_sha": 7})) == RunResults()


async def test_a_run_in_the_cloud_gives_what_it_made(qapp: QApplication, tmp_path: Path) -> None:
    with look("dark", 1.5):
        async with signed_in(tmp_path / "data") as rig:
            views = rig.server.views
            views[PLACE] = Reply(200, {"id": "r", "artifacts": FILES})
            views[f"{PLACE}artifacts/presign/"] = Reply(200, {"url": f"{rig.server.origin}/stored"})
            held = asyncio.Event()

            async def slow(writer: asyncio.StreamWriter) -> None:
                writer.write(b"rep")
                await writer.drain()
                await held.wait()
                writer.write(b"ort")

            views["/stored"] = Reply(stream=slow)
            page = ResultsPage()
            page.resize(760, 560)
            controller = ResultsController(page, Bridge())
            page.show()
            controller.show_run(Runs(rig.fetcher, lambda: 7), RUN)
            await until(lambda: len(page._rows) == 2)
            # What the run made comes first.
            made, given = page._rows.values()
            assert (made._artifact.id, given._artifact.id) == ("1", "0")
            copy = next(each for each in page.findChildren(IconButton) if each.accessibleName() == "Copy branch")
            QTest.mouseClick(copy, Qt.MouseButton.LeftButton)
            assert QGuiApplication.clipboard().text() == "posthog-code/mend"
            page._ask_link()
            menu = next(each for each in page.findChildren(QMenu) if each.isVisible())
            assert menu.actions()[0].text() == RUN.output["pr_url"]  # type: ignore[index]
            menu.close()
            folder = tmp_path / "folder"
            folder.mkdir()
            controller.save(made._artifact, folder / "report.md")
            await until(lambda: made.cancel.isVisible() and "3" in made.amount.text())
            for _ in range(3):
                await asyncio.sleep(0.01)
            found = [*clipped(page), *overlapping(page), *small_targets(page, 1.5), *misnamed(page), *nameless(page)]
            save(page, "results-760", "dark", 1.5, tmp_path)
            made.cancel.click()
            await until(lambda: not list(folder.iterdir()))
            held.set()
            controller.save(made._artifact, folder / "report.md")
            await until(lambda: "Saved as" in page.said.text())
            assert (folder / "report.md").read_bytes() == b"report"
            controller.save(made._artifact, folder / "report.md")
            await until(lambda: "there already" in page.card.text())
            page.close()
            assert not found, "\n".join(found)
