"""Runs over the wire: queueing, bootstrap, change, cancel, logs and the event stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.workspace.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RunningWorkspace

TASKS = "/api/projects/1/tasks/"
RUN_FIELDS = {
    "id", "task", "team", "stage", "branch", "status", "environment", "runtime_adapter", "provider", "model",
    "reasoning_effort", "log_url", "error_message", "output", "state", "artifacts", "created_at", "updated_at",
    "completed_at",
}  # fmt: skip


class Task:
    """One task and its runs."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.header = lab.sign_in().header
        made = lab.http.post(TASKS, json={"title": "Runs", "description": "d"}, headers=self.header)
        self.path = f"{TASKS}{made.json()['id']}/"

    def call(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        return self.lab.http.request(method, self.path + path, headers=self.header, **options)

    def run(self, **body: Any) -> Any:
        answer = self.call("POST", "runs/", json={"environment": "cloud", **body})
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
def task(lab: Lab) -> Iterator[Task]:
    task = Task(lab)
    yield task
    task.call("DELETE")


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({"mode": "sleepy"}, "mode", "invalid_choice"),
        ({"environment": "moon"}, "environment", "invalid_choice"),
        ({"model": "m"}, "runtime_adapter", "required"),
        ({"runtime_adapter": "claude"}, "model", "required"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "invalid"),
        ({"runtime_adapter": "codex", "model": "survey-large"}, "model", "invalid"),
        (
            {"runtime_adapter": "claude", "model": "survey-small", "reasoning_effort": "max"},
            "reasoning_effort",
            "invalid",
        ),
        ({"initial_permission_mode": "plan"}, "initial_permission_mode", "invalid"),
        (
            {"runtime_adapter": "codex", "model": "m", "initial_permission_mode": "acceptEdits"},
            "initial_permission_mode",
            "invalid_choice",
        ),
        ({"pr_authorship_mode": "user"}, "pr_authorship_mode", "github_authorization_required"),
        ({"resume_from_run_id": "x"}, "resume_from_run_id", "invalid"),
        ({"resume_from_run_id": str(uuid4())}, "resume_from_run_id", "does_not_exist"),
        ({"sandbox_environment_id": str(uuid4())}, "sandbox_environment_id", "does_not_exist"),
        ({"pending_user_artifact_ids": ["a"]}, "pending_user_artifact_ids", "missing_artifacts"),
        (
            {"imported_mcp_servers": [{"type": "http", "name": "posthog", "url": "u"}]},
            "imported_mcp_servers",
            "invalid",
        ),
        ({"imported_mcp_servers": [{}] * 21}, "imported_mcp_servers", "invalid"),
        ({"imported_mcp_servers": [{"name": "x" * 40_000}]}, "imported_mcp_servers", "invalid"),
        ({"relayed_mcp_servers": ["a"]}, "relayed_mcp_servers", "invalid"),
    ],
)
def test_a_bad_run_is_refused_with_the_field_that_is_wrong(
    task: Task, body: dict[str, Any], attr: str, code: str
) -> None:
    answer = task.call("POST", "runs/", json=body)
    assert answer.status_code == 400
    assert (answer.json()["attr"], answer.json()["code"]) == (attr, code)


def test_one_call_queues_a_cloud_run(task: Task) -> None:
    body = {
        "mode": "interactive",
        "branch": "main",
        "runtime_adapter": "claude",
        "model": "m-1",
        "reasoning_effort": "high",
        "initial_permission_mode": "plan",
        "pr_authorship_mode": "bot",
        "run_source": "manual",
    }
    answer = task.call("POST", "run/", json=body)
    assert answer.status_code == 200
    run = answer.json()["latest_run"]
    assert set(run) == RUN_FIELDS
    assert (run["status"], run["environment"], run["provider"], run["branch"]) == (
        "queued",
        "cloud",
        "anthropic",
        "main",
    )
    assert run["state"]["initial_permission_mode"] == "plan"
    assert run["state"]["pr_base_branch"] == "main"
    assert task.call("GET", f"runs/{run['id']}/").json() == run


