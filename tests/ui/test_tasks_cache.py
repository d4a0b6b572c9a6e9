"""What is known about tasks: pages, unconfirmed changes over them, and answers that come late."""

from __future__ import annotations

from msgspec.structs import replace

from app.core.posthog.types import Page, Task, TaskQuery, TaskRun
from app.ui.tasks.cache import TaskCache
from tests.ui._tasks_fakes import task

ALL = TaskQuery()
FOUND = TaskQuery(search="crash")


def page(*tasks: Task, count: int | None = None, following: str | None = None) -> Page[Task]:
    return Page(tasks, count if count is not None else len(tasks), following)


def loaded(*tasks: Task) -> TaskCache:
    cache = TaskCache()
    cache.load(ALL, page(*tasks), cache.begin())
    return cache


def ids(cache: TaskCache, query: TaskQuery = ALL) -> list[str]:
    return [t.id for t in cache.visible(query)]


def test_a_change_is_seen_at_once_and_rolled_back_when_refused() -> None:
    cache = loaded(task(1))
    edit = cache.edit("t1", title="New")
    assert cache.get("t1").title == "New"
    cache.roll_back(edit)
    assert cache.get("t1").title == "Task 1"


def test_a_list_asked_for_before_a_change_was_confirmed_does_not_undo_it() -> None:
    cache = loaded(task(1))
    mark = cache.begin()
    edit = cache.edit("t1", title="New")
    cache.settle(edit, replace(task(1), title="New"))
    cache.load(ALL, page(task(1)), mark)
    assert cache.get("t1").title == "New"
    cache.load(ALL, page(replace(task(1), title="Newer")), cache.begin())
    assert cache.get("t1").title == "Newer"


def test_a_deleted_task_does_not_come_back_with_a_late_list() -> None:
    cache = loaded(task(1), task(2))
    mark = cache.begin()
    edit = cache.edit("t1", hidden=True)
    assert ids(cache) == ["t2"]
    cache.settle(edit)
    cache.load(ALL, page(task(1), task(2)), mark)
    assert ids(cache) == ["t2"]


def test_a_new_task_is_not_lost_by_a_list_asked_for_before_it() -> None:
    cache = loaded(task(2))
    mark = cache.begin()
    cache.put(task(1))
    cache.load(ALL, page(task(2)), mark)
    assert ids(cache) == ["t1", "t2"]


def test_refreshing_the_first_page_keeps_the_pages_loaded_after_it() -> None:
    cache = TaskCache()
    cache.load(ALL, page(task(1), task(2), count=4, following="2"), cache.begin())
    cache.append(ALL, page(task(2), task(3), task(4), count=4), cache.begin())
    assert ids(cache) == ["t1", "t2", "t3", "t4"]
    cache.load(ALL, page(task(0), task(1), count=5, following="2"), cache.begin())
    assert ids(cache) == ["t0", "t1", "t2", "t3", "t4"]


def test_a_task_that_left_the_first_page_is_gone() -> None:
    cache = TaskCache()
    cache.load(ALL, page(task(1), task(2), task(3), count=3), cache.begin())
    cache.load(ALL, page(task(1), task(3), count=2), cache.begin())
    assert ids(cache) == ["t1", "t3"]
    assert [t.id for t in cache.all()] == ["t1", "t3"]


def test_an_archived_task_leaves_the_list_and_its_count() -> None:
    cache = loaded(task(1), task(2))
    cache.edit("t1", archived=True)
    assert ids(cache) == ["t2"]
    assert cache.total(ALL) == 1


def test_a_search_shows_what_is_loaded_until_the_server_has_answered() -> None:
    cache = loaded(task(1, "Checkout crash"), task(2, "Backfill"))
    assert ids(cache, FOUND) == ["t1"]
    cache.load(FOUND, page(task(3, "Other words for it")), cache.begin())
    assert ids(cache, FOUND) == ["t3"]


def test_pins_follow_the_last_word() -> None:
    cache = loaded(task(1))
    mark = cache.begin()
    edit = cache.edit("t1", pinned=True)
    assert cache.is_pinned("t1")
    cache.settle(edit)
    cache.set_pins(set(), mark)
    assert cache.is_pinned("t1")
    cache.set_pins(set(), cache.begin())
    assert not cache.is_pinned("t1")


def test_a_pinned_task_beyond_the_loaded_pages_is_shown_once_known() -> None:
    cache = loaded(task(1))
    cache.set_pins({"t9"}, cache.begin())
    assert cache.missing_pins() == ["t9"]
    cache.know(task(9))
    assert ids(cache) == ["t1", "t9"]


def test_two_changes_of_one_task_roll_back_apart() -> None:
    cache = loaded(task(1))
    renamed = cache.edit("t1", title="New")
    cache.edit("t1", latest_run=TaskRun("r", status="queued"))
    cache.roll_back(renamed)
    shown = cache.get("t1")
    assert (shown.title, shown.latest_run.status) == ("Task 1", "queued")
