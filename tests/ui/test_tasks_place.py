"""The Tasks place as a person meets it: the list, the composer, a task, and a server that does not help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QTextEdit, QWidget

from app.core.auth.status import CredentialState
from app.core.errors import (
    BurrowError,
    Facts,
    Offline,
    OutcomeUnknown,
    ProtocolTrouble,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    StorageTrouble,
    TimedOut,
)
from app.core.posthog.types import NewTask, Project, TaskRun
from app.core.storage import OutboxItem
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.tasks.place import TasksPlace
from app.ui.tasks.rows import Grouping
from app.ui.theme import apply_theme
from app.ui.widgets.rows import Heading
from tests.ui._screens import nameless
from tests.ui._tasks_fakes import (
    ANA,
    BEN,
    FakeBackend,
    FakeNavigator,
    FakeServices,
    FakeTasks,
    settle,
    task,
    until,
)
from tests.ui.transcript._conversation import RecordedRuns

# The offscreen platform says this of every window with a minimum size.
pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@dataclass
class Opened:
    """A place in a shown window, with everything behind it."""

    place: TasksPlace
    bridge: Bridge
    services: FakeServices
    navigator: FakeNavigator
    crashes: list[BaseException]

    @property
    def titles(self) -> list[str]:
        return [line.title for line in self.place.pane.table.rows.lines()]

    def words(self, title: str) -> str:
        rows = self.place.pane.table.rows
        return next(line.spoken() for line in rows.lines() if line.title == title)

    async def show(self, backend: FakeBackend) -> FakeBackend:
        self.services.backend = backend
        self.place.set_backend(backend)
        await until(lambda: not self.place.controller.load.busy or "list" in backend.tasks.waiting)
        await settle()
        return backend

    async def select(self, key: str) -> None:
        self.place.pane.show_now()
        assert self.place.pane.table.select_key(key)
        await settle()

    def write(self, title: str = "", description: str = "", repository: str = "") -> None:
        composer = self.place.pages.composer
        composer.title.setText(title)
        composer.description.setPlainText(description)
        composer.repository.setEditText(repository)


Opener = Callable[[], Any]


@pytest.fixture
def opened(qapp: QApplication) -> Opener:
    @asynccontextmanager
    async def make() -> AsyncIterator[Opened]:
        apply_theme(qapp, "light", 1.0)
        bridge, services, navigator = Bridge(), FakeServices(), FakeNavigator()
        crashes: list[BaseException] = []
        bridge.crashed.connect(crashes.append)
        context = Context(services, bridge, navigator)  # type: ignore[arg-type]
        place = TasksPlace(context, open_conversation=RecordedRuns())
        place.resize(1000, 700)
        place.show()
        place.activateWindow()
        await settle()
        yield Opened(place, bridge, services, navigator, crashes)
        await bridge.close()
        place.close()
        place.deleteLater()
        await settle()
        assert not crashes

    return make


def server(*titles: str, status: str | None = None) -> FakeTasks:
    return FakeTasks([task(number, title, status) for number, title in enumerate(titles, 1)])


async def press(widget: QWidget, words: str) -> None:
    """Click the one visible button that says `words`; a button just made is shown in Qt's next turn."""

    def found() -> list[QAbstractButton]:
        buttons = widget.findChildren(QAbstractButton)
        return [b for b in buttons if b.text() == words and b.isVisibleTo(widget)]

    await until(found)
    (button,) = found()
    button.click()


