"""Answers of servers of any age become values; one bad item never hides the others."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BurrowError, ProtocolTrouble, ServerTrouble
from app.core.fetcher import Answer
from app.core.posthog.types import Installation, Membership, Project, StoreTool, Task, TaskRun, User
from app.core.posthog.wire import (
    bounded,
    decode_membership,
    decode_one,
    decode_page,
    decode_tasks,
    encode_membership,
    encode_tasks,
    segment,
)

ORIGIN = "https://us.posthog.com"


def answer(body: object) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(200, {}, content, ORIGIN)


def wire_task(number: int, **changes: object) -> dict[str, Any]:
    """A task as a server of September sends it."""
    return {
        "id": f"0190f7a0-0000-7000-8000-{number:012d}",
        "task_number": number,
        "slug": f"BUR-{number}",
        "title": f"Task {number}",
        "title_manually_set": False,
        "description": "Make the login page load faster. " * 8,
        "origin_product": "user_created",
        "runtime": "acp",
        "repository": "posthog/posthog",
        "repositories": ["posthog/posthog"],
        "github_integration": 12,
        "github_user_integration": None,
        "json_schema": None,
        "signal_report": None,
        "internal": False,
        "archived": False,
        "archived_at": None,
        "latest_run": {
            "id": f"0190f7a0-0000-7000-9000-{number:012d}",
            "task": f"0190f7a0-0000-7000-8000-{number:012d}",
            "stage": "build",
            "branch": "main",
            "status": "in_progress",
            "environment": "cloud",
            "runtime_adapter": "claude",
            "provider": "anthropic",
            "model": "claude-sonnet",
            "reasoning_effort": "high",
            "log_url": "https://s3.example.com/x?X-Amz-Signature=abc",
            "error_message": None,
            "output": {"pr_url": "https://github.com/posthog/posthog/pull/1", "commits": [1, 2, 3]},
            "state": {"mode": "interactive", "sandbox_alive": True, "pr_base_branch": "main"},
            "artifacts": [],
            "created_at": "2025-09-01T10:00:00.123456Z",
            "updated_at": "2025-09-01T10:05:00Z",
            "completed_at": None,
        },
        "created_at": "2025-09-01T09:00:00.123456Z",
        "updated_at": "2025-09-01T09:00:00+02:00",
        "last_activity_at": None,
        "created_by": {
            "id": 7,
            "uuid": "0190f7a0-0000-7000-a000-000000000007",
            "distinct_id": "d7",
            "first_name": "Ada",
            "last_name": "L",
            "email": "ada@example.com",
            "is_email_verified": True,
        },
        "ci_prompt": None,
        "channel": None,
        "slack_thread_references": [],
        **changes,
    }


def page(items: list[object], **changes: object) -> Answer:
    return answer({"count": len(items), "next": None, "previous": None, "results": items, **changes})


UNREADABLE: list[object] = [
    None,
    5,
    "text",
    [],
    {},
    {"id": None},
    {"id": []},
    {"id": "x", "archived": "perhaps"},
    {"id": "x", "title": {"a": 1}},
]


@pytest.mark.parametrize("item", UNREADABLE)
def test_an_unreadable_item_is_counted_and_hides_no_other(item: object) -> None:
    found = decode_page(page([wire_task(1), item, wire_task(2)]), Task)
    assert [task.title for task in found.items] == ["Task 1", "Task 2"]
    assert found.unreadable == 1
    assert found.count == 3


@pytest.mark.parametrize("planted", [b'"\\ud83d half of it"', b'"\xff\xfe"', b"NaN"])
def test_text_that_is_no_text_hides_no_other_item(planted: bytes) -> None:
    body = page([wire_task(1), wire_task(2, title="@@"), wire_task(3)]).content.replace(b'"@@"', planted)
    found = decode_page(answer(body), Task)
    assert [task.task_number for task in found.items] == [1, 2, 3]
    assert "".join(task.title for task in found.items).encode()


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"text"', b"{}", b'{"results": 5}', b'{"results": [', b"\xff\xfe"]
)
def test_what_is_no_page_says_so(body: bytes) -> None:
    with pytest.raises(ProtocolTrouble, match=r"us\.posthog\.com"):
        decode_page(answer(body), Task)


def test_a_web_page_instead_of_data_is_the_servers_trouble() -> None:
    for decode in (decode_page, decode_one):
        with pytest.raises(ServerTrouble, match="a page instead of data"):
            decode(answer(b"<html>sign in to the network</html>"), Task)


def test_a_single_object_that_makes_no_sense_names_the_place() -> None:
    with pytest.raises(ProtocolTrouble, match=r"\$\.title"):
        decode_one(answer(wire_task(1, title=["a"])), Task)
    with pytest.raises(ProtocolTrouble, match="id"):
        decode_one(answer({"title": "no id"}), Task)
    with pytest.raises(ProtocolTrouble):
        decode_one(answer(b"[" * 100_000), Task)


def test_a_whole_task_is_read() -> None:
    task = decode_one(answer(wire_task(12)), Task)
    assert (task.title, task.task_number, task.slug, task.repository) == ("Task 12", 12, "BUR-12", "posthog/posthog")
    assert task.created_at == datetime(2025, 9, 1, 9, 0, 0, 123456, UTC)
    assert task.created_by is not None
    assert task.created_by.short_name == "Ada"
    assert task.latest_run is not None
    assert task.latest_run.output == {"pr_url": "https://github.com/posthog/posthog/pull/1", "commits": [1, 2, 3]}


def test_a_server_of_may_leaves_out_fields_and_sends_nulls() -> None:
    task = decode_one(
        answer(
            {
                "id": 17,
                "title": None,
                "description": None,
                "slug": None,
                "archived": None,
                "internal": None,
                "task_number": "12",
                "created_at": "",
                "created_by": {"id": 7, "uuid": None, "email": None},
                "latest_run": {"id": 3, "status": "warming_up", "output": "free text", "state": None, "team": 1},
                "json_schema": [],
                "repository": "",
            }
        ),
        Task,
    )
    assert task == Task(
        id="17",
        task_number=12,
        created_by=User(id=7),
        latest_run=TaskRun(id="3", status="warming_up"),
        repository="",
    )


def test_values_that_this_version_does_not_know_are_kept() -> None:
    task = decode_one(answer(wire_task(1, origin_product="signals_chat", new_field={"a": 1})), Task)
    assert task.origin_product == "signals_chat"
    tool = decode_one(answer({"tool_name": "t", "approval_state": "ask_later", "input_schema": None}), StoreTool)
    assert (tool.approval_state, tool.input_schema) == ("ask_later", {})
    installation = decode_one(answer({"id": "i", "scope": "global", "tool_count": None, "name": None}), Installation)
    assert (installation.scope, installation.name) == ("global", "")


def test_a_person_with_null_organisations_is_read() -> None:
    user = decode_one(
        answer(
            {
                "uuid": "u",
                "email": "ada@example.com",
                "first_name": None,
                "team": {"id": 1, "name": None, "organization": {"id": "nested"}},
                "organization": None,
                "organizations": [{"id": "o1", "name": "One", "slug": "one"}, None, {"name": "no id"}, {"id": "o2"}],
            }
        ),
        User,
    )
    assert user.team == Project(1)
    assert [organization.id for organization in user.organizations] == ["o1", "o2"]
    assert user.short_name == "ada"


def test_the_next_page_is_an_address_or_nothing() -> None:
    following = f"{ORIGIN}/api/projects/1/tasks/?limit=50&offset=50"
    assert decode_page(page([], next=following), Task).next == following
    assert decode_page(page([], next=""), Task).next is None
    assert decode_page(page([], next=5), Task).next is None
    assert decode_page(page([], next=following), Task, following).next is None
    assert decode_page(page([wire_task(1)], count=None), Task).count == 1
    assert decode_page(page([wire_task(1)], count=812), Task).count == 812


def test_cached_tasks_come_back_as_they_were() -> None:
    tasks = decode_page(page([wire_task(number) for number in range(50)]), Task).items
    assert decode_tasks(encode_tasks(tasks)) == tasks
    assert decode_tasks(encode_tasks([])) == ()


@pytest.mark.parametrize("payload", [b"", b"\x00\xff", b"{}", b"null", b"<html>", b"[" * 5_000])
def test_an_unreadable_cache_is_an_empty_one(payload: bytes) -> None:
    assert decode_tasks(payload) == ()


def test_a_cache_of_another_version_loses_only_what_cannot_be_read() -> None:
    good = json.loads(encode_tasks(decode_page(page([wire_task(1)]), Task).items))
    payload = json.dumps([*good, {"renamed_id": 1}, {**good[0], "future": True}]).encode()
    assert [task.slug for task in decode_tasks(payload)] == ["BUR-1", "BUR-1"]


def test_an_account_is_remembered_with_its_projects() -> None:
    user = User(uuid="u", email="ada@example.com", team=Project(1, "One"))
    projects = (Project(1, "One", "o"), Project(2, "Two"))
    for known in (Membership(user, projects, projects[1], "first"), Membership(user)):
        assert decode_membership(encode_membership(known)) == known
    for text in ("", "{}", "null", '{"user": 5}'):
        with pytest.raises(ProtocolTrouble, match="remembered account"):
            decode_membership(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a/b", "a%2Fb"), ("..", "%2E%2E"), ("ü ?#", "%C3%BC%20%3F%23"), (5, "5"), ("get_x", "get_x")],
)
def test_an_id_cannot_leave_its_place_in_a_path(value: str | int, expected: str) -> None:
    assert segment(value) == expected


def test_a_limit_is_what_servers_honour() -> None:
    assert [bounded(limit) for limit in (-1, 0, 1, 50, 100, 101, 500)] == [1, 1, 1, 50, 100, 100, 100]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
task_fields = st.sampled_from(sorted(wire_task(1)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(task_fields, json_values, max_size=4), max_size=3))
def test_whatever_a_server_sends_the_good_items_stay(changes: list[dict[str, Any]]) -> None:
    items: list[object] = [wire_task(1), *({**wire_task(2), **change} for change in changes), wire_task(3)]
    found = decode_page(page(items), Task)
    assert len(found.items) + found.unreadable == len(items)
    assert (found.items[0].slug, found.items[-1].slug) == ("BUR-1", "BUR-3")
    assert decode_tasks(encode_tasks(found.items)) == found.items


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_body_raises_anything_but_our_own_errors(body: bytes) -> None:
    for decode in (decode_page, decode_one):
        with contextlib.suppress(BurrowError):
            decode(answer(body), Task)
