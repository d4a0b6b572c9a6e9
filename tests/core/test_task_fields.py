"""The declared fields of a task: typed texts become what is sent; what identifies two tasks tells them apart."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.posthog.task_fields import TASK_FIELDS, cleaned, same_text, texts_of
from app.core.posthog.types import NewTask, Task, new_task

HOSTILE = "\x1b[31m‮\udc00"


def test_every_field_is_one_of_tasks_and_of_new_tasks() -> None:
    assert {"title", "description", "repository"} <= {each.name for each in TASK_FIELDS}
    for each in TASK_FIELDS:
        assert hasattr(Task(id="1"), each.name)
        assert hasattr(NewTask(), each.name)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ({}, {"title": "", "description": "", "repository": None}),
        ({"repository": "  Org/Repo "}, {"title": "", "description": "", "repository": "org/repo"}),
        ({"title": " a  b ", "description": "\n x\n"}, {"title": "a  b", "description": "x", "repository": None}),
        ({"title": None, "repository": None}, {"title": "", "description": "", "repository": None}),
        ({"title": 3, "project": 1}, {"title": "3", "description": "", "repository": None}),
        ({"title": HOSTILE}, {"title": HOSTILE, "description": "", "repository": None}),
    ],
)
def test_typed_texts_are_cleaned_field_by_field(typed: dict[str, Any], sent: dict[str, str | None]) -> None:
    assert sent.items() <= cleaned(typed).items()


def test_a_new_task_is_read_back_from_its_texts() -> None:
    new = NewTask(title="Title", description="Words", repository="org/repo")
    assert new_task(texts_of(new)) == new
    assert new_task(texts_of(NewTask())) == NewTask()


@pytest.mark.parametrize(
    ("task", "new", "same"),
    [
        (Task(id="1", title="T", description="d"), NewTask(title="T", description="d"), True),
        (Task(id="1", title="Another", description="d"), NewTask(description=" d "), True),
        (Task(id="1", title="Another", description="d"), NewTask(title="T", description="d"), False),
        (Task(id="1", title="T", description="other"), NewTask(title="T", description="d"), False),
        (Task(id="1", title="T", description="other"), NewTask(title="T"), False),
        (Task(id="1", title="T", description="d", repository="a/b"), NewTask(title="T", description="d"), True),
    ],
)
def test_a_task_with_another_text_is_another_task(task: Task, new: NewTask, same: bool) -> None:
    assert same_text(task, new) is same
