"""The tasks API over the wire: the whole object, filters, pages, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.workspace.lab import Lab, Tokens

BASE = "/api/projects/1/tasks/"
TASK_FIELDS = {
    "id", "task_number", "slug", "title", "title_manually_set", "description", "origin_product", "runtime",
    "repository", "repositories", "github_integration", "github_user_integration", "json_schema", "signal_report",
    "internal", "archived", "archived_at", "latest_run", "created_at", "updated_at", "last_activity_at",
    "created_by", "ci_prompt", "channel", "slack_thread_references",
}  # fmt: skip


class Api:
    """The tasks API with one bearer."""

    def __init__(self, lab: Lab, held: Tokens) -> None:
        self.lab = lab
        self.held = held

    def call(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        return self.lab.http.request(method, BASE + path, headers=self.held.header, **options)

    def get(self, path: str = "", **query: Any) -> Any:
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, **body: Any) -> Any:
        answer = self.call("POST", json={"description": "Do it", **body})
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
def api(lab: Lab) -> Iterator[Api]:
    """The API; what the test created is deleted afterwards."""
    api = Api(lab, lab.sign_in())
    before = {task["id"] for task in api.get(archived="all", limit=100)["results"]}
    yield api
    lab.switch("reset")
    held = Api(lab, lab.sign_in())
    for task in held.get(archived="all", limit=100)["results"]:
        if task["id"] not in before:
            held.call("DELETE", f"{task['id']}/")


def titles(page: Any) -> set[str]:
    return {task["title"] for task in page["results"]}


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "description", "required"),
        ({"description": "", "title": " "}, "description", "required"),
        ({"description": 7}, "description", "invalid"),
        ({"description": "a\x00b"}, "description", "null_characters_not_allowed"),
        ({"description": "x", "title": "t" * 256}, "title", "max_length"),
        ({"description": "x", "origin_product": "moon"}, "origin_product", "invalid_choice"),
        ({"description": "x", "origin_product": "onboarding"}, "origin_product", "invalid"),
        ({"description": "x", "repository": "no slash"}, "repository", "invalid"),
        ({"description": "x", "repositories": ["a/b"]}, "github_integration", "required"),
        ({"description": "x", "repositories": ["a/b"] * 11}, "repositories", "max_length"),
        ({"description": "x", "repositories": "a/b"}, "repositories", "not_a_list"),
        ({"description": "x", "github_integration": 7}, "github_integration", "does_not_exist"),
        ({"description": "x", "github_integration": 10**30}, "github_integration", "max_value"),
        ({"description": "x", "json_schema": []}, "json_schema", "invalid"),
        ({"description": "x", "signal_report": str(uuid4())}, "signal_report", "invalid"),
        ({"description": "x", "channel": "nope"}, "channel", "invalid"),
        ({"description": "x", "runtime": "moon"}, "runtime", "invalid_choice"),
        ({"description": "x", "archived": "yes"}, "archived", "invalid"),
        ({"description": "x", "model": "m"}, "runtime_adapter", "required"),
    ],
)
def test_a_bad_task_is_refused_with_the_field_that_is_wrong(
    api: Api, body: dict[str, Any], attr: str, code: str
) -> None:
    answer = api.call("POST", json=body)
    assert answer.status_code == 400
    found = answer.json()
    assert (found["type"], found["attr"], found["code"]) == ("validation_error", attr, code)


def test_what_is_no_json_object_is_refused(api: Api) -> None:
    json_header = {**api.held.header, "Content-Type": "application/json"}
    for content, status, code in (
        (b"{", 400, "parse_error"),
        (b'{"description": NaN}', 400, "parse_error"),
        (b"\xff", 400, "parse_error"),
        (b"[" * 50_000, 400, "parse_error"),
        (b"[]", 400, "invalid"),
    ):
        answer = api.lab.http.post(BASE, content=content, headers=json_header)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    form = api.call("POST", data={"description": "x"})
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")
    huge = api.call("POST", json={"description": "x" * (4 * 1024 * 1024 + 1)})
    assert huge.status_code == 413


def test_a_lone_surrogate_is_refused_in_text_and_survives_in_free_json(api: Api) -> None:
    header = {**api.held.header, "Content-Type": "application/json"}
    refused = api.lab.http.post(BASE, content=b'{"description": "\\ud800"}', headers=header)
    assert refused.status_code == 400
    kept = api.lab.http.post(BASE, content=b'{"description": "x", "json_schema": {"a": "\\ud800"}}', headers=header)
    assert kept.status_code == 201
    assert b"\\ud800" in kept.content


def test_an_unknown_task_or_project_is_not_found(api: Api) -> None:
    for path in (f"{uuid4()}/", "nonsense/", f"{uuid4()}/runs/", "x/pin/"):
        method = "POST" if path.endswith("pin/") else "GET"
        answer = api.call(method, path, json={"pinned": True} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for project in ("2", "abc", "9" * 40, "-1"):
        answer = api.lab.http.get(f"/api/projects/{project}/tasks/", headers=api.held.header)
        assert answer.status_code == 404, project


def test_a_method_that_is_not_offered_is_a_405(api: Api) -> None:
    answer = api.call("DELETE")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_a_missing_trailing_slash_is_not_forgiven(api: Api) -> None:
    assert api.lab.http.get("/api/projects/1/tasks", headers=api.held.header).status_code == 404


def test_the_seed_has_a_dozen_tasks_in_different_states(api: Api) -> None:
    everything = api.get(archived="all", limit=100)
    assert everything["count"] == 12
    states = {(task["latest_run"] or {}).get("status") for task in everything["results"]}
    assert states == {None, "not_started", "completed", "failed", "cancelled"}
    assert any((task["latest_run"] or {}).get("error_message") for task in everything["results"])
    assert any(((task["latest_run"] or {}).get("output") or {}).get("pr_url") for task in everything["results"])
    assert len(api.get("pinned/")["task_ids"]) == 3
    assert all(set(task) == TASK_FIELDS for task in everything["results"])


def test_a_task_is_created_read_changed_and_deleted(api: Api) -> None:
    made = api.create(title="Mend the fence", description="Both posts", repository="Hedgerow/Shop")
    assert set(made) == TASK_FIELDS
    assert (made["title"], made["repository"], made["repositories"]) == (
        "Mend the fence",
        "hedgerow/shop",
        ["hedgerow/shop"],
    )
    assert made["slug"] == f"HED-{made['task_number']}"
    assert (made["origin_product"], made["latest_run"], made["archived"]) == ("user_created", None, False)
    assert made["created_by"]["email"] == "ana@example.org"
    path = f"{made['id']}/"
    assert api.get(path) == made
    changed = api.call("PATCH", path, json={"title": "Mend the gate", "title_manually_set": True}).json()
    assert (changed["title"], changed["title_manually_set"]) == ("Mend the gate", True)
    assert changed["updated_at"] > made["updated_at"]
    blank = api.call("PATCH", path, json={"title": " "})
    assert (blank.status_code, blank.json()["code"]) == (400, "blank")
    assert api.call("DELETE", path).status_code == 204
    assert api.call("GET", path).status_code == 404
    assert api.call("DELETE", path).status_code == 404


def test_numbers_are_never_used_twice(api: Api) -> None:
    first = api.create()
    api.call("DELETE", f"{first['id']}/")
    assert api.create()["task_number"] == first["task_number"] + 1


def test_a_task_without_a_title_takes_the_first_line(api: Api) -> None:
    assert api.create(description="\n  Paint it green\nand dry it")["title"] == "Paint it green"


def test_archiving_hides_a_task_and_can_be_undone(api: Api) -> None:
    made = api.create(title="To be archived")
    archived = api.call("PATCH", f"{made['id']}/", json={"archived": True}).json()
    assert archived["archived_at"] is not None
    assert "To be archived" not in titles(api.get(limit=100))
    assert "To be archived" in titles(api.get(archived="true"))
    assert "To be archived" in titles(api.get(archived="all", limit=100))
    back = api.call("PATCH", f"{made['id']}/", json={"archived": False}).json()
    assert (back["archived"], back["archived_at"]) == (False, None)


def test_pins_belong_to_the_person(api: Api) -> None:
    made = api.create(title="Pinned here")
    assert api.call("POST", f"{made['id']}/pin/", json={"pinned": True}).status_code == 200
    assert made["id"] in api.get("pinned/")["task_ids"]
    assert "Pinned here" in titles(api.get(pinned="true"))
    assert "Pinned here" not in titles(api.get(pinned="false", limit=100))
    api.call("POST", f"{made['id']}/pin/", json={"pinned": False})
    assert made["id"] not in api.get("pinned/")["task_ids"]
    assert api.call("POST", f"{made['id']}/pin/", json={}).json()["attr"] == "pinned"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"search": "safari"}, {"Find out why checkout drops off on Safari"}),
        ({"search": "“NEW-CART”"}, {"Remove the feature flag “new-cart”"}),
        ({"search": "HED-9"}, {"Send a reminder when a reserved book arrives"}),
        ({"search": "100 %"}, {"Remove the feature flag “new-cart”"}),
        ({"search": "nothing like it"}, set()),
        ({"status": "completed", "repository": "hedgerow/api"}, {"Make the search box forgive typing errors"}),
        ({"repository": "mobile"}, {"Let people reorder their wish list by dragging"}),
        ({"organization": "elsewhere"}, set()),
        ({"origin_product": "error_tracking"}, {"Explain the spike of errors on Tuesday evening"}),
        ({"pr_state": "draft"}, {"Remove the feature flag “new-cart”"}),
        ({"ci_status": "failed"}, {"Remove the feature flag “new-cart”"}),
        ({"stage": "plan"}, {"Let people reorder their wish list by dragging"}),
        ({"created_by": "2"}, set()),
        ({"internal": "true"}, set()),
        ({"mentions": "1"}, set()),
        ({"channel": str(uuid4())}, set()),
    ],
)
def test_filters_narrow_the_list(api: Api, query: dict[str, str], expected: set[str]) -> None:
    assert titles(api.get(**query)) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"archived": "maybe"},
        {"status": "asleep"},
        {"created_by": "ana"},
        {"created_by": "9" * 30},
        {"channel": "x"},
        {"search": "a\x00"},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(api: Api, query: dict[str, str]) -> None:
    answer = api.call("GET", params=query)
    assert (answer.status_code, answer.json()["attr"]) == (400, next(iter(query)))


def test_pages_follow_next_and_are_cut_at_a_hundred(api: Api) -> None:
    for number in range(105):
        api.create(title=f"Page filler {number:03d}")
    first = api.get(search="page filler", limit=500)
    assert (first["count"], len(first["results"]), first["previous"]) == (105, 100, None)
    assert first["next"].startswith(f"{api.lab.workspace.url}{BASE}?")
    rest = api.lab.http.get(first["next"], headers=api.held.header).json()
    assert (len(rest["results"]), rest["next"]) == (5, None)
    assert api.lab.http.get(rest["previous"], headers=api.held.header).json()["results"] == first["results"]
    seen = titles(first) | titles(rest)
    assert len(seen) == 105
    assert len(api.get(search="page filler")["results"]) == 50
    assert api.get(search="page filler", offset=1000)["results"] == []
    for query in ({"limit": "-1"}, {"limit": "x"}, {"offset": "x"}, {"limit": "0"}):
        assert len(api.get(search="page filler", **query)["results"]) == 50
    for task in api.get(search="page filler", limit=100)["results"]:
        api.call("DELETE", f"{task['id']}/")


def test_the_newest_come_first_unless_asked_otherwise(api: Api) -> None:
    moments = [task["created_at"] for task in api.get()["results"]]
    assert moments == sorted(moments, reverse=True)
    moments = [task["created_at"] for task in api.get(ordering="created_at")["results"]]
    assert moments == sorted(moments)
    moments = [task["last_activity_at"] for task in api.get(ordering="-last_activity_at")["results"]]
    assert moments == sorted(moments, reverse=True)
    assert api.get(ordering="moon") == api.get()


def test_summaries_carry_what_polling_needs(api: Api) -> None:
    ids = [task["id"] for task in api.get()["results"]]
    answer = api.call("POST", "summaries/", json={"ids": [*ids, str(uuid4())]}, params={"limit": 3}).json()
    assert (answer["count"], len(answer["results"])) == (len(ids), 3)
    assert set(answer["results"][0]) == {
        "id",
        "title",
        "repository",
        "created_at",
        "updated_at",
        "origin_product",
        "latest_run",
    }
    assert {"status", "environment"} == set(
        next(row["latest_run"] for row in api.call("POST", "summaries/", json={"ids": ids}).json()["results"]
             if row["latest_run"])
    )  # fmt: skip
    assert answer["next"] is not None
    for body in ({}, {"ids": ["x"]}, {"ids": "x"}, {"ids": [str(uuid4())] * 5001}):
        assert api.call("POST", "summaries/", json=body).json()["attr"] == "ids"


def test_search_finds_tasks_and_their_pull_requests(api: Api) -> None:
    found = api.get("search/", q="pull/481")
    assert [(row["kind"], row["title"]) for row in found] == [("pull_request", "hedgerow/shop/pull/481")]
    found = api.get("search/", q="checkout", limit=1)
    assert len(found) == 1
    assert api.get("search/") == []


def test_the_small_lists_have_their_own_shapes(api: Api) -> None:
    assert api.get("repositories/") == {"repositories": ["hedgerow/api", "hedgerow/mobile", "hedgerow/shop"]}
    assert api.get("repository_readiness/", repository="a/b")["ready"] is False
    assert api.get("repository_readiness/", repository="hedgerow/shop")["ready"] is True
