"""What is known about tasks: pages, unconfirmed changes over them, and answers that come late."""

from __future__ import annotations

from msgspec.structs import replace

from app.core.posthog.types import Page, Task, TaskQuery, TaskRun
from app.ui.tasks.book import TaskBook
from tests.ui._tasks_fakes import task

ALL = TaskQuery()
FOUND = TaskQuery(search="crash")


def page(*tasks: Task, count: int | None = None, following: str | None = None) -> Page[Task]:
    return Page(tasks, count if count is not None else len(tasks), following)


def loaded(*tasks: Task) -> TaskBook:
    book = TaskBook()
    book.load(ALL, page(*tasks), book.begin())
    return book


def ids(book: TaskBook, query: TaskQuery = ALL) -> list[str]:
    return [t.id for t in book.visible(query)]


def test_a_change_is_seen_at_once_and_rolled_back_when_refused() -> None:
    book = loaded(task(1))
    edit = book.edit("t1", title="New")
    assert book.get("t1").title == "New"
    book.roll_back(edit)
    assert book.get("t1").title == "Task 1"


def test_a_list_asked_for_before_a_change_was_confirmed_does_not_undo_it() -> None:
    book = loaded(task(1))
    mark = book.begin()
    edit = book.edit("t1", title="New")
    book.settle(edit, replace(task(1), title="New"))
    book.load(ALL, page(task(1)), mark)
    assert book.get("t1").title == "New"
    book.load(ALL, page(replace(task(1), title="Newer")), book.begin())
    assert book.get("t1").title == "Newer"


def test_a_deleted_task_does_not_come_back_with_a_late_list() -> None:
    book = loaded(task(1), task(2))
    mark = book.begin()
    edit = book.edit("t1", hidden=True)
    assert ids(book) == ["t2"]
    book.settle(edit)
    book.load(ALL, page(task(1), task(2)), mark)
    assert ids(book) == ["t2"]


def test_a_new_task_is_not_lost_by_a_list_asked_for_before_it() -> None:
    book = loaded(task(2))
    mark = book.begin()
    book.put(task(1))
    book.load(ALL, page(task(2)), mark)
    assert ids(book) == ["t1", "t2"]


def test_refreshing_the_first_page_keeps_the_pages_loaded_after_it() -> None:
    book = TaskBook()
    book.load(ALL, page(task(1), task(2), count=4, following="2"), book.begin())
    book.append(ALL, page(task(2), task(3), task(4), count=4), book.begin())
    assert ids(book) == ["t1", "t2", "t3", "t4"]
    book.load(ALL, page(task(0), task(1), count=5, following="2"), book.begin())
    assert ids(book) == ["t0", "t1", "t2", "t3", "t4"]


def test_a_task_that_left_the_first_page_is_gone() -> None:
    book = TaskBook()
    book.load(ALL, page(task(1), task(2), task(3), count=3), book.begin())
    book.load(ALL, page(task(1), task(3), count=2), book.begin())
    assert ids(book) == ["t1", "t3"]
    assert [t.id for t in book.all()] == ["t1", "t3"]


def test_an_archived_task_leaves_the_list_and_its_count() -> None:
    book = loaded(task(1), task(2))
    book.edit("t1", archived=True)
    assert ids(book) == ["t2"]
    assert book.total(ALL) == 1


def test_a_search_shows_what_is_loaded_until_the_server_has_answered() -> None:
    book = loaded(task(1, "Checkout crash"), task(2, "Backfill"))
    assert ids(book, FOUND) == ["t1"]
    book.load(FOUND, page(task(3, "Other words for it")), book.begin())
    assert ids(book, FOUND) == ["t3"]


def test_pins_follow_the_last_word() -> None:
    book = loaded(task(1))
    mark = book.begin()
    edit = book.edit("t1", pinned=True)
    assert book.is_pinned("t1")
    book.settle(edit)
    book.set_pins(set(), mark)
    assert book.is_pinned("t1")
    book.set_pins(set(), book.begin())
    assert not book.is_pinned("t1")


def test_a_pinned_task_beyond_the_loaded_pages_is_shown_once_known() -> None:
    book = loaded(task(1))
    book.set_pins({"t9"}, book.begin())
    assert book.missing_pins() == ["t9"]
    book.know(task(9))
    assert ids(book) == ["t1", "t9"]


def test_two_changes_of_one_task_roll_back_apart() -> None:
    book = loaded(task(1))
    renamed = book.edit("t1", title="New")
    book.edit("t1", latest_run=TaskRun("r", status="queued"))
    book.roll_back(renamed)
    shown = book.get("t1")
    assert (shown.title, shown.latest_run.status) == ("Task 1", "queued")
