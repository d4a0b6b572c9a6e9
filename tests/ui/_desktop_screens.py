"""The dialogs and bars of an installed application: the end of Burrow, links, crashes, safe mode and updates.

Their words are those of a person who has much under way, and of others who mean no good.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

from PySide6.QtWidgets import QDialog, QWidget

from app.core.busy import Work, WorkKind
from app.core.diagnostics.crash_watch import CrashWatch
from app.core.diagnostics.crashes import CrashReports
from app.core.errors import Facts, StorageTrouble, UpdateRefused
from app.core.updates.install import FIXED
from app.core.updates.record import UpdateOutcome
from app.core.updates.release import Machine, Release
from app.core.updates.status import UpdateState, UpdateStatus
from app.core.updates.version import Version
from app.ui.shell.closing import UnsavedText
from app.ui.shell.crash import CrashDialog
from app.ui.shell.keep_running import KeepRunningDialog
from app.ui.shell.leave_dialog import LeaveDialog
from app.ui.shell.link_dialog import LinkDialog
from app.ui.shell.start_question import StartQuestion
from app.ui.shell.update_bar import UpdateBar
from app.ui.shell.update_notes import UpdateNotes
from app.ui.shell.window import MainWindow
from tests.ui._tasks_fakes import settle, until

REVERSED = chr(0x202E)
NOTES = (
    f"## What is new\n\n- Runs are shown **live**.\n- <b>Not bold</b>, {REVERSED}reversed and "
    f"{'averylongwordwithoutaspace' * 12}\n- [A link](https://example.com)\n\n```\nburrow update\n```\n"
)
CALL = Work(WorkKind.CALL, "search_docs on Linear", "Its answer is lost. The server may carry it out all the same.")
LONG = Work(WorkKind.CALL, f"{'a_tool_with_a_long_name_' * 6} on <b>Ledger</b>{REVERSED}", "Its answer is lost. " * 4)
CLIENT = Work(WorkKind.CLIENT, "Claude Code", "It reaches no server until Burrow runs again.")
SIGN_IN = Work(WorkKind.SIGN_IN, "Linear", "The browser page leads nowhere then. Sign in again after the next start.")
FILES = tuple(Work(WorkKind.FILE, f"answer-{at}.json", "The file stays cut.") for at in range(22))
MANY = (CALL, LONG, CLIENT, SIGN_IN, *FILES)
TO_HOST = (
    "Go to PostHog EU?",
    f"A link belongs to PostHog EU: task {'0195f1b0-' * 8}. You are Ana {'Vieira de Albuquerque ' * 4} there.",
    "Go there",
)
NEW_TASK = "burrow://new?repository=acme/web&text=" + quote("Say why <b>it</b> failed now\n" * 30, safe="")
RELEASE = Release(Version(1, 5, 0), "burrow.tar", 42_000_000, "", Machine("linux", "x86_64", "archive"), NOTES)
READ_ONLY = StorageTrouble(
    "You may not write to /opt/burrow, where Burrow is.",
    Facts(code=FIXED),
    action="Put the new file there yourself, or move Burrow to a folder of yours. The folder is /opt.",
)
REFUSED = UpdateRefused("The file that the update server sent is not the signed one.")
DID_NOT_START = "It did not start twice: ImportError: libQt6Core.so.6: cannot open shared object file."
TYPED = UnsavedText(("Half a thought\nof two lines", "another " * 60), "The disk is full. Free some space.")


async def desktop_screens(window: MainWindow, folder: Path) -> AsyncIterator[tuple[str, QWidget]]:
    """The name of each screen and its window, while it is in view."""
    reports = CrashReports(folder, {})
    report = reports.of_failure(ValueError("x" * 300), "a test")
    assert report is not None
    text = report.read()
    dialogs: dict[str, Callable[[], QDialog]] = {
        "keep running": lambda: KeepRunningDialog(serves=True, parent=window),
        "keep running without proxy": lambda: KeepRunningDialog(serves=False, parent=window),
        "leave one": lambda: LeaveDialog(UnsavedText(), (CALL,), window),
        "leave many": lambda: LeaveDialog(UnsavedText(), MANY, window),
        "leave text": lambda: LeaveDialog(TYPED, (), window),
        "leave unfinished": lambda: LeaveDialog(UnsavedText(("Half a thought",)), (), window),
        "leave both": lambda: LeaveDialog(TYPED, MANY, window),
        "leave at the end of the session": lambda: LeaveDialog(UnsavedText(), (CALL,), window, waits=False),
        "link host": lambda: LinkDialog(*TO_HOST, window),
        "crash": lambda: CrashDialog(text, window, log_in=reports.folder, report=report, restart=lambda: None),
        "crash report": lambda: CrashDialog(text, window, report=report),
        "start question": lambda: StartQuestion(reports),
        "notes": lambda: UpdateNotes("1.5.0", NOTES, window),
    }
    for name, build in dialogs.items():
        dialog = build()
        dialog.show()
        await settle()
        yield name, dialog
        dialog.close()
        await settle()
    report.path.unlink()
    window.links.open(NEW_TASK)
    await until(lambda: window.links.dialog is not None)
    await settle()
    assert window.links.dialog is not None
    yield "link draft", window.links.dialog
    window.links.forget()
    await settle()
    async for name in _bars(window, folder):
        yield name, window


async def _bars(window: MainWindow, folder: Path) -> AsyncIterator[str]:
    """Each bar alone, and at last all of them."""
    window.links.open("burrow://no/such?thing")
    await settle()
    yield "invalid link"
    window.links.forget()
    bar = UpdateBar()
    window.put_above(bar)
    states: dict[str, Callable[[], object]] = {
        "available": lambda: bar.show_status(UpdateStatus(UpdateState.AVAILABLE, RELEASE), ()),
        "part": lambda: bar.show_status(UpdateStatus(UpdateState.AVAILABLE, RELEASE, 1_000_000), ()),
        "downloading": lambda: bar.show_status(UpdateStatus(UpdateState.DOWNLOADING, RELEASE, 9_000_000), ()),
        "ready": lambda: bar.show_status(UpdateStatus(UpdateState.READY, RELEASE), ()),
        "waiting": lambda: bar.show_status(UpdateStatus(UpdateState.READY, RELEASE), MANY),
        "fixed": lambda: bar.show_trouble(READ_ONLY, again=False),
        "refused": lambda: bar.show_trouble(REFUSED, again=True),
        "updated": lambda: bar.show_outcome(UpdateOutcome("updated", "1.4.2", "1.5.0", notes=NOTES)),
        "put back": lambda: bar.show_outcome(UpdateOutcome("put back", "1.4.2", "1.5.0", DID_NOT_START)),
        "not installed": lambda: bar.show_outcome(UpdateOutcome("failed", "1.4.2", "1.5.0", DID_NOT_START)),
    }
    for name, show in states.items():
        show()
        await settle()
        yield f"update {name}"
    watch = CrashWatch(folder)
    assert watch.reports.of_failure(ValueError("x"), "a test") is not None
    window.care_for(watch, safe=True)
    bar.show_status(UpdateStatus(UpdateState.AVAILABLE, RELEASE), ())
    window.links.open("burrow://no/such?thing")
    await settle()
    yield "bars"
    bar.hide_all()
    window.links.forget()
    crashes = window.crashes
    assert crashes is not None
    assert crashes.bar is not None
    assert crashes.safe_bar is not None
    crashes.bar.clear()
    await settle()
    yield "safe mode"
    crashes.safe_bar.clear()
    crashes.end()
    watch.end()
    await settle()
