"""Runs that an agent carries out, seen by a client: the stream as it comes, the log as it is stored, commands."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.workspace.lab import Lab, Tokens

TASKS = "/api/projects/1/tasks/"
SECONDS = 20.0
MODEL = {"runtime_adapter": "claude", "model": "survey-small", "initial_permission_mode": "acceptEdits"}


class Person:
    """Somebody who is signed in."""

    def __init__(self, lab: Lab, held: Tokens) -> None:
        self.lab = lab
        self.header = held.header
        self._runs: list[Run] = []

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.lab.http.request(method, path, headers=self.header, **options)

    def task(self, description: str, repository: str | None = "hedgerow/shop") -> str:
        made = self.call("POST", TASKS, json={"description": description, "repository": repository})
        assert made.status_code == 201, made.text
        return f"{TASKS}{made.json()['id']}/"

    def run(self, task: str, **body: Any) -> Run:
        """Start a run of a task, interactive and without permissions unless told otherwise."""
        answer = self.call("POST", f"{task}run/", json={"mode": "interactive", **MODEL, **body})
        assert answer.status_code == 200, answer.text
        return self.follow(task, answer.json()["latest_run"]["id"])

    def follow(self, task: str, run_id: str) -> Run:
        run = Run(self, task, run_id)
        self._runs.append(run)
        return run

    def end_runs(self) -> None:
        for run in self._runs:
            self.call("POST", f"{run.path}cancel/", json={})
            run.until_ended()

    def survey(self, description: str, *, repository: str | None = "hedgerow/shop", **body: Any) -> Run:
        return self.run(self.task(description, repository), **body)


class Run:
    """One run. `events` are those of its stream, read by a thread from the first moment."""

    def __init__(self, person: Person, task: str, run_id: str) -> None:
        self.person = person
        self.task = task
        self.id = run_id
        self.path = f"{task}runs/{run_id}/"
        self.events: list[dict[str, Any]] = []
        self.names: list[str] = []
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def get(self) -> Any:
        return self.person.call("GET", self.path).json()

    def command(self, method: str, **params: Any) -> httpx.Response:
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": "c-1"}
        return self.person.call("POST", f"{self.path}command/", json=body)

    def result(self, method: str, **params: Any) -> Any:
        answer = self.command(method, **params)
        assert answer.status_code == 200, answer.text
        assert "result" in answer.json(), answer.text
        return answer.json()["result"]

    def stored(self) -> list[dict[str, Any]]:
        """The messages in the log."""
        entries = self.person.call("GET", f"{self.path}session_logs/", params={"limit": 5000}).json()
        return [entry["notification"] for entry in entries]

    def live(self) -> list[dict[str, Any]]:
        """The messages that the stream has brought."""
        return [event["notification"] for event in self.events if "notification" in event]

    def questions(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("type") == "permission_request"]

    def until(self, condition: Callable[[], Any]) -> Any:
        """What `condition` returns once that is true."""
        end = time.monotonic() + SECONDS
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < end, json.dumps([self.get(), self.live()[-5:]])[:3000]
            time.sleep(0.01)

    def until_turns(self, number: int) -> list[str]:
        """The reasons why the turns ended, once there are so many."""
        return self.until(lambda: reasons if len(reasons := stop_reasons(self.live())) >= number else None)

    def until_ended(self) -> Any:
        """The run once it has ended, and its stream too."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), json.dumps([self.get(), self.live()[-5:]])[:3000]
        return self.get()

    def follow(self, last_event_id: str | None = None, **query: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Names, ids and data of the stream's events."""
        header = {**self.person.header, **({"Last-Event-ID": last_event_id} if last_event_id else {})}
        url = f"{self.path}stream/"
        with self.person.lab.http.stream("GET", url, headers=header, params=query, timeout=SECONDS) as answer:
            name = number = ""
            for line in answer.iter_lines():
                kind, _, value = line.partition(": ")
                if kind == "event":
                    name = value
                elif kind == "id":
                    number = value
                elif kind == "data":
                    yield name, number, json.loads(value)
                    name = number = ""

    def follow_until_question(
        self, last_event_id: str | None = None, **query: str
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The events up to the permission request that is open."""
        for event in self.follow(last_event_id, **query):
            yield event
            if event[2].get("type") == "permission_request":
                return

    def follow_once(self, **query: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The events up to the run's state."""
        for event in self.follow(**query):
            yield event
            if event[2].get("type") == "task_run_state":
                return

    def _follow(self) -> None:
        # A test that fails leaves it behind; then the workspace goes.
        with contextlib.suppress(httpx.HTTPError):
            for name, _, data in self.follow():
                self.names.append(name)
                self.events.append(data)


def stop_reasons(messages: list[dict[str, Any]]) -> list[str]:
    return [each["params"]["stopReason"] for each in messages if each.get("method") == "_posthog/turn_complete"]


def updates(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = [each["params"]["update"] for each in messages if each.get("method") == "session/update"]
    return [each for each in found if each["sessionUpdate"] == kind]


def text_of(messages: list[dict[str, Any]], kind: str) -> str:
    return "".join(each["content"]["text"] for each in updates(messages, kind))


def methods(messages: list[dict[str, Any]]) -> list[str]:
    return [each["method"] for each in messages if "method" in each]
