"""The words for a task: state, group, title, time. No widgets."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.posthog.types import NewTask
from app.ui.theme.state import State, by_name, translated
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from app.core.posthog.types import Task, TaskRun

TITLE_LIMIT = 255
# What begins and ends a block of code (CommonMark 4.5).
FENCES = frozenset({"```", "~~~"})


class TaskGroup(Enum):
    """The headings of the list grouped by state, in their order. The value is the untranslated heading."""

    DRAFTS = marked("Tasks", "Drafts")
    PINNED = marked("Tasks", "Pinned")
    RUNNING = marked("Tasks", "Running")
    NEEDS_YOU = marked("Tasks", "Needs you")
    QUEUED = marked("Tasks", "Queued")
    NOT_STARTED = marked("Tasks", "Not started")
    DONE = marked("Tasks", "Done")
    CANCELLED = marked("Tasks", "Cancelled")
    OTHER = marked("Tasks", "Other")


# By the server's own names. A newer server may have others.
RUN_STATES: Mapping[str, State] = {
    "not_started": State("ring", marked("State", "Not started"), "muted"),
    "queued": State("clock", marked("State", "Queued"), "info"),
    "in_progress": State("play", marked("State", "Running"), "accent"),
    "completed": State("check", marked("State", "Done"), "good"),
    "failed": State("cross", marked("State", "Failed"), "bad"),
    "cancelled": State("cancelled", marked("State", "Cancelled"), "muted"),
}
SETS_UP = State("settings", marked("State", "Setting up"), "accent")
# Of a run on this machine, beside the statuses of the server.
LOCAL_STATES: Mapping[str, State] = {
    "starting": SETS_UP,
    "cut_off": State("warning", marked("State", "Cut off"), "attention"),
    "paused": State("ring", marked("State", "Not running"), "muted"),
}
# The agent of a run waits for an answer, which its status does not say.
ASKS = State("question", marked("State", "Needs you"), "attention")
ARCHIVED = State("archive", marked("State", "Archived"), "muted")

GROUP_OF_STATUS = {
    "not_started": TaskGroup.NOT_STARTED,
    "queued": TaskGroup.QUEUED,
    "in_progress": TaskGroup.RUNNING,
    "completed": TaskGroup.DONE,
    "failed": TaskGroup.NEEDS_YOU,
    "cancelled": TaskGroup.CANCELLED,
}


class SendState(Enum):
    """The state of a task that the server may not have yet. The value is what the outbox stores."""

    SENDING = "sending"
    SIGN_IN = "waiting-sign-in"
    CONNECTION = "waiting-connection"
    UNKNOWN = "unknown"
    FAILED = "failed"


SEND_STATES = {
    SendState.SENDING: (State("clock", marked("Tasks", "Sending…"), "info"), TaskGroup.NOT_STARTED),
    SendState.SIGN_IN: (State("clock", marked("Tasks", "Waiting for sign-in"), "attention"), TaskGroup.NEEDS_YOU),
    SendState.CONNECTION: (
        State("clock", marked("Tasks", "Waiting for connection"), "attention"),
        TaskGroup.NOT_STARTED,
    ),
    SendState.UNKNOWN: (State("question", marked("Tasks", "Sent, outcome unknown"), "attention"), TaskGroup.NEEDS_YOU),
    SendState.FAILED: (State("warning", marked("Tasks", "Not sent"), "bad"), TaskGroup.NEEDS_YOU),
}


def draft_state() -> State:
    """The state of a draft that is not open anywhere else."""
    return State("edit", _tr("Draft"), "muted")


def open_elsewhere() -> State:
    """The state of a draft that another window has open."""
    return State("external", _tr("Open in another window"), "info")


def run_state(status: str) -> State:
    """The state of a run by the server's name for it, or by ours for one of this machine."""
    return by_name(LOCAL_STATES if status in LOCAL_STATES else RUN_STATES, status)


def archived_state() -> State:
    """The state of a task in the archive."""
    return translated(ARCHIVED)


def state_of(task: Task) -> State:
    """The state of a task: that of its latest run."""
    return run_state(task.latest_run.status) if task.latest_run is not None else run_state("not_started")


