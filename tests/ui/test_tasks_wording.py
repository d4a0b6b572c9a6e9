"""Words, groups and rows of the task list."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from app.core.posthog.types import NewTask, TaskRun
from app.ui.tasks.rows import Grouping, PendingTask, build_groups
from app.ui.tasks.wording import (
    SendState,
    is_web_address,
    keep_line_breaks,
    matches,
    pull_request_of,
    queued_explanation,
    state_of,
    title_of,
)
from tests.ui._tasks_fakes import NOW, task


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (None, "Not started"),
        ("not_started", "Not started"),
        ("queued", "Queued"),
        ("in_progress", "Running"),
        ("completed", "Done"),
        ("failed", "Failed"),
        ("cancelled", "Cancelled"),
        ("warming_up", "Warming up"),
    ],
)
def test_every_status_has_a_glyph_and_a_word(status: str | None, word: str) -> None:
    state = state_of(task(1, status=status))
    assert state.word == word
    assert state.glyph


def test_groups_stand_in_the_order_of_urgency_with_pinned_first() -> None:
    tasks = [task(1, status="completed"), task(2, status="failed"), task(3, status="in_progress"), task(4)]
    groups = build_groups(tasks, [], grouping=Grouping.STATE, pinned=lambda i: i == "t4", now=NOW)
    assert [(g.title, [r.title for r in g.rows]) for g in groups] == [
        ("Pinned", ["Task 4"]),
        ("Running", ["Task 3"]),
        ("Needs you", ["Task 2"]),
        ("Done", ["Task 1"]),
    ]


def test_grouping_by_repository_puts_tasks_without_one_last() -> None:
    tasks = [task(1), task(2, repository="acme/web"), task(3, repository="acme/api")]
    groups = build_groups(tasks, [], grouping=Grouping.REPOSITORY, pinned=lambda _: False, now=NOW)
    assert [g.title for g in groups] == ["acme/api", "acme/web", "No repository"]


def test_a_task_that_waits_for_sign_in_is_among_those_that_need_the_person() -> None:
    pending = PendingTask("p1", NewTask(description="Do it"), SendState.SIGN_IN, NOW)
    (group,) = build_groups([], [pending], grouping=Grouping.STATE, pinned=lambda _: False, now=NOW)
    assert group.title == "Needs you"
    assert group.rows[0].spoken() == "Do it, Waiting for sign-in, now"


def test_a_row_is_read_aloud_with_all_it_shows() -> None:
    shown = task(5, "Fix it", "queued", repository="acme/web")
    (group,) = build_groups([shown], [], grouping=Grouping.NONE, pinned=lambda _: False, now=NOW)
    assert group.rows[0].spoken() == "Fix it, Queued, BUR-5, acme/web, 5 min ago"


def test_the_title_falls_back_to_the_first_line_of_the_description() -> None:
    untitled = replace(task(1), title="  ", description="First\nsecond")
    assert title_of(untitled) == "First"
    assert title_of(replace(untitled, description="")) == "BUR-1"
    assert title_of(NewTask(description="")) == "Untitled task"


def test_every_word_of_the_filter_must_occur_somewhere() -> None:
    shown = task(1, "Fix checkout", repository="acme/web")
    assert matches(shown, "CHECK web")
    assert not matches(shown, "check api")


def test_a_queued_run_is_explained_only_while_it_is_queued() -> None:
    assert "as soon as an agent is free" in (queued_explanation(TaskRun("r", status="queued"), embedded=True) or "")
    assert queued_explanation(TaskRun("r", status="failed"), embedded=True) is None
    assert queued_explanation(None, embedded=True) is None


@pytest.mark.parametrize(
    ("url", "ok"),
    [
        ("https://github.com/a/b/pull/1", True),
        ("http://localhost/1", True),
        ("javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("https://a b", False),
    ],
)
def test_only_web_addresses_are_opened(url: str, ok: bool) -> None:
    assert is_web_address(url) is ok
    assert pull_request_of(TaskRun("r", output={"pr_url": url})) == (url if ok else None)


def test_typed_line_breaks_survive_markdown_but_code_is_left_alone() -> None:
    assert keep_line_breaks("one\ntwo\n\n```\na\nb\n```") == "one  \ntwo  \n\n```\na\nb\n```"


def test_a_time_without_a_zone_does_not_break_the_order() -> None:
    tasks = [task(1), replace(task(2), created_at=datetime(2026, 1, 1)), replace(task(3), created_at=None)]  # noqa: DTZ001
    groups = build_groups(tasks, [], grouping=Grouping.NONE, pinned=lambda _: False, now=datetime.now(UTC))
    assert len(groups[0].rows) == 3
