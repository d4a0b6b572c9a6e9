"""What the head of a transcript says of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.ui.tasks.wording import SETS_UP, asks_state, pull_request_of, run_state, title_of
from app.ui.theme.state import State, translated
from app.ui.transcript.header import HeaderFacts
from app.ui.translation import marked
from app.ui.widgets.times import relative

if TYPE_CHECKING:
    from app.core.posthog.types import Task, TaskRun
    from app.core.runs.items import SessionState

# What the log knows and the status of a run does not, besides `SETS_UP`.
COMPACTS = State("refresh", marked("State", "Shortening its context"), "info")
YOUR_TURN = State("user", marked("State", "Your turn"), "info")


def facts_of(run: TaskRun, state: SessionState) -> HeaderFacts:
    """The facts of a run, of its status and of its log."""
    output = run.output or {}
    head_branch = output.get("head_branch")
    branch = state.branch or (head_branch if isinstance(head_branch, str) else "") or run.branch or ""
    return HeaderFacts(
        shown_state(run, state),
        run.created_at,
        run.completed_at if run.finished else None,
        branch,
        run.model or "",
        pull_request_of(run) or "",
        state.usage,
        stops=state.busy and not run.finished,
        folder=_folder_of(run),
    )


def shown_state(run: TaskRun, state: SessionState) -> State:
    """The state of a run in a word."""
    if run.finished or run.status != "in_progress":
        return run_state(run.status)
    if state.waiting:
        return asks_state()
    if state.compacting:
        return translated(COMPACTS)
    if not state.accepts:
        return translated(SETS_UP)
    return run_state(run.status) if state.busy else translated(YOUR_TURN)


def run_words(run: TaskRun) -> str:
    """A run in the list of runs."""
    when = relative(run.created_at)
    here = QCoreApplication.translate("Tasks", "on this machine") if _folder_of(run) else ""
    return "  ·  ".join(part for part in (run_state(run.status).word, when, here, run.branch or "") if part)


def _folder_of(run: TaskRun) -> str:
    """Where an agent of this machine works, from the home folder on; empty for other runs."""
    folder = (run.state or {}).get("folder") if run.environment == "local" else None
    if not isinstance(folder, str):
        return ""
    home = os.path.expanduser("~")
    return f"~{folder[len(home) :]}" if folder.startswith(f"{home}{os.sep}") else folder


def asks_words(task: Task) -> tuple[str, str]:
    """Title and text of the notification that a run waits for an answer."""
    return title_of(task), QCoreApplication.translate("Tasks", "The agent needs you.")


def ended_words(task: Task, status: str) -> tuple[str, str]:
    """Title and text of the notification that a run has ended."""
    return title_of(task), QCoreApplication.translate("Tasks", "Run ended: {0}.").format(run_state(status).word)


def turn_words(task: Task) -> tuple[str, str]:
    """Title and text of the notification that the agent has finished its turn."""
    return title_of(task), QCoreApplication.translate("Tasks", "The agent has finished its turn.")