def test_a_bootstrapped_run_is_local_by_default_and_starts_once_in_the_cloud(task: Task) -> None:
    local = task.call("POST", "runs/", json={}).json()
    assert local["environment"] == "local"
    assert task.call("POST", f"runs/{local['id']}/start/", json={}).status_code == 400
    assert task.call("POST", f"runs/{local['id']}/cancel/", json={}).status_code == 400
    cloud = task.run()
    assert (local["status"], cloud["status"]) == ("queued", "not_started")
    started = task.call("POST", f"runs/{cloud['id']}/start/", json={"pending_user_message": "Go"})
    assert started.status_code == 200
    assert started.json()["latest_run"]["state"]["pending_user_message"] == "Go"
    assert started.json()["latest_run"]["status"] == "queued"


def test_runs_are_listed_newest_first(task: Task) -> None:
    ids = [task.run()["id"] for _ in range(3)]
    page = task.call("GET", "runs/", params={"limit": 2}).json()
    assert (page["count"], [run["id"] for run in page["results"]]) == (3, ids[::-1][:2])
    assert page["next"] is not None


def test_a_run_changes_until_it_has_ended(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    body = {"status": "in_progress", "stage": "build", "state": {"a": 1, "b": 2}}
    assert task.call("PATCH", path, json=body).json()["status"] == "in_progress"
    changed = task.call("PATCH", path, json={"state": {"c": 3}, "state_remove_keys": ["a"]}).json()
    assert (changed["state"]["b"], changed["state"]["c"], "a" in changed["state"]) == (2, 3, False)
    done = task.call("PATCH", path, json={"status": "completed", "output": {"pr_url": "https://x"}}).json()
    assert done["completed_at"] is not None
    assert task.call("PATCH", path, json={"status": "failed", "error_message": "late"}).json() == done
    output = task.call("PATCH", f"{path}set_output/", json={"output": {"commit": "1"}}).json()
    assert output["output"] == {"commit": "1"}
    for bad in ({"status": "x"}, {"environment": "cloud"}, {"output": []}, {"state_remove_keys": "a"}):
        assert task.call("PATCH", path, json=bad).status_code == 400
    assert task.call("PATCH", f"{path}set_output/", json={}).json()["code"] == "required"


def test_cancelling_is_accepted_and_then_already_done(task: Task) -> None:
    path = f"runs/{task.run()['id']}/cancel/"
    first = task.call("POST", path, json={"reason": "wrong branch"})
    assert (first.status_code, first.json()["status"]) == (202, "cancelled")
    assert task.call("POST", path, json={}).status_code == 200
    assert task.call("POST", path, json={"reason": "x" * 501}).status_code == 400


def test_a_run_resumes_one_of_its_own_task(task: Task) -> None:
    first = task.run()
    entry = {"type": "notification", "timestamp": "2026-01-01T00:00:00Z", "notification": {"method": "a"}}
    task.call("POST", f"runs/{first['id']}/append_log/", json={"entries": [entry]})
    second = task.run(resume_from_run_id=first["id"])
    assert second["state"]["resume_from_run_id"] == first["id"]
    lines = task.call("GET", f"runs/{second['id']}/logs/")
    assert lines.headers["content-type"] == "application/jsonl"
    assert [json.loads(line) for line in lines.text.splitlines()] == [entry]


def test_session_logs_are_a_bare_array_with_counts_in_headers(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    empty = task.call("GET", f"{path}session_logs/")
    assert (empty.json(), empty.headers["x-total-count"], empty.headers["x-has-more"]) == ([], "0", "false")
    entries = [
        {"type": "notification", "timestamp": f"2026-01-01T00:00:0{n}Z", "notification": {"method": f"m/{n % 2}"}}
        for n in range(5)
    ]
    assert task.call("POST", f"{path}append_log/", json={"entries": entries}).status_code == 200
    first = task.call("GET", f"{path}session_logs/", params={"limit": 2})
    assert first.json() == entries[:2]
    assert (first.headers["x-total-count"], first.headers["x-has-more"]) == ("5", "true")
    only = task.call("GET", f"{path}session_logs/", params={"event_types": "m/1"})
    assert (only.json(), only.headers["x-matching-count"]) == (entries[1::2], "2")
    assert only.headers["x-filtered-count"] == "2"
    without = task.call("GET", f"{path}session_logs/", params={"exclude_types": "m/1", "offset": 1})
    assert without.json() == entries[2::2]
    after = task.call("GET", f"{path}session_logs/", params={"after": "2026-01-01T00:00:03Z"})
    assert after.json() == entries[4:]
    later = task.call("GET", f"{path}session_logs/", params={"after": "2026-01-01T01:00:02.5+01:00"})
    assert later.json() == entries[3:]
    assert task.call("GET", f"{path}session_logs/", params={"after": "soon"}).json()["attr"] == "after"
    update = {"method": "session/update", "params": {"update": {"sessionUpdate": "plan"}}}
    task.call("POST", f"{path}append_log/", json={"entries": [{"type": "notification", "notification": update}]})
    plans = task.call("GET", f"{path}session_logs/", params={"event_types": "plan"})
    assert [each["notification"] for each in plans.json()] == [update]
    for bad in ({}, {"entries": ["x"]}, {"entries": {}}):
        assert task.call("POST", f"{path}append_log/", json=bad).json()["attr"] == "entries"


def test_the_stream_tells_the_state_then_the_log_then_its_end(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    with task.lab.http.stream("GET", f"{task.path}{path}stream/", headers=task.header) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert json.loads(next(lines).removeprefix("data: "))["status"] == "not_started"
        task.call("POST", f"{path}append_log/", json={"entries": [{"type": "notification", "n": 1}]})
        task.call("POST", f"{path}cancel/", json={})
        rest = [line for line in lines if line]
    assert rest[0].startswith("id: log-")
    assert json.loads(rest[1].removeprefix("data: "))["n"] == 1
    assert json.loads(rest[2].removeprefix("data: "))["status"] == "cancelled"
    assert rest[3:] == ["event: stream-end", 'data: {"status":"complete"}']


def test_the_stream_resumes_after_the_last_event(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    task.call("POST", f"{path}append_log/", json={"entries": [{"n": 1}, {"n": 2}]})
    task.call("POST", f"{path}cancel/", json={})
    whole = task.call("GET", f"{path}stream/").text
    assert '"n":1' in whole
    first = whole.split("id: ", 1)[1].split("\n", 1)[0]
    header = {**task.header, "Last-Event-ID": first}
    resumed = task.lab.http.get(f"{task.path}{path}stream/", headers=header).text
    assert '"n":1' not in resumed
    assert '"n":2' in resumed
    assert '"n":' not in task.call("GET", f"{path}stream/", params={"start": "latest"}).text


def test_no_sandbox_takes_commands(task: Task) -> None:
    run = task.run()["id"]
    body = {"jsonrpc": "2.0", "method": "user_message", "params": {"content": "Hello"}, "id": "1"}
    answer = task.call("POST", f"runs/{run}/command/", json=body)
    assert (answer.status_code, answer.json()["type"], answer.json()["code"]) == (
        400,
        "runtime_unavailable",
        "sandbox_not_ready",
    )
    assert task.call("GET", f"runs/{run}/stream_token/").json()["stream_base_url"] is None


def test_a_conversation_is_cleared_after_its_end_only(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    early = task.call("POST", f"{path}clear_conversation/")
    assert (early.status_code, early.json()["error"]) == (409, "Run is still active; send /clear to its agent instead")
    task.call("POST", f"{path}cancel/", json={})
    assert task.call("POST", f"{path}clear_conversation/").json()["status"] == "cancelled"
    [entry] = task.call("GET", f"{path}session_logs/").json()
    assert entry["notification"]["method"] == "_posthog/conversation_cleared"


def test_what_runs_have_used_is_what_their_agents_said_last(task: Task) -> None:
    nothing = {"token_cost_usd": "0.00", "compute_cost_usd": "0.00", "total_cost_usd": "0.00"}
    counts = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert task.call("GET", "usage/").json() == {**nothing, **counts}
    context = {"sessionUpdate": "usage_update", "used": 70, "size": 1000, "cost": {"amount": 0.125, "currency": "USD"}}
    told: list[list[dict[str, Any]]] = [
        [
            {"id": 1, "result": {"stopReason": "end_turn", "usage": {"inputTokens": 5, "outputTokens": 6}}},
            {"id": 2, "result": {"usage": {"inputTokens": 10, "outputTokens": 20, "totalTokens": 33}}},
            {"id": 3, "result": {"stopReason": "end_turn"}},
        ],
        [{"method": "session/update", "params": {"update": context}}, {"method": "x", "params": {"usage": "usage"}}],
    ]
    for messages in told:
        entries = [{"type": "notification", "notification": each} for each in messages]
        task.call("POST", f"runs/{task.run()['id']}/append_log/", json={"entries": entries})
    used = task.call("GET", "usage/").json()
    assert {name: used[name] for name in counts} == {"input_tokens": 10, "output_tokens": 20, "total_tokens": 103}
    assert (used["token_cost_usd"], used["total_cost_usd"]) == ("0.12", "0.12")


def test_a_stream_at_another_address_takes_its_own_token_only(task: Task) -> None:
    run, other = task.run()["id"], task.run()["id"]
    task.call("POST", f"runs/{run}/append_log/", json={"entries": [{"n": 1}]})
    for each in (run, other):
        task.call("POST", f"runs/{each}/cancel/", json={})
    assert task.call("GET", f"runs/{run}/stream_token/").json()["stream_base_url"] is None
    task.lab.switch("runs", stream_elsewhere=True, duplicate_events=True)
    given = task.call("GET", f"runs/{run}/stream_token/").json()
    assert given["stream_base_url"] == task.lab.workspace.url
    other_token = task.call("GET", f"runs/{run}/connection_token/").json()["token"]
    bad = ("", "x", "Bearer x", f"Bearer {other_token}", f"Bearer {given['token'][:-2]}", task.header["Authorization"])
    for header in (*bad, f"Bearer {given['token'].swapcase()}"):
        refused = task.lab.http.get(f"/v1/runs/{run}/stream", headers={"Authorization": header} if header else {})
        assert (refused.status_code, refused.json()["code"]) == (401, "authentication_failed"), header
    good = {"Authorization": f"Bearer {given['token']}"}
    assert task.lab.http.get(f"/v1/runs/{other}/stream", headers=good).status_code == 401
    assert '"n":1' in task.lab.http.get(f"/v1/runs/{run}/stream", headers=good).text
    task.lab.switch("runs", kill_stream_tokens=True)
    assert task.lab.http.get(f"/v1/runs/{run}/stream", headers=good).status_code == 401


def test_a_run_of_another_task_is_not_found(task: Task) -> None:
    other = Task(task.lab)
    run = other.run()["id"]
    assert task.call("GET", f"runs/{run}/").status_code == 404
    other.call("DELETE")
    assert task.lab.http.get(f"{other.path}runs/{run}/", headers=task.header).status_code == 404


def test_what_was_created_is_there_after_a_restart(start_workspace: Any) -> None:
    first: RunningWorkspace = start_workspace()
    with Lab(first) as lab:
        held = lab.sign_in()
        made = lab.http.post(TASKS, json={"description": "Survive"}, headers=held.header).json()
        key = lab.state()["personal_api_key"]
    assert first.process.stdin is not None
    first.process.stdin.close()
    assert first.process.wait(5) == 0
    with Lab(start_workspace(data=first.data)) as lab:
        assert lab.http.get(f"{TASKS}{made['id']}/", headers=held.header).json() == made
        assert lab.refresh(held).status_code == 200
        assert lab.state()["personal_api_key"] == key
        count = lab.http.get(TASKS, params={"archived": "all"}, headers={"Authorization": f"Bearer {key}"})
        assert count.json()["count"] == 13


def streamed(task: Task, path: str, **query: str) -> tuple[int, str]:
    answer = task.lab.http.get(f"{task.path}{path}stream/", headers=task.header, params=query)
    return answer.status_code, answer.text


def test_the_timers_of_a_stream_can_be_short(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    task.lab.switch("runs", rotation_seconds=0.4, keepalive_seconds=0.05)
    _, text = streamed(task, path, start="latest")
    assert text.endswith('event: end\ndata: {"type":"rotated"}\n\n')
    assert text.count('event: keepalive\ndata: {"type":"keepalive"}\n\n') >= 2


def test_streams_are_refused_and_cut_as_the_contract_says(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    task.lab.switch("runs", stream="admission")
    answer = task.lab.http.get(f"{task.path}{path}stream/", headers=task.header)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    task.lab.switch("runs", stream="Backlog busy")
    assert streamed(task, path) == (200, 'event: error\ndata: {"error": "Backlog busy"}\n\n')
    with task.lab.http.stream("GET", f"{task.path}{path}stream/", headers=task.header) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert task.lab.switch("runs", cut_streams=True)["streams"] == 1
        with pytest.raises(httpx.HTTPError):
            list(lines)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("sandbox_not_ready", 400, "sandbox_not_ready"), ("unreachable", 502, "sandbox_unreachable"),
     ("refused", 502, "sandbox_unreachable"), ("timed_out", 504, "sandbox_timed_out")],
)  # fmt: skip
def test_an_agent_that_cannot_be_reached_is_no_matter_of_the_token(
    task: Task, kind: str, status: int, code: str
) -> None:
    run = task.run()["id"]
    task.lab.switch("runs", sandbox=kind)
    answer = task.call("POST", f"runs/{run}/command/", json={"method": "cancel"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_files_are_dismissed_and_brought_back(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    file = {"name": "a.md", "type": "output", "content": "x", "content_encoding": "utf-8"}
    [stored] = task.call("POST", f"{path}artifacts/", json={"artifacts": [file]}).json()["artifacts"]
    for bad in ({}, {"artifact_ids": []}, {"artifact_ids": [stored["id"]]}):
        assert task.call("POST", f"{path}artifacts/dismiss/", json=bad).status_code == 400
    unknown = {"artifact_ids": [stored["id"], "gone"], "dismissed": True}
    refused = task.call("POST", f"{path}artifacts/dismiss/", json=unknown)
    assert (refused.status_code, refused.json()["error"]) == (404, "Artifact not found on this run")
    for dismissed in (True, False):
        body = {"artifact_ids": [stored["id"]], "dismissed": dismissed}
        [shown] = task.call("POST", f"{path}artifacts/dismiss/", json=body).json()["artifacts"]
        assert shown["dismissed"] is dismissed
        assert task.call("GET", path).json()["artifacts"] == [shown]


def test_a_file_of_a_run_is_stored_at_once(task: Task) -> None:
    path = f"runs/{task.run()['id']}/"
    files = [
        {"name": "a.txt", "content": "ä", "content_type": "text/plain", "type": "output"},
        {"name": "b.bin", "content": "AAE=", "content_encoding": "base64"},
    ]
    stored = task.call("POST", f"{path}artifacts/", json={"artifacts": files}).json()["artifacts"]
    assert [(each["name"], each["size"]) for each in stored] == [("a.txt", 2), ("b.bin", 2)]
    assert task.call("GET", path).json()["artifacts"] == stored
    body = {"storage_path": stored[1]["storage_path"]}
    assert task.call("POST", f"{path}artifacts/download/", json=body).content == b"\x00\x01"
    other = f"runs/{task.run()['id']}/artifacts/download/"
    assert task.call("POST", other, json=body).status_code == 404
    bad = {"artifacts": [{"name": "c", "content": "?", "content_encoding": "base64"}]}
    assert task.call("POST", f"{path}artifacts/", json=bad).json()["attr"] == "content"
