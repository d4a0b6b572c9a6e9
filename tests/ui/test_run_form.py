"""Choosing what to run a task with, and what helps where it was not started."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

from app.core.errors import (
    BurrowError,
    Facts,
    NotFound,
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    QuotaReached,
    ReachedLimit,
    Rejected,
    ServerTrouble,
    StorageTrouble,
    TimedOut,
)
from app.core.posthog.github import GitHubConnection
from app.core.posthog.run_attempts import UnfinishedStart
from app.core.posthog.run_memory import SETTING
from app.core.posthog.run_options import BYPASS_SETTING, RunOptions
from app.ui.tasks.run_panel import RunPanel
from app.ui.tasks.run_refusals import RunHelp, refusal_of
from app.ui.tasks.run_sources import value_of
from app.ui.tasks.run_words import summary
from tests.ui._screens import save
from tests.ui._tasks_fakes import FakeBackend, FakeTasks, settle, task, until
from tests.ui._tasks_place import TaskDesk, task_desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

GITHUB = Rejected("Connect.", Facts(status=400, code="github_authorization_required", attr="pr_authorship_mode"))


def shop(number: int = 1) -> FakeTasks:
    return FakeTasks([task(number, "One", repository="acme/shop"), task(number + 1, "Two", repository="acme/web")])


async def panel_of(desk: TaskDesk, key: str = "task:t1") -> RunPanel:
    await desk.select(key)
    desk.place.pages.detail.run_with_button.click()
    await settle()
    panel = desk.place.run_desk._panel
    assert panel is not None
    assert panel.isVisible()
    return panel


def offered(panel: RunPanel) -> list[str]:
    return [panel.form.mode.itemText(row) for row in range(panel.form.mode.count())]


def buttons(within: QWidget) -> list[str]:
    return [b.text() for b in within.findChildren(QAbstractButton) if b.isVisibleTo(within)]


def test_each_refusal_has_words_and_what_helps() -> None:
    def helps(error: BurrowError) -> tuple[RunHelp, ...]:
        found = refusal_of(error)
        return () if found is None else found.helps

    soon = datetime.now(UTC) + timedelta(minutes=30, seconds=20)
    limit = QuotaReached(
        "Limit.", Facts(status=429, code="usage_limit_exceeded", limit=ReachedLimit("burst", soon, paid=False))
    )
    said = refusal_of(limit)
    assert said is not None
    assert said.cause == "Limit."
    assert "in 30 min" in said.advice
    assert soon.astimezone().strftime("%H:%M:%S") in said.advice
    assert "A paid plan has a higher limit." in said.advice
    assert said.helps == (RunHelp.PLAN, RunHelp.AGAIN)
    missing = refusal_of(Rejected("Gone.", Facts(status=400, missing_files=("a.txt", "b.txt"))))
    assert missing is not None
    assert "a.txt, b.txt" in missing.advice
    assert helps(GITHUB) == (RunHelp.CONNECT_GITHUB, RunHelp.AS_BOT)
    assert helps(QuotaReached("No.", Facts(code="billing_limit"))) == (RunHelp.PLAN, RunHelp.AGAIN)
    assert helps(QuotaReached("No.", Facts(code="signal_report_task_cap"))) == (RunHelp.AGAIN,)
    assert helps(ServerTrouble("No.", Facts(status=503))) == (RunHelp.AGAIN,)
    assert helps(Rejected("No.", Facts(status=400, attr="branch"))) == (RunHelp.CHOOSE, RunHelp.AGAIN)
    assert helps(Rejected("No model.", Facts(attr="model"))) == (RunHelp.CHOOSE,)
    assert helps(PermissionMissing("No.", Facts(status=403))) == (RunHelp.AGAIN,)
    assert helps(NotFound("No.", Facts(status=404))) == (RunHelp.AGAIN,)
    assert helps(OutcomeUnknown("Lost.")) == helps(TimedOut("Slow.")) == (RunHelp.LOOK,)
    assert helps(Offline("No connection.")) == (RunHelp.AGAIN,)
    # Its own words say all.
    assert refusal_of(StorageTrouble("No space.")) is None


def test_what_a_run_is_started_with_is_said_on_one_line() -> None:
    assert summary(RunOptions()) == "Plan"
    assert (
        summary(RunOptions("codex", "gpt", "xhigh", branch="main"), "GPT") == "GPT · Codex · Extra high · Auto · main"
    )


async def test_one_press_runs_with_what_was_used_last_for_the_repository(qapp: QApplication) -> None:
    async with task_desk(qapp, shop()) as desk:
        panel = await panel_of(desk)
        # Nothing was run before: it shows what would be used.
        assert panel.form.options == RunOptions("claude", "sonnet", "", "plan")
        panel.form._choose_model(value_of("codex", "gpt"))
        assert offered(panel) == ["Auto", "Plan", "Read only"]
        panel.form.mode.setCurrentIndex(2)
        panel.form.effort.setCurrentIndex(1)
        panel.form.branch._choose("dev", "dev")
        panel.run_button.click()
        chosen = RunOptions("codex", "gpt", "medium", "read-only", "dev")
        await until(lambda: SETTING in desk.services.storage.settings.values)
        assert desk.tasks.options["t1"] == chosen
        assert not panel.isVisible()
        # Another task of the repository.
        desk.tasks.tasks["t9"] = task(9, "Nine", repository="acme/shop")
        desk.place.controller.refresh()
        await until(lambda: "Nine" in desk.titles)
        await desk.select("task:t9")
        await until(lambda: desk.place.pages.task_id == "t9")
        assert "GPT · Codex · Medium · Read only · dev" in desk.place.pages.detail.run_button.toolTip()
        desk.place.pages.detail.run_button.click()
        await until(lambda: "t9" in desk.tasks.options)
        assert desk.tasks.options["t9"] == chosen
        # Another repository has its agent, and its own branch.
        panel = await panel_of(desk, "task:t2")
        assert panel.form.options == RunOptions("codex", "gpt", "medium", "read-only")


async def test_modes_that_ask_for_nothing_are_offered_once_they_are_switched_on(qapp: QApplication) -> None:
    async with task_desk(qapp, shop()) as desk:
        usual = ["Plan", "Default", "Accept edits", "Auto"]
        panel = await panel_of(desk)
        assert offered(panel) == usual
        settings = desk.services.storage.settings.values
        settings[BYPASS_SETTING] = True
        panel.close_now()
        assert offered(await panel_of(desk)) == [*usual, "Bypass permissions"]
        panel.form.mode.setCurrentIndex(4)
        panel.run_button.click()
        await until(lambda: SETTING in settings)
        # Switched off again, what was used last is not used any more.
        settings[BYPASS_SETTING] = False
        assert desk.place.run_choices.last("acme/shop").mode == ""


async def test_what_was_chosen_stays_while_the_server_cannot_be_asked(qapp: QApplication) -> None:
    async with task_desk(qapp, shop()) as desk:
        backend = desk.services.backend
        assert backend is not None
        backend.models.fail = Offline("No connection.")
        desk.place.run_choices.remember("acme/shop", RunOptions("claude", "opus-next", "max", "auto", "topic"))
        panel = await panel_of(desk)
        assert panel.form.model.currentText() == "opus-next · Claude"
        assert panel.form.options == RunOptions("claude", "opus-next", "max", "auto", "topic")


async def test_a_model_without_levels_of_effort_is_sent_none(qapp: QApplication) -> None:
    async with task_desk(qapp, shop()) as desk:
        panel = await panel_of(desk)
        panel.form.effort.setCurrentIndex(2)
        assert panel.form.options.effort == "high"
        panel.form._choose_model(value_of("claude", "haiku"))
        assert not panel.form.effort.isEnabled()
        assert panel.form.options.effort == ""


async def test_escape_closes_the_panel_and_a_run_that_began_elsewhere_does_too(qapp: QApplication) -> None:
    async with task_desk(qapp, shop()) as desk:
        panel = await panel_of(desk)
        page = desk.place.pages.detail
        assert not page.run_button.isVisible()
        QTest.keyClick(panel.form.mode, Qt.Key.Key_Escape)
        assert not panel.isVisible()
        assert QApplication.focusWidget() is page.run_with_button
        panel = await panel_of(desk)
        await desk.select("task:t2")
        assert not panel.isVisible()
        assert page.run_button.isVisible()


async def test_the_composer_runs_with_what_was_chosen_there_also_after_a_wait(qapp: QApplication) -> None:
    tasks = shop()
    tasks.fail["create"] = Offline("No connection.")
    async with task_desk(qapp, tasks) as desk:
        desk.place.selection.new_task()
        composer = desk.place.pages.composer
        composer.description.setPlainText("Do it")
        composer.run_box.button.click()
        await settle()
        form = composer.run_box.form
        assert form is not None
        form._choose_model(value_of("codex", "gpt"))
        composer.send_and_run.click()
        await until(lambda: bool(desk.place.outbox.pending) and "create" not in tasks.fail)
        chosen = RunOptions("codex", "gpt", "", "auto")
        assert desk.place.outbox.pending[0].options == chosen
        [stored] = [item.payload for _scope, item in desk.services.storage.outbox.items.values()]
        assert stored["run_with"]["adapter"] == "codex"
        assert desk.place.run_choices.last(None).model == "gpt"
        assert composer.run_options is None
        desk.place.outbox.drain()
        await until(lambda: bool(tasks.options))
        assert list(tasks.options.values()) == [chosen]


async def test_github_is_connected_in_the_browser_and_then_the_run_starts(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    tasks = shop()
    async with task_desk(qapp, tasks) as desk:
        backend = desk.services.backend
        assert backend is not None
        await desk.select("task:t1")
        page = desk.place.pages.detail
        tasks.fail["run"] = GITHUB
        page.run_button.click()
        await until(page.card.isVisible)
        assert buttons(page.card) == ["Connect GitHub", "Run with the bot as author"]
        desk.button(page.card, "Connect GitHub").click()
        await until(lambda: opened == ["https://github.example/connect"])
        assert "Waiting for GitHub" in page.card.text()
        # Coming back too early changes nothing.
        qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
        await settle()
        assert len(tasks.called("run")) == 1
        backend.github.connected = (GitHubConnection("u", personal=True),)
        qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
        await until(lambda: len(tasks.called("run")) == 2)
        await settle()
        assert not page.card.isVisible()
        qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
        await settle()
        assert len(tasks.called("run")) == 2


async def test_github_is_connected_from_the_list_of_repositories_too(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    async with task_desk(qapp, shop()) as desk:
        backend = desk.services.backend
        assert backend is not None
        desk.place.selection.new_task()
        field = desk.place.pages.composer.repository
        field.showPopup()
        await until(lambda: field.popup is not None and field.popup.action.isVisible())
        assert field.popup is not None
        assert field.popup.state.text() == "Those that tasks name."
        assert not field.popup.refresh.isVisible()
        field.popup.action.click()
        await until(lambda: opened == ["https://github.example/connect"])
        qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
        backend.github.connected = (GitHubConnection("u", personal=True),)
        assert ("forget", "", 0) in backend.github.asked
        field.showPopup()
        await until(lambda: field.popup is not None and field.popup.refresh.isVisible())
        assert not field.popup.action.isVisible()
        field.popup.close()
        # A browser that comes back by a link has them read anew as well.
        backend.github.all = ["acme/new"]
        backend.github.came_back.emit(None)
        await settle()
        field.showPopup()
        await until(lambda: field.popup is not None and "acme/new" in field.popup.texts())
        field.popup.close()


async def test_what_the_server_does_not_accept_is_chosen_again_in_the_form(qapp: QApplication) -> None:
    tasks = shop()
    async with task_desk(qapp, tasks) as desk:
        await desk.select("task:t1")
        page = desk.place.pages.detail
        tasks.fail["run"] = Rejected("No such branch.", Facts(status=400, attr="branch"))
        desk.place.controller.run("t1", RunOptions("claude", "sonnet", branch="gone"))
        await until(page.card.isVisible)
        desk.button(page.card, "Choose otherwise…").click()
        await settle()
        panel = desk.place.run_desk._panel
        assert panel is not None
        assert panel.form.branch.value == "gone"
        tasks.fail["run"] = GITHUB
        panel.run_button.click()
        await until(page.card.isVisible)
        desk.button(page.card, "Run with the bot as author").click()
        await until(lambda: len(tasks.called("run")) == 3)
        used = tasks.options["t1"]
        assert used is not None
        assert (used.authorship, used.branch) == ("bot", "gone")


async def after_a_start_that_was_cut_off(desk: TaskDesk, tasks: FakeTasks, run: str = "r1") -> FakeBackend:
    backend = FakeBackend(tasks)
    backend.run_start.left = [UnfinishedStart("t2", run, RunOptions("codex", "gpt", branch="dev"))]
    await desk.show(backend)
    return backend


async def test_a_run_that_was_being_started_when_burrow_ended_is_offered_with_its_task(
    qapp: QApplication, tmp_path: Path
) -> None:
    tasks = shop()
    async with task_desk(qapp, tasks) as desk:
        await after_a_start_that_was_cut_off(desk, tasks)
        # Nothing else is in view.
        card = desk.place.pages.detail.card
        await until(card.isVisible)
        assert desk.place.pages.task_id == "t2"
        assert buttons(card) == ["Start the run", "Cancel run"]
        assert "It waits on the server." in card.text()
        assert tasks.called("run") == []
        save(desk.place, "run-not-started", "light", 1.0, tmp_path)
        desk.button(card, "Start the run").click()
        await until(lambda: tasks.options.get("t2") == RunOptions("codex", "gpt", branch="dev"))


async def test_a_run_that_was_not_started_can_be_given_up_and_that_says_when_it_failed(qapp: QApplication) -> None:
    tasks = shop()
    async with task_desk(qapp, tasks) as desk:
        backend = await after_a_start_that_was_cut_off(desk, tasks, run="")
        await desk.select("task:t2")
        card = desk.place.pages.detail.card
        await until(card.isVisible)
        assert buttons(card) == ["Start the run", "Do not start it"]
        backend.run_start.fail = Offline("No connection.")
        desk.button(card, "Do not start it").click()
        await until(lambda: "Run not cancelled" in card.text())
        desk.button(card, "Try again").click()
        await until(lambda: backend.run_start.given_up == ["t2"])
        assert tasks.called("run") == []


async def test_what_was_not_started_is_looked_for_again_when_it_could_not_be_known(qapp: QApplication) -> None:
    tasks = shop()
    async with task_desk(qapp, tasks) as desk:
        backend = FakeBackend(tasks)
        backend.run_start.left = [UnfinishedStart("t2", "r1", RunOptions())]
        backend.run_start.fail = Offline("No connection.")
        await desk.show(backend)
        await desk.select("task:t1")
        note = desk.place.pane.failures
        assert not note.isVisible()
        desk.place.controller.refresh()
        await until(note.isVisible)
        assert "Run not started: “Two”." in note.text()
        # And not again after that.
        note.forget()
        desk.place.controller.refresh()
        await until(lambda: not desk.place.controller.load.busy)
        await settle()
        assert not note.isVisible()
        await desk.select("task:t2")
        assert desk.place.pages.detail.card.isVisible()


async def test_control_enter_runs_from_any_field_of_the_panel(qapp: QApplication) -> None:
    async with task_desk(qapp, shop()) as desk:
        panel = await panel_of(desk)
        QTest.keyClick(panel.form.effort, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        await until(lambda: bool(desk.tasks.options))


async def test_repositories_are_searched_on_the_server_from_the_field(qapp: QApplication) -> None:
    async with task_desk(qapp, shop()) as desk:
        backend = desk.services.backend
        assert backend is not None
        backend.github.all = [f"acme/app-{number:03}" for number in range(250)]
        desk.place.selection.new_task()
        field = desk.place.pages.composer.repository
        field.showPopup()
        await settle()
        popup = field.popup
        assert popup is not None
        QTest.keyClicks(popup.filter, "app-20")
        await until(lambda: ("repositories", "app-20", 0) in backend.github.asked)
        await until(lambda: popup.texts() == [f"acme/app-20{number}" for number in range(10)])
        QTest.keyClick(popup.filter, Qt.Key.Key_Return)
        assert field.text() == "acme/app-200"
        await asyncio.sleep(0)
        # What is typed is never replaced by what the server suggests.
        field.lineEdit().setFocus()
        QTest.keyClick(field.lineEdit(), Qt.Key.Key_Backspace)
        await until(lambda: ("repositories", "acme/app-20", 0) in backend.github.asked)
        await settle()
        assert field.text() == "acme/app-20"
