"""Who signs out or switches to another account while something is under way for it is asked, as before quitting."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QPushButton

from app.core.auth.status import CredentialState
from app.core.busy import Work, WorkKind
from app.core.posthog.types import TaskRun
from app.ui.shell.account_leaving import sign_out_words, switch_words
from app.ui.shell.closing import UnsavedText
from app.ui.shell.leave_dialog import LeaveDialog
from app.ui.shell.window import MainWindow
from app.ui.tasks.run_works import works_of_messages
from tests.ui._screens import nameless, render
from tests.ui._shell_fakes import FakeServices
from tests.ui._tasks_fakes import settle, until
from tests.ui.test_shell import button, opened
from tests.ui.test_shell_accounts import four, where
from tests.ui.test_shell_closing import words_in
from tests.ui.transcript._conversation import RecordedConversation, WaitingText

ENDS, KEPT = "Its agent is ended in the middle of what it does.", "It is kept, and sent when you are signed in again."
RUN = Work(WorkKind.RUN, "“Survey the shop” on this machine", ENDS, without_account=ENDS)
MESSAGE = Work(WorkKind.SENDING, "Message “More”", "It is sent later.", kept=True, without_account=KEPT)
CALL = Work(WorkKind.CALL, "count on Ledger", "It is broken off.")


def dialog_of(window: MainWindow) -> LeaveDialog:
    dialog = window.account_leaving.dialog
    assert dialog is not None
    return dialog


def signed_in(services: FakeServices) -> bool:
    assert services.backend is not None
    return services.backend.credential.status.state is CredentialState.SIGNED_IN


def busy_with(*works: Work) -> tuple[FakeServices, list[Work]]:
    services, under_way = four(), list(works)
    services.busy.register(lambda: under_way)
    return services, under_way


async def test_signing_out_says_what_it_means_for_what_is_under_way_and_staying_is_the_default() -> None:
    services, _works = busy_with(RUN, MESSAGE, CALL)
    async with opened(services) as window:
        window.sign_ins.sign_out()
        dialog = dialog_of(window)
        said = words_in(dialog)
        assert "Sign out while this is under way?" in said
        assert {"“Survey the shop” on this machine", ENDS, "Message “More”", KEPT} < set(said)
        # What does not depend on the account goes on.
        assert "count on Ledger" not in said
        buttons = [each.text() for each in dialog.findChildren(QPushButton) if each.isVisible()]
        assert buttons == ["Sign out anyway", "Sign out when it is done", "Stay"]
        assert dialog.focusWidget() is dialog.stay_button
        assert nameless(dialog) == []
        dialog.stay_button.click()
        await settle()
        assert signed_in(services)
        assert services.puts_down == 0
        window.sign_ins.sign_out()
        dialog_of(window).close_button.click()
        await until(lambda: not signed_in(services))
        # Agents are ended before the account is left, so that the server can be told.
        assert services.puts_down == 1


async def test_signing_out_waits_for_the_work_if_that_is_wanted() -> None:
    services, works = busy_with(RUN, MESSAGE)
    async with opened(services) as window:
        window.sign_ins.sign_out()
        dialog_of(window).wait_button.click()
        bar = window.account_leaving.bar
        assert bar is not None
        assert bar.text() == "Burrow signs out when this is done: 2 things under way."
        works.pop()
        services.busy.changed.emit(None)
        await until(lambda: bar.text() == "Burrow signs out when this is done: 1 thing under way.")
        await settle()
        button(bar, "Stay").click()
        works.clear()
        services.busy.changed.emit(None)
        await settle()
        assert signed_in(services)
        works.append(RUN)
        window.sign_ins.sign_out()
        dialog_of(window).wait_button.click()
        works.clear()
        services.busy.changed.emit(None)
        await until(lambda: not signed_in(services))
        assert window.account_leaving.bar is None


async def test_switching_asks_too_and_says_nothing_of_the_other_account_before() -> None:
    services, _works = busy_with(RUN)
    async with opened(services) as window:
        before = where(services)
        window.switch_account(services.accounts.all()[2])
        dialog = dialog_of(window)
        assert "Switch account while this is under way?" in words_in(dialog)
        dialog.stay_button.click()
        await settle()
        assert where(services) == before
        assert window.corner.note.text() == ""
        window.add_account()
        dialog_of(window).reject()
        window.switch_account(services.accounts.all()[2])
        dialog_of(window).close_button.click()
        await until(lambda: where(services) == ("eu", "work"))


@pytest.mark.parametrize("works", [(), (CALL,)])
async def test_nothing_is_asked_where_nothing_depends_on_the_account(works: tuple[Work, ...]) -> None:
    services, _works = busy_with(*works)
    async with opened(services) as window:
        window.switch_account(services.accounts.all()[2])
        assert window.account_leaving.dialog is None
        await until(lambda: where(services) == ("eu", "work"))
        window.sign_ins.sign_out()
        assert window.account_leaving.dialog is None
        await until(lambda: not signed_in(services))


async def test_what_waits_on_disk_is_a_reason_to_ask_before_a_sign_out_but_not_before_a_switch() -> None:
    services, _works = busy_with(MESSAGE)
    async with opened(services) as window:
        window.sign_ins.sign_out()
        dialog_of(window).stay_button.click()
        await settle()
        window.switch_account(services.accounts.all()[2])
        assert window.account_leaving.dialog is None
        await until(lambda: where(services) == ("eu", "work"))


def test_messages_to_agents_that_wait_or_are_on_their_way_are_work(qapp: QApplication) -> None:
    cloud = RecordedConversation(TaskRun("r1", "in_progress", "t1", environment="cloud"))
    here = RecordedConversation(TaskRun("r2", "in_progress", "t2", environment="local"))
    for each in (cloud, here):
        each.queued = [
            WaitingText("1", "More " * 30, (), "sending"),
            WaitingText("2", "Later", (), "waiting"),
            WaitingText("3", "No", (), "refused"),
        ]
    sending, waiting = works_of_messages([cloud, here])  # type: ignore[list-item]
    assert (sending.kept, waiting.kept) == (False, True)
    assert waiting.what == "Message “Later”"
    assert len(sending.what) < 80
    assert all(each.without_account for each in (sending, waiting))


@pytest.mark.parametrize("words", [sign_out_words, switch_words])
def test_the_question_in_every_look(qapp: QApplication, tmp_path: Path, words: object) -> None:
    assert callable(words)
    pictures = render(
        lambda: LeaveDialog(UnsavedText(), (RUN, MESSAGE), None, words=words()),
        f"leaving-{words.__name__}",
        tmp_path,
        size=(460, 320),
    )
    assert all(picture.stat().st_size > 0 for picture in pictures)
