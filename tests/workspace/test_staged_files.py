"""Uploading files for a run: what is refused, and that an upload needs its key instead of a token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.workspace.lab import Lab

TASKS = "/api/projects/1/tasks/"
FILE = {"name": "a.txt", "type": "user_attachment", "size": 4, "content_type": "text/plain"}


class Staging:
    """The staged files of one task."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.header = lab.sign_in().header
        made = lab.http.post(TASKS, json={"title": "Files", "description": "d"}, headers=self.header)
        self.path = f"{TASKS}{made.json()['id']}/"

    def call(self, path: str, body: object) -> httpx.Response:
        return self.lab.http.post(self.path + path, json=body, headers=self.header)

    def prepare(self, **changes: object) -> Any:
        answer = self.call("staged_artifacts/prepare_upload/", {"artifacts": [FILE | changes]})
        assert answer.status_code == 200, answer.text
        return answer.json()["artifacts"][0]

    def upload(self, prepared: Any, content: bytes = b"four", **fields: str) -> httpx.Response:
        post = prepared["presigned_post"]
        return self.lab.http.post(post["url"], data=post["fields"] | fields, files={"file": ("a.txt", content)})

    def finalize(self, prepared: Any) -> httpx.Response:
        body = {"artifacts": [{"storage_path": prepared["storage_path"]}]}
        return self.call("staged_artifacts/finalize_upload/", body)


@pytest.fixture
def staging(lab: Lab) -> Iterator[Staging]:
    made = Staging(lab)
    yield made
    lab.http.delete(made.path, headers=made.header)


@pytest.mark.parametrize(
    ("artifacts", "attr"),
    [
        (None, "artifacts"),
        ([], "artifacts"),
        (["a"], "artifacts"),
        ([FILE] * 101, "artifacts"),
        ([FILE | {"size": 4 * 2**20}], "size"),
        ([FILE | {"size": -1}], "size"),
        ([FILE | {"size": "4"}], "size"),
        ([FILE | {"name": ""}], "name"),
        ([FILE | {"type": "unheard-of"}], "type"),
    ],
)
def test_files_that_cannot_be_taken_are_refused_with_the_field(staging: Staging, artifacts: object, attr: str) -> None:
    answer = staging.call("staged_artifacts/prepare_upload/", {"artifacts": artifacts})
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_an_upload_without_its_key_or_of_another_size_is_refused(staging: Staging) -> None:
    prepared = staging.prepare()
    assert staging.upload(prepared, key="guessed").status_code == 403
    assert staging.upload(prepared, b"other size").status_code == 400
    assert staging.lab.http.post(prepared["presigned_post"]["url"], content=b"no form").status_code == 400
    assert staging.finalize(prepared).status_code == 400


def test_a_file_of_another_task_and_one_that_was_not_confirmed_do_not_go_with_a_run(staging: Staging, lab: Lab) -> None:
    prepared = staging.prepare()
    assert staging.upload(prepared).status_code == 204
    asked = {"pending_user_artifact_ids": [prepared["id"]]}
    assert staging.call("run/", asked).json()["code"] == "missing_artifacts"
    other = Staging(lab)
    assert other.finalize(prepared).status_code == 404
    assert staging.finalize(prepared).status_code == 200
    assert other.call("run/", asked).json()["code"] == "missing_artifacts"
    assert staging.call("run/", asked).json()["latest_run"]["state"]["pending_user_artifact_ids"] == [prepared["id"]]
    lab.http.delete(other.path, headers=other.header)