async def test_the_list_shows_groups_with_pinned_first(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks([task(1, "One", "in_progress"), task(2, "Two", "failed"), task(3, "Three")])
        tasks.pins = {"t3"}
        await o.show(FakeBackend(tasks))
        assert o.titles == ["Pinned", "Three", "Running", "One", "Needs you", "Two"]


async def test_the_stored_list_is_shown_at_once_and_then_refreshed(opened: Opener) -> None:
    async with opened() as o:
        backend = await o.show(FakeBackend(server("Stored")))
        await until(lambda: o.services.storage.cache.kept)
        o.place.set_backend(None)
        assert o.titles == []
        backend.tasks.tasks["t1"] = task(1, "Fresh")
        backend.tasks.hold["list"] = asyncio.Event()
        await o.show(FakeBackend(backend.tasks))
        assert "Stored" in o.titles
        backend.tasks.hold["list"].set()
        await until(lambda: "Fresh" in o.titles)
        assert "Stored" not in o.titles


async def test_offline_with_a_stored_list_keeps_it_and_says_so(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(server("Stored")))
        await until(lambda: o.services.storage.cache.kept)
        tasks = FakeTasks()
        tasks.fail["list"] = Offline("No connection.")
        await o.show(FakeBackend(tasks))
        assert "Stored" in o.titles
        assert "Offline" in o.place.pane.note.text()


async def test_a_list_that_cannot_be_loaded_says_why_and_can_be_tried_again(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One")
        tasks.fail["list"] = ServerTrouble("The server answered 502.")
        await o.show(FakeBackend(tasks))
        pane = o.place.pane
        assert pane.stack.currentWidget() is pane.empty
        assert "502" in pane.empty.accessibleName()
        await press(pane.empty, "Try again")
        await until(lambda: "One" in o.titles)


async def test_without_sign_in_and_without_a_stored_list_signing_in_is_offered(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["list"] = SignInNeeded("Signed out.")
        await o.show(FakeBackend(tasks))
        await press(o.place.pane.empty, "Sign in")
        assert o.navigator.sign_ins == 1


async def test_an_empty_project_offers_a_new_task(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(FakeTasks()))
        await press(o.place.pane.empty, "New task")
        assert o.place.pages.currentWidget() is o.place.pages.composer


async def test_the_filter_narrows_at_once_and_then_shows_the_servers_answer(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("Checkout crash", "Backfill")
        await o.show(FakeBackend(tasks))
        tasks.tasks["t9"] = task(9, "Another crash")
        o.place.pane.filter.setText("crash")
        assert [t for t in o.titles if t in {"Checkout crash", "Backfill", "Another crash"}] == ["Checkout crash"]
        await until(lambda: "Another crash" in o.titles)


async def test_only_the_last_of_quick_searches_is_asked_and_shown(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("alpha", "beta")
        await o.show(FakeBackend(tasks))
        for text in ("a", "al", "be", "beta"):
            o.place.pane.filter.setText(text)
        await until(lambda: any(q.search for q, _ in tasks.called("list")))
        await settle()
        assert [q.search for q, _ in tasks.called("list") if q.search] == ["beta"]
        assert o.titles[-1] == "beta"


async def test_a_filter_that_matches_nothing_can_be_cleared(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(server("One")))
        o.place.pane.filter.setText("zzz")
        await until(lambda: "No tasks match" in o.place.pane.empty.accessibleName())
        await press(o.place.pane.empty, "Clear filter")
        await settle()
        assert "One" in o.titles
        assert o.place.pane.filter.text() == ""


async def test_more_is_loaded_by_the_button_until_the_end(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks([task(number) for number in range(1, 121)])
        await o.show(FakeBackend(tasks))
        pane = o.place.pane
        assert pane.count.text() == "50 of 120"
        await press(pane, "Load more")
        await until(lambda: pane.count.text() == "100 of 120")
        await press(pane, "Load more")
        await until(lambda: not pane.more.isVisibleTo(pane))
        assert sum(1 for line in pane.table.rows.lines() if not isinstance(line, Heading)) == 120


async def test_a_page_that_fails_to_load_keeps_the_list_and_offers_again(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks([task(number) for number in range(1, 121)])
        await o.show(FakeBackend(tasks))
        tasks.fail["more"] = ServerTrouble("The server answered 500.")
        o.place.controller.load_more()
        await until(lambda: o.place.pane.note.isVisibleTo(o.place))
        assert "Task 1" in o.titles
        assert o.place.pane.more.isEnabled()


async def test_folded_groups_are_remembered(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(server("One", status="completed")))
        o.place.pane.table.rows.set_folded("state:done", True)
        await settle()
        assert o.titles == ["Done"]
        assert o.services.storage.settings.values["tasks.folded"] == ["state:done"]


async def test_grouping_by_repository(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(FakeTasks([task(1, "One", repository="acme/web"), task(2, "Two")])))
        o.place.pane.set_grouping(Grouping.REPOSITORY)
        assert o.titles == ["acme/web", "One", "No repository", "Two"]


async def test_archived_tasks_have_their_own_list(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(FakeTasks([task(1, "One"), task(2, "Old", archived=True)])))
        assert "Old" not in o.titles
        o.place.pane.set_archived(True)
        await until(lambda: "Old" in o.titles)
        assert "One" not in o.titles


async def test_a_new_task_is_shown_before_the_server_has_answered(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.hold["create"] = asyncio.Event()
        await o.show(FakeBackend(tasks))
        o.place.selection.new_task()
        o.write("", "Do the thing\nnow", "Acme/Web")
        o.place.pages.composer.submit()
        await until(lambda: "create" in tasks.waiting)
        assert "Sending…" in o.words("Do the thing")
        assert o.services.storage.outbox.states == ["sending"]
        tasks.hold["create"].set()
        await until(lambda: o.place.pages.shows_detail)
        assert tasks.called("create") == [(NewTask(description="Do the thing\nnow", title="", repository="acme/web"),)]
        assert o.services.storage.outbox.items == {}
        assert o.place.pages.composer.empty
        assert o.services.storage.drafts.kept == {}


async def test_a_refused_task_gives_its_text_back_with_the_reason(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = ServerTrouble("The server answered 503.")
        await o.show(FakeBackend(tasks))
        o.place.selection.new_task()
        o.write("Title", "Words")
        o.place.pages.composer.submit()
        composer = o.place.pages.composer
        await until(lambda: composer.card.isVisibleTo(o.place))
        kept = {"title": "Title", "description": "Words", "repository": ""}
        assert kept.items() <= composer.fields().items()
        assert "503" in composer.card.text()
        await settle()
        assert o.titles == ["Drafts", "Title"]
        assert o.services.storage.outbox.items == {}
        assert o.services.storage.drafts.titles(ANA) == ["Title"]
        await press(composer.card, "Send again")
        await until(lambda: "Title" in o.titles)


async def test_a_refused_field_is_marked(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = Rejected("", Facts(status=400, attr="repository", detail="Unknown repository."))
        await o.show(FakeBackend(tasks))
        o.place.selection.new_task()
        o.write("", "Words", "acme/none")
        o.place.pages.composer.submit()
        repository = o.place.pages.composer.repository
        await until(lambda: repository.accessibleDescription() == "Unknown repository.")
        assert not o.place.pages.composer.card.isVisibleTo(o.place)


async def test_a_refused_task_does_not_overwrite_a_newer_draft(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.hold["create"] = asyncio.Event()
        tasks.fail["create"] = ServerTrouble("The server answered 503.")
        await o.show(FakeBackend(tasks))
        o.place.selection.new_task()
        o.write("", "First")
        o.place.pages.composer.submit()
        await until(lambda: "create" in tasks.waiting)
        o.place.selection.new_task()
        o.write("", "Second")
        tasks.hold["create"].set()
        await until(lambda: "Not sent" in o.words("First"))
        assert o.place.pages.composer.fields()["description"] == "Second"
        await o.select("pending:p1")
        await press(o.place.pages.unsent, "Edit")
        await until(lambda: o.place.pages.composer.fields()["description"] == "First")
        await settle()
        assert sorted(o.services.storage.drafts.titles(ANA)) == ["First", "Second"]


async def test_nothing_is_sent_without_words(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        await o.show(FakeBackend(tasks))
        o.place.selection.new_task()
        o.place.pages.composer.submit()
        assert o.place.pages.composer.description.accessibleDescription() == "Describe what should be done."
        assert tasks.called("create") == []


async def test_a_task_waits_for_sign_in_and_is_then_sent_once(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = SignInNeeded("The grant was revoked.")
        backend = await o.show(FakeBackend(tasks))
        backend.credential.become(CredentialState.NEEDS_SIGN_IN)
        o.place.selection.new_task()
        o.write("", "Later")
        o.place.pages.composer.submit()
        await until(lambda: "Later" in o.titles and "Waiting for sign-in" in o.words("Later"))
        assert o.services.storage.outbox.history[:2] == [("add", "sending"), ("update", "waiting-sign-in")]
        backend.credential.become(CredentialState.SIGNED_IN)
        await until(lambda: len(tasks.tasks) == 1)
        backend.credential.become(CredentialState.SIGNED_IN)
        await settle()
        assert len(tasks.called("create")) == 2
        assert o.services.storage.outbox.items == {}


async def test_waiting_tasks_are_sent_in_order_until_one_has_to_wait_again(opened: Opener) -> None:
    async with opened() as o:
        tasks, words = FakeTasks(), ["First", "Second", "Third"]
        backend = await o.show(FakeBackend(tasks))
        backend.credential.become(CredentialState.NEEDS_SIGN_IN)
        tasks.fail["create"] = SignInNeeded("The grant was revoked.")
        for count, each in enumerate(words, 1):
            o.place.outbox.send(NewTask(description=each, title=each))
            await until(lambda count=count: o.services.storage.outbox.states == ["waiting-sign-in"] * count)
        assert len(tasks.called("create")) == 1
        tasks.calls.clear()
        tasks.hold["create"] = asyncio.Event()
        backend.credential.become(CredentialState.SIGNED_IN)
        await until(lambda: "create" in tasks.waiting)
        await settle(60)
        assert [new.title for (new,) in tasks.called("create")] == ["First"]
        o.place.outbox.send(NewTask(description="Fourth", title="Fourth"))
        tasks.hold.pop("create").set()
        await until(lambda: len(tasks.tasks) == 4)
        assert [new.title for (new,) in tasks.called("create")] == [*words, "Fourth"]


async def test_a_task_that_has_to_wait_again_keeps_its_place_before_the_others(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        backend = await o.show(FakeBackend(tasks))
        tasks.fail["create"] = Offline("No connection.")
        o.place.outbox.send(NewTask(description="First", title="First"))
        await until(lambda: o.services.storage.outbox.states == ["waiting-connection"])
        backend.credential.become(CredentialState.NEEDS_SIGN_IN)
        o.place.outbox.send(NewTask(description="Second", title="Second"))
        await until(lambda: len(o.services.storage.outbox.states) == 2)
        tasks.calls.clear()
        tasks.fail["create"] = Offline("No connection.")
        backend.credential.become(CredentialState.SIGNED_IN)
        await until(lambda: tasks.called("create"))
        await settle(60)
        assert [new.title for (new,) in tasks.called("create")] == ["First"]
        o.place.refresh()
        await until(lambda: len(tasks.tasks) == 2)
        assert [new.title for (new,) in tasks.called("create")] == ["First", "First", "Second"]


async def test_a_refused_task_does_not_keep_those_behind_it_from_being_sent(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        backend = await o.show(FakeBackend(tasks))
        backend.credential.become(CredentialState.NEEDS_SIGN_IN)
        tasks.fail["create"] = SignInNeeded("The grant was revoked.")
        for count, each in enumerate(("First", "Second"), 1):
            o.place.outbox.send(NewTask(description=each, title=each))
            await until(lambda count=count: o.services.storage.outbox.states == ["waiting-sign-in"] * count)
        tasks.fail["create"] = TimedOut("No answer.")
        backend.credential.become(CredentialState.SIGNED_IN)
        await until(lambda: [made.title for made in tasks.tasks.values()] == ["Second"])
        assert o.services.storage.outbox.states == ["unknown"]


async def test_a_waiting_task_is_not_sent_for_another_account(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = SignInNeeded("The grant was revoked.")
        backend = await o.show(FakeBackend(tasks))
        backend.credential.become(CredentialState.NEEDS_SIGN_IN)
        o.place.outbox.send(NewTask(description="Ana's"))
        await until(lambda: o.services.storage.outbox.states == ["waiting-sign-in"])
        backend.accounts.account = "ben"
        backend.credential.become(CredentialState.SIGNED_IN)
        await settle(60)
        assert len(tasks.called("create")) == 1
        await o.show(FakeBackend(tasks, scope=BEN))
        assert "Ana's" not in o.titles
        assert o.services.storage.outbox.states == ["waiting-sign-in"]


async def test_a_waiting_task_can_be_taken_back(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = Offline("No connection.")
        await o.show(FakeBackend(tasks))
        o.place.outbox.send(NewTask(description="Later", title="Title"))
        await until(lambda: "Title" in o.titles and "Waiting for connection" in o.words("Title"))
        await o.select("pending:p1")
        await press(o.place.pages.unsent, "Undo")
        await settle()
        assert o.place.pages.composer.fields()["title"] == "Title"
        assert o.services.storage.outbox.items == {}
        assert o.titles == ["Drafts", "Title"]


async def test_a_task_waiting_for_the_connection_goes_out_when_the_server_is_reached(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = Offline("No connection.")
        await o.show(FakeBackend(tasks))
        o.place.outbox.send(NewTask(description="Later"))
        await until(lambda: o.services.storage.outbox.states == ["waiting-connection"])
        o.place.refresh()
        await until(lambda: len(tasks.tasks) == 1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OutcomeUnknown("The connection broke."), "The connection ended before"),
        (TimedOut("No answer."), "The connection ended before"),
        (
            OutcomeUnknown("A server error occurred.", Facts(status=500)),
            "A server error occurred. The task may already exist",
        ),
        (
            ProtocolTrouble("The answer makes no sense.", Facts(status=201)),
            "makes no sense. The task may already exist",
        ),
    ],
)
async def test_an_unknown_outcome_is_never_sent_again_unasked(opened: Opener, error: BurrowError, words: str) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = error
        backend = await o.show(FakeBackend(tasks))
        o.place.outbox.send(NewTask(description="Once", title="Once"))
        await until(lambda: o.services.storage.outbox.states == ["unknown"])
        backend.credential.become(CredentialState.SIGNED_IN)
        o.place.refresh()
        await settle(60)
        assert len(tasks.called("create")) == 1
        await o.select("pending:p1")
        assert "Sent, outcome unknown" in o.place.pages.unsent.card.text()
        assert words in o.place.pages.unsent.card.text()
        await press(o.place.pages.unsent, "Check the list")
        await until(lambda: "not among" in o.place.pages.unsent.card.text())
        await press(o.place.pages.unsent, "Send again")
        await until(lambda: len(tasks.tasks) == 1)


async def test_a_task_that_arrived_after_all_is_found_in_the_list(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = OutcomeUnknown("No answer.")
        await o.show(FakeBackend(tasks))
        o.place.outbox.send(NewTask(description="Words", title="Once"))
        await until(lambda: o.services.storage.outbox.states == ["unknown"])
        tasks.tasks["t0"] = task(0, "Once", description="Words", created_at=datetime.now(UTC))
        await o.select("pending:p1")
        await press(o.place.pages.unsent, "Check the list")
        await until(lambda: "The server has it: BUR-0" in o.place.pages.unsent.card.text())
        await press(o.place.pages.unsent, "Show it")
        await settle()
        assert o.services.storage.outbox.items == {}
        assert o.place.pages.detail.task_id == "t0"


async def test_what_was_being_sent_when_the_app_ended_counts_as_unknown(opened: Opener) -> None:
    async with opened() as o:
        payload = {"title": "Half sent", "description": "", "repository": None, "project": 1}
        item = OutboxItem("o9", "task.create", payload, 1_700_000_000.0, "sending")
        o.services.storage.outbox.items["o9"] = (ANA, item)
        tasks = FakeTasks()
        await o.show(FakeBackend(tasks))
        await until(lambda: "Half sent" in o.titles)
        assert "Sent, outcome unknown" in o.words("Half sent")
        assert tasks.called("create") == []


async def test_a_created_task_that_cannot_leave_the_outbox_is_created_all_the_same(opened: Opener) -> None:
    async with opened() as o:
        tasks, outbox = FakeTasks(), o.services.storage.outbox
        outbox.fail["remove"] = StorageTrouble("The disk is full.")
        await o.show(FakeBackend(tasks))
        o.place.selection.new_task()
        o.write("", "Once")
        o.place.pages.composer.submit()
        await until(lambda: len(tasks.tasks) == 1 and "Once" in o.titles)
        assert o.place.pages.composer.empty
        assert not o.place.outbox.pending
        o.place.refresh()
        await until(lambda: outbox.items == {})
        await settle()
        assert len(tasks.called("create")) == 1
        assert not o.place.outbox.pending


async def test_a_waiting_task_that_cannot_be_claimed_goes_on_waiting(opened: Opener) -> None:
    async with opened() as o:
        tasks, outbox = FakeTasks(), o.services.storage.outbox
        tasks.fail["create"] = Offline("No connection.")
        await o.show(FakeBackend(tasks))
        o.place.outbox.send(NewTask(description="Later"))
        await until(lambda: outbox.states == ["waiting-connection"])
        outbox.fail["claim"] = StorageTrouble("The disk is full.")
        o.place.refresh()
        await until(lambda: not outbox.fail)
        await settle()
        assert [pending.state.value for pending in o.place.outbox.pending] == ["waiting-connection"]
        assert o.place.pages.composer.empty
        o.place.refresh()
        await until(lambda: len(tasks.tasks) == 1)


async def test_a_deletion_that_another_window_may_still_undo_is_not_sent(opened: Opener) -> None:
    async with opened() as o:
        item = OutboxItem("o9", "task.delete", {"id": "t1", "project": 1}, 1_700_000_000.0, "waiting", True)
        o.services.storage.outbox.items["o9"] = (ANA, item)
        tasks = FakeTasks([task(1)])
        await o.show(FakeBackend(tasks))
        await until(lambda: "Task 1" in o.titles)
        await settle()
        assert tasks.called("delete") == []
        assert "Task 1" in o.titles


def claimed_elsewhere(o: Opened, title: str, state: str) -> None:
    payload = {"title": title, "description": title, "repository": None, "project": 1}
    item = OutboxItem("o9", "task.create", payload, 1_700_000_000.0, state, claimed_elsewhere=True)
    o.services.storage.outbox.items["o9"] = (ANA, item)


async def test_a_task_that_another_window_sends_is_shown_as_on_its_way_until_it_is_gone(opened: Opener) -> None:
    async with opened() as o:
        o.place.outbox._watch.setInterval(5)
        claimed_elsewhere(o, "Theirs", "sending")
        tasks = FakeTasks()
        await o.show(FakeBackend(tasks))
        await until(lambda: "Theirs" in o.titles)
        assert "Sending" in o.words("Theirs")
        asked = len(tasks.called("list"))
        del o.services.storage.outbox.items["o9"]
        await until(lambda: "Theirs" not in o.titles)
        await until(lambda: len(tasks.called("list")) > asked)
        assert tasks.called("create") == []


async def test_a_waiting_task_of_a_window_that_died_is_taken_over(opened: Opener) -> None:
    async with opened() as o:
        o.place.outbox._watch.setInterval(5)
        claimed_elsewhere(o, "Theirs", "waiting-connection")
        tasks = FakeTasks()
        await o.show(FakeBackend(tasks))
        await until(lambda: "Theirs" in o.titles)
        await settle()
        assert tasks.called("create") == []
        owner, item = o.services.storage.outbox.items["o9"]
        o.services.storage.outbox.items["o9"] = (owner, item._replace(claimed_elsewhere=False))
        await until(lambda: len(tasks.tasks) == 1)
        assert o.services.storage.outbox.items == {}


async def test_undo_leaves_a_task_that_another_window_has_begun_to_send(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        tasks.fail["create"] = Offline("No connection.")
        await o.show(FakeBackend(tasks))
        o.place.outbox.send(NewTask(description="Later"))
        await until(lambda: o.services.storage.outbox.states == ["waiting-connection"])
        await o.select("pending:p1")
        (name, (owner, item)), *_ = o.services.storage.outbox.items.items()
        o.services.storage.outbox.items[name] = (owner, item._replace(claimed_elsewhere=True, state="sending"))
        o.place.pages.unsent.undo.emit()
        await until(lambda: "Sending" in o.words("Later"))
        assert o.place.pages.composer.empty


async def test_the_draft_is_kept_as_it_is_typed_and_comes_back(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend())
        saved = asyncio.Event()
        o.services.storage.drafts.saved.subscribe(lambda _: saved.set())
        o.place.selection.new_task()
        QTest.keyClicks(o.place.pages.composer.title, "Half a thought")
        await asyncio.wait_for(saved.wait(), 3)
        assert o.services.storage.drafts.titles(ANA) == ["Half a thought"]
        o.place.set_backend(None)
        assert o.place.pages.composer.empty
        await o.show(FakeBackend())
        assert o.place.pages.composer.fields()["title"] == "Half a thought"


async def test_another_account_never_sees_a_draft(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend())
        o.place.selection.new_task()
        o.write("Ana's idea")
        await o.show(FakeBackend(scope=BEN))
        assert o.place.pages.composer.empty
        await settle()
        assert o.services.storage.drafts.titles(ANA) == ["Ana's idea"]
        await o.show(FakeBackend(scope=ANA))
        assert o.place.pages.composer.fields()["title"] == "Ana's idea"


async def test_escape_leaves_the_composer_and_keeps_the_text(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend())
        o.place.selection.new_task()
        o.write("Kept")
        QTest.keyClick(o.place.pages.composer.title, Qt.Key.Key_Escape)
        assert o.place.pages.currentWidget() is o.place.pages.nothing
        assert o.place.pages.composer.fields()["title"] == "Kept"


async def test_control_enter_sends_from_any_field(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks()
        await o.show(FakeBackend(tasks))
        o.place.selection.new_task()
        o.write("", "Words")
        QTest.keyClick(o.place.pages.composer.description, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        await until(lambda: len(tasks.tasks) == 1)


async def test_renaming_is_shown_at_once_and_rolled_back_with_the_text_kept(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("Old")
        tasks.hold["rename"] = asyncio.Event()
        tasks.fail["rename"] = ServerTrouble("The server answered 503.")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        o.place.pages.detail.begin_rename()
        o.place.pages.detail.edit.setText("New")
        QTest.keyClick(o.place.pages.detail.edit, Qt.Key.Key_Return)
        await until(lambda: "New" in o.titles)
        tasks.hold["rename"].set()
        await until(lambda: "Old" in o.titles)
        detail = o.place.pages.detail
        assert "Not renamed" in detail.card.text()
        assert detail.edit.isVisible()
        assert detail.edit.text() == "New"
        QTest.keyClick(detail.edit, Qt.Key.Key_Return)
        await until(lambda: tasks.tasks["t1"].title == "New")
        assert tasks.tasks["t1"].title_manually_set


async def test_escape_gives_up_renaming(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("Old")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        o.place.pane.table.setFocus()
        QTest.keyClick(o.place.pane.table, Qt.Key.Key_F2)
        QTest.keyClicks(o.place.pages.detail.edit, "zzz")
        QTest.keyClick(o.place.pages.detail.edit, Qt.Key.Key_Escape)
        await settle()
        assert tasks.called("rename") == []
        assert o.place.pages.detail.title.text() == "Old"


async def test_pinning_moves_the_row_and_back_when_refused(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One")
        tasks.fail["pin"] = ServerTrouble("The server answered 503.")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        await press(o.place.pages.detail, "Pin")
        o.place.pane.show_now()
        assert o.titles[0] == "Pinned"
        await until(lambda: "Not pinned" in o.place.pages.detail.card.text())
        assert "Pinned" not in o.titles
        await press(o.place.pages.detail.card, "Try again")
        await until(lambda: tasks.pins == {"t1"})


async def test_archiving_takes_the_task_out_of_the_list_and_can_be_taken_back(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", "Two")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        await press(o.place.pages.detail, "Archive")
        await until(lambda: tasks.tasks["t1"].archived)
        await settle()
        assert "One" not in o.titles
        await press(o.place.pages.detail, "Unarchive")
        await until(lambda: "One" in o.titles)


async def test_a_deleted_task_is_back_after_undo_and_the_server_never_hears_of_it(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", "Two")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        o.place.pane.table.setFocus()
        QTest.keyClick(o.place.pane.table, Qt.Key.Key_Delete)
        assert "One" not in o.titles
        assert o.place.pane.table.current_key() == "task:t2"
        await settle()
        assert [i.kind for _, i in o.services.storage.outbox.items.values()] == ["task.delete"]
        await press(o.place.pane.undo, "Undo")
        await settle()
        assert "One" in o.titles
        assert tasks.called("delete") == []
        assert o.services.storage.outbox.items == {}


async def test_a_deletion_is_sent_when_the_time_to_undo_is_over(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", "Two")
        await o.show(FakeBackend(tasks))
        o.place.controller.delete("t1")
        o.place.pane.undo.settle()
        await until(lambda: "t1" not in tasks.tasks)
        o.place.controller.delete("t2")
        await o.place.flush()
        assert tasks.tasks == {}
        await settle()
        assert o.services.storage.outbox.items == {}


async def test_a_deletion_the_app_did_not_live_to_send_is_sent_on_the_next_start(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", "Two")
        await o.show(FakeBackend(tasks))
        o.place.controller.delete("t1")
        await settle()
        o.place.set_backend(None)
        assert tasks.called("delete") == []
        await o.show(FakeBackend(tasks, project=Project(2)))
        assert tasks.called("delete") == []
        await o.show(FakeBackend(tasks))
        await until(lambda: "t1" not in tasks.tasks)
        assert "One" not in o.titles


async def test_a_deletion_the_server_refuses_brings_the_task_back(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One")
        tasks.fail["delete"] = ServerTrouble("The server answered 500.")
        await o.show(FakeBackend(tasks))
        o.place.controller.delete("t1")
        o.place.pane.undo.settle()
        await until(lambda: "One" in o.titles and "Not deleted" in o.place.pages.detail.card.text())


async def test_a_run_that_stays_queued_is_explained(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One")
        backend = FakeBackend(tasks)
        backend.host.embedded = True
        await o.show(backend)
        await o.select("task:t1")
        assert not o.place.pages.detail.queued.isVisibleTo(o.place)
        await press(o.place.pages.detail, "Run")
        await until(lambda: o.place.controller.runs.get("t1") is not None)
        await settle()
        assert "starts it as soon as an agent is free" in o.place.pages.detail.queued.text()
        assert "Queued" in o.words("One")
        assert not o.place.pages.detail.run_button.isEnabled()


async def test_a_run_that_cannot_be_started_is_rolled_back(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One")
        tasks.fail["run"] = ServerTrouble("The server answered 503.")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        await press(o.place.pages.detail, "Run")
        await until(lambda: "Run not started" in o.place.pages.detail.card.text())
        assert "Not started" in o.words("One")


async def test_only_a_web_link_of_a_run_is_opened(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    urls: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: urls.append(url.toString()) or True)
    async with opened() as o:
        good = TaskRun("r1", "completed", output={"pr_url": "https://github.com/acme/web/pull/1"})
        bad = TaskRun("r2", "completed", output={"pr_url": "file:///etc/passwd"})
        tasks = FakeTasks([replace(task(1), latest_run=good), replace(task(2), latest_run=bad)])
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        await press(o.place.pages.detail, "Open pull request")
        assert urls == ["https://github.com/acme/web/pull/1"]
        await o.select("task:t2")
        await until(lambda: not [b for b in o.place.pages.detail.findChildren(QAbstractButton) if "pull" in b.text()])


async def test_a_description_loads_nothing_and_runs_no_markup(opened: Opener) -> None:
    async with opened() as o:
        text = '<img src="file:///etc/passwd"> ![x](file:///etc/hostname) <b>bold</b>'
        await o.show(FakeBackend(FakeTasks([task(1, "One", description=text)])))
        await o.select("task:t1")
        shown = o.place.pages.detail.findChild(QTextEdit)
        assert shown is not None
        assert "<b>bold</b>" in shown.toPlainText()


async def test_a_task_deleted_elsewhere_leaves_the_page(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", "Two")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        del tasks.tasks["t1"]
        o.place.refresh()
        await until(lambda: o.place.pages.detail.task_id is None)
        await until(lambda: "One" not in o.titles)


async def test_a_task_is_opened_by_its_id_also_when_it_is_not_in_the_list(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks([task(1, "One"), task(2, "Old", archived=True)])
        await o.show(FakeBackend(tasks))
        o.place.open_item("t2")
        await until(lambda: o.place.pages.detail.task_id == "t2")
        o.place.open_item("nowhere")
        await until(lambda: "not found" in o.place.pages.nothing.accessibleName())


async def test_changing_the_project_drops_everything_and_cancels_what_is_under_way(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        tasks.hold["list"] = asyncio.Event()
        o.place.refresh()
        await until(lambda: "list" in tasks.waiting)
        await o.show(FakeBackend(server("Other"), project=Project(2)))
        tasks.hold["list"].set()
        await settle()
        assert o.titles == ["Not started", "Other"]
        assert o.place.pages.detail.title.text() != "One"
        o.place.set_backend(None)
        assert o.titles == []
        assert o.place.pages.detail.title.text() == ""


async def test_arrows_show_a_task_and_enter_goes_into_it(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(server("One", "Two", "Three")))
        table = o.place.pane.table
        await until(lambda: o.place.pages.shows_detail)
        table.setFocus(Qt.FocusReason.TabFocusReason)
        assert o.place.pages.detail.title.text() == "One"
        QTest.keyClick(table, Qt.Key.Key_Down)
        assert o.place.pages.detail.title.text() == "Two"
        QTest.keyClick(table, Qt.Key.Key_End)
        assert o.place.pages.detail.title.text() == "Three"
        QTest.keyClicks(table, "on")
        assert o.place.pages.detail.title.text() == "One"
        QTest.keyClick(table, Qt.Key.Key_Return)
        assert o.place.pages.detail.isAncestorOf(QApplication.focusWidget())


async def test_a_refresh_moves_neither_focus_nor_selection(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", "Two", "Three")
        await o.show(FakeBackend(tasks))
        await o.select("task:t2")
        o.place.pane.filter.setFocus()
        tasks.tasks["t0"] = task(0, "Newest")
        o.place.refresh()
        await until(lambda: "Newest" in o.titles)
        assert o.place.pane.filter.hasFocus()
        assert o.place.pane.table.current_key() == "task:t2"
        assert o.place.pages.detail.task_id == "t2"


async def test_the_palette_offers_the_actions_and_every_loaded_task(opened: Opener) -> None:
    async with opened() as o:
        await o.show(FakeBackend(server("One", "Two")))
        commands = {command.id: command for command in o.place.commands()}
        assert commands["tasks.new"].keys == "Ctrl+N"
        assert not commands["tasks.rename"].enabled()
        {command.id: command for command in o.place.items()}["tasks.go.t2"].run()
        assert o.navigator.gone == [("tasks", "t2")]
        await o.select("task:t1")
        assert commands["tasks.rename"].enabled()


async def test_every_control_has_a_name_in_every_state(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", status="queued")
        tasks.fail["create"] = OutcomeUnknown("No answer.")
        await o.show(FakeBackend(tasks))
        assert nameless(o.place) == []
        await o.select("task:t1")
        assert nameless(o.place) == []
        o.place.pages.detail.begin_rename()
        assert nameless(o.place) == []
        o.place.selection.new_task()
        assert nameless(o.place) == []
        o.place.outbox.send(NewTask(description="Once"))
        await until(lambda: o.services.storage.outbox.states == ["unknown"])
        await o.select("pending:p1")
        assert nameless(o.place) == []


async def test_a_change_of_theme_and_text_size_is_followed_while_shown(opened: Opener, qapp: QApplication) -> None:
    async with opened() as o:
        await o.show(FakeBackend(FakeTasks([task(1, "One", "failed", description="# A\n\n```\ncode\n```\n- b")])))
        await o.select("task:t1")
        before = o.place.grab().toImage()
        apply_theme(qapp, "dark", 1.5)
        await settle()
        assert o.place.grab().toImage() != before
        apply_theme(qapp, "light", 1.0)


async def test_a_change_that_fails_while_somebody_writes_waits_on_its_task(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One", "Two")
        tasks.hold["archive"] = asyncio.Event()
        tasks.fail["archive"] = ServerTrouble("The server answered 503.")
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        o.place.controller.archive("t1", True)
        o.place.selection.new_task()
        tasks.hold["archive"].set()
        await until(lambda: "Not archived" in o.navigator.words)
        assert o.place.pages.currentWidget() is o.place.pages.composer
        await settle()
        table = o.place.pane.table
        row = table.visualRect(table.rows.index(table.rows.place("task:t1"), 0))
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=row.center())
        assert "Not archived" in o.place.pages.detail.card.text()


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknown("No answer."),
        OutcomeUnknown("Failed.", Facts(status=500)),
        ProtocolTrouble("?", Facts(status=200)),
    ],
)
async def test_a_run_of_unknown_outcome_is_looked_up_and_not_called_failed(opened: Opener, error: BurrowError) -> None:
    async with opened() as o:
        tasks = server("One")
        tasks.fail["run"] = error
        await o.show(FakeBackend(tasks))
        await o.select("task:t1")
        await until(lambda: tasks.called("get"))
        looked = len(tasks.called("get"))
        await press(o.place.pages.detail, "Run")
        await until(lambda: "Sent, outcome unknown" in o.place.pages.detail.card.text())
        await until(lambda: len(tasks.called("get")) > looked)


async def test_the_list_is_polled_only_while_somebody_may_look(opened: Opener) -> None:
    async with opened() as o:
        tasks = server("One")
        await o.show(FakeBackend(tasks))
        before = len(tasks.called("list"))
        o.place.hide()
        assert not o.place._poll.isActive()
        o.place.activate()
        await settle()
        assert len(tasks.called("list")) == before
        o.place.show()
        assert o.place._poll.isActive()


async def test_a_change_in_1500_rows_makes_that_row_anew_and_paints_nothing_else(opened: Opener) -> None:
    async with opened() as o:
        tasks = FakeTasks([task(number, f"Task {number} of many") for number in range(1, 1501)])
        await o.show(FakeBackend(tasks))
        cache, query = o.place.controller.cache, o.place.controller.query
        cache.load(query, await tasks.list(query, limit=1500), cache.begin())
        o.place.pane.show_now()
        rows = o.place.pane.table.rows
        assert rows.rowCount() == 1501
        before = {key: rows.row(key) for key in (f"task:t{number}" for number in range(1, 1501))}
        painted: list[range] = []
        rows.dataChanged.connect(lambda first, last: painted.append(range(first.row(), last.row() + 1)))
        rows.modelReset.connect(lambda: painted.append(range(rows.rowCount())))
        cache.edit("t700", title="Renamed")
        o.place.pane.show_now()
        assert [key for key, row in before.items() if rows.row(key) is not row] == ["task:t700"]
        assert [len(changed) for changed in painted] == [1]
        assert "Renamed" in o.titles
