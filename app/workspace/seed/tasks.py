"""The twelve tasks of a new workspace, in every state that a list has to show."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from app.workspace.runtime.clock import iso

if TYPE_CHECKING:
    import sqlite3

HOUR = 3600.0
SHOP = "hedgerow/shop"
API = "hedgerow/api"
MOBILE = "hedgerow/mobile"


@dataclass(frozen=True)
class SeedRun:
    """A run that was created `hours` ago and last changed `minutes` later. None of them is queued: they would begin."""

    status: str
    hours: float
    minutes: float = 0.0
    stage: str | None = None
    branch: str | None = "main"
    environment: str = "cloud"
    adapter: str = "claude"
    model: str = "claude-opus-4-5"
    output: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True)
class SeedTask:
    """A task created `hours` ago."""

    title: str
    description: str
    hours: float
    repository: str | None = SHOP
    origin: str = "user_created"
    runs: tuple[SeedRun, ...] = field(default=())
    archived: bool = False
    pinned: bool = False


TASKS = (
    SeedTask(
        "Find out why checkout drops off on Safari",
        "Since the last release fewer people on Safari get from the cart to payment. Compare `checkout_started`"
        " with `checkout_completed` by browser, look at `error_shown` on the payment page, and propose a fix.",
        620,
        runs=(
            SeedRun(
                "completed",
                619,
                24,
                "build",
                output={
                    "pr_url": "https://github.com/hedgerow/shop/pull/481",
                    "head_branch": "fix/safari-payment-sheet",
                    "pr_state": "merged",
                    "ci_status": "passed",
                },
            ),
        ),
        pinned=True,
    ),
    SeedTask(
        "Add a sitemap for the book pages",
        "Search engines find only half of the catalogue. Generate `sitemap.xml` from the book table, split at"
        " 50,000 entries, and add it to robots.txt.",
        510,
        runs=(
            SeedRun(
                "completed",
                509,
                11,
                "build",
                output={
                    "pr_url": "https://github.com/hedgerow/shop/pull/486",
                    "head_branch": "sitemap",
                    "pr_state": "merged",
                    "ci_status": "passed",
                },
            ),
        ),
        archived=True,
    ),
    SeedTask(
        "Upgrade the payment library to version 9",
        "Version 7 leaves support in January. Follow the two migration guides, keep the tests green and list what"
        " changed for the people who run the shop.",
        430,
        repository=API,
        runs=(
            SeedRun("failed", 429, 6, "plan", error="Repository checkout failed: the branch 'release' does not exist."),
            SeedRun(
                "failed",
                402,
                51,
                "build",
                error="Tests failed after 3 attempts: test_refund_of_a_split_payment (AssertionError).",
                output={"head_branch": "payment-9"},
            ),
        ),
    ),
    SeedTask(
        "Write release notes for the autumn update",
        "Read the merged pull requests since the tag `2026.9` and write notes for readers, not for engineers."
        " Group by what people will notice.",
        330,
        runs=(SeedRun("completed", 329, 4, "research", output={"commit": "5f0c2ab"}),),
        archived=True,
    ),
    SeedTask(
        "Make the search box forgive typing errors",
        "“agatha cristie” finds nothing. Try trigram matching on title and author, measure the query time on the"
        " full catalogue, and keep exact matches first.",
        212,
        repository=API,
        runs=(
            SeedRun(
                "completed",
                210,
                37,
                "build",
                adapter="codex",
                model="gpt-5.1-codex",
                output={
                    "pr_url": "https://github.com/hedgerow/api/pull/219",
                    "head_branch": "trigram-search",
                    "pr_state": "open",
                    "ci_status": "passed",
                },
            ),
        ),
        pinned=True,
    ),
    SeedTask(
        "Explain the spike of errors on Tuesday evening",
        "Between 19:00 and 21:00 UTC `error_shown` went up fivefold. Say which page, which release and how many"
        " people saw it.",
        160,
        repository=None,
        origin="error_tracking",
        runs=(SeedRun("cancelled", 159, 9, "research"),),
    ),
    SeedTask(
        "Let people reorder their wish list by dragging",
        "Drag and drop with keyboard support (space, arrows, space). Store the order per person.",
        118,
        repository=MOBILE,
        runs=(SeedRun("cancelled", 117, 2, "plan", environment="local"),),
    ),
    SeedTask(
        "Remove the feature flag “new-cart”",
        "It has been at 100 % for six weeks. Delete the old branch of the code, its tests and the flag.",
        74,
        runs=(
            SeedRun(
                "completed",
                73,
                15,
                "build",
                output={
                    "pr_url": "https://github.com/hedgerow/shop/pull/502",
                    "head_branch": "remove-new-cart",
                    "pr_state": "draft",
                    "ci_status": "failed",
                },
            ),
        ),
    ),
    SeedTask(
        "Send a reminder when a reserved book arrives",
        "One e-mail, not more than one a day per person, with an unsubscribe link. Texts in English and Portuguese.",
        49,
        repository=API,
        pinned=True,
    ),
    SeedTask(
        "Speed up the image pipeline for book covers",
        "Covers are resized on each request. Resize at upload to 160, 320 and 640 pixels and serve AVIF where the"
        " browser takes it. Report bytes per page before and after.",
        26,
        repository=API,
        runs=(
            SeedRun("failed", 25, 3, "build", error="The sandbox ran out of memory while installing dependencies."),
            SeedRun("not_started", 0.4),
        ),
    ),
    SeedTask(
        "Summarise what readers ask the support desk",
        "Take the questions of the last two weeks, group them, and name the three that a better page would answer.",
        7,
        repository=None,
        origin="support_queue",
    ),
    SeedTask(
        "Check that deleted accounts leave nothing behind",
        "Follow one account through deletion in shop, api and the mail service. List every table and bucket that"
        " still knows it afterwards.",
        2,
        repository=API,
    ),
)


def seed_tasks(db: sqlite3.Connection, namespace: UUID, project: int, user_id: int, now: float) -> None:
    """Store `TASKS`, the oldest first, so that task numbers grow with time."""
    for number, task in enumerate(TASKS, start=1):
        task_id = str(uuid5(namespace, f"task-{number}"))
        created = now - task.hours * HOUR
        active = max([created, *(now - run.hours * HOUR + run.minutes * 60 for run in task.runs)])
        archived_at = iso(active + 26 * HOUR) if task.archived else None
        db.execute(
            "INSERT INTO tasks (id, project_id, task_number, title, title_manually_set, description, origin_product,"
            " runtime, repository, repositories, internal, archived, archived_at, created_at, updated_at,"
            " last_activity_at, created_by) VALUES (?, ?, ?, ?, 1, ?, ?, 'acp', ?, ?, 0, ?, ?, ?, ?, ?, ?)",
            (
                task_id,
                project,
                number,
                task.title,
                task.description,
                task.origin,
                task.repository,
                json.dumps([task.repository] if task.repository else []),
                task.archived,
                archived_at,
                iso(created),
                archived_at or iso(active),
                iso(active),
                user_id,
            ),
        )
        for position, run in enumerate(task.runs):
            _seed_run(db, str(uuid5(namespace, f"run-{number}-{position}")), task_id, run, user_id, now)
        if task.pinned:
            db.execute("INSERT INTO pins VALUES (?, ?, ?)", (user_id, task_id, iso(active)))


def _seed_run(db: sqlite3.Connection, run_id: str, task_id: str, run: SeedRun, user_id: int, now: float) -> None:
    queued = now - run.hours * HOUR
    last = iso(queued + run.minutes * 60)
    ended = run.status in ("completed", "failed", "cancelled")
    state = {"mode": "interactive", "run_source": "manual", "pr_base_branch": run.branch}
    db.execute(
        "INSERT INTO runs (id, task_id, stage, branch, status, environment, runtime_adapter, provider, model,"
        " error_message, output, state, created_by, created_at, updated_at, completed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run_id,
            task_id,
            run.stage,
            run.branch,
            run.status,
            run.environment,
            run.adapter,
            "anthropic" if run.adapter == "claude" else "openai",
            run.model,
            run.error,
            None if run.output is None else json.dumps(run.output),
            json.dumps(state),
            user_id,
            iso(queued),
            last,
            last if ended else None,
        ),
    )