def asks_state() -> State:
    """The state of a task whose run waits for an answer."""
    return translated(ASKS)


def group_of(task: Task, asking: Container[str] = ()) -> TaskGroup:
    """The heading a task stands under. `asking` has the ids of those whose runs wait for an answer."""
    if task.id in asking:
        return TaskGroup.NEEDS_YOU
    if task.latest_run is None:
        return TaskGroup.NOT_STARTED
    return GROUP_OF_STATUS.get(task.latest_run.status, TaskGroup.OTHER)


def heading(group: TaskGroup) -> str:
    """The heading of a group in the user's language."""
    return _tr(group.value)


def no_repository() -> str:
    """The heading of tasks without one."""
    return _tr("No repository")


def ungrouped() -> str:
    """The heading of the other tasks, where only pinned ones have a group."""
    return _tr("Not pinned")


def needs_you(task: Task, asking: Container[str] = ()) -> bool:
    """Whether the task needs the user."""
    return not task.archived and group_of(task, asking) is TaskGroup.NEEDS_YOU


def can_run(task: Task) -> bool:
    """Whether a run may be started: none is in progress on the server, and the task is not archived."""
    run = task.latest_run
    return not task.archived and (run is None or run.finished or (run.environment == "local" and bool(run.id)))


def can_cancel(task: Task) -> bool:
    """Whether the latest run can be cancelled: it is in progress in the cloud, and the server has named it."""
    run = task.latest_run
    return run is not None and not run.finished and bool(run.id) and run.environment == "cloud"


def send_state(state: SendState) -> State:
    """The state of a task on its way to the server."""
    shown = SEND_STATES[state][0]
    return State(shown.glyph, _tr(shown.word), shown.tone)


def send_group(state: SendState) -> TaskGroup:
    return SEND_STATES[state][1]


def title_of(task: Task | NewTask) -> str:
    """The title, else the first line of the description, on one line."""
    for text in (task.title, task.description.strip().partition("\n")[0]):
        line = " ".join(text.split())
        if line:
            return line[:TITLE_LIMIT]
    return _slug_of(task) or _tr("Untitled task")


def _slug_of(task: Task | NewTask) -> str:
    """Empty until the server has made the task."""
    return "" if isinstance(task, NewTask) else task.slug


def queued_explanation(run: TaskRun | None, *, embedded: bool) -> str | None:
    """Why a queued run does not start; None for a run in another state."""
    if run is None or run.status != "queued":
        return None
    if embedded:
        return _tr("Queued. The workspace starts it as soon as an agent is free.")
    return _tr("Queued: waiting for the server to start it.")


def pull_request_of(run: TaskRun | None) -> str | None:
    """The web address of the pull request that a run made, if its output has one."""
    url = (run.output or {}).get("pr_url") if run is not None else None
    return url if isinstance(url, str) and is_web_address(url) else None


def is_web_address(url: str) -> bool:
    """Whether a link from a server may be opened in the browser."""
    # A blank or control character would let the browser open something else than what is shown.
    return url.startswith(("https://", "http://")) and not any(ord(c) <= 32 for c in url)


def aware(moment: datetime) -> datetime:
    """`moment` with a time zone: UTC where it has none."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def matches(task: Task | NewTask, needle: str) -> bool:
    """Whether every word of `needle` occurs in the title, description, slug or repository."""
    words = needle.casefold().split()
    if not words:
        return True
    hay = "\n".join((task.title, _slug_of(task), task.repository or "", task.description)).casefold()
    return all(word in hay for word in words)


def keep_line_breaks(markdown: str) -> str:
    """Markdown that keeps every typed line break. Code blocks are not changed."""
    lines = []
    fence = ""
    for line in markdown.replace("\r\n", "\n").split("\n"):
        mark = line.lstrip()[:3]
        if mark in FENCES and fence in {"", mark}:
            fence = "" if fence else mark
            lines.append(line)
        elif fence or not line.strip() or line.startswith(("    ", "\t")):
            lines.append(line)
        else:
            # Two blanks at the end are a hard line break (CommonMark 6.7).
            lines.append(line.rstrip() + "  ")
    return "\n".join(lines)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Tasks", text)
