"""The process: its ready line, its door, how it ends, and what it does with a database it cannot use."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.forks import Forked
from tests.workspace.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import RunningWorkspace

    Start = Callable[..., RunningWorkspace]


def database_of(workspace: RunningWorkspace) -> Path:
    return workspace.data / "workspace.sqlite3"


def stop(workspace: RunningWorkspace) -> None:
    assert workspace.process.stdin is not None
    workspace.process.stdin.close()
    assert workspace.process.wait(5) == 0


def set_aside(workspace: RunningWorkspace, word: str) -> Path:
    [kept] = [path for path in workspace.data.iterdir() if path.name.startswith(f"workspace.sqlite3.{word}-")]
    return kept


def test_the_ready_line_says_everything_a_parent_needs(start_workspace: Start) -> None:
    workspace = start_workspace()
    assert set(workspace.ready) == {"url", "secret", "pid", "client_id", "mcp_url", "version", "notices"}
    assert workspace.ready["notices"] == []
    assert workspace.ready["pid"] == workspace.process.pid
    assert len(workspace.secret) >= 43
    assert workspace.ready["mcp_url"] == f"{workspace.url}/mcp"
    runtime = workspace.data / "runtime.json"
    assert json.loads(runtime.read_text("utf-8")) == workspace.ready
    about = httpx.get(f"{workspace.url}/_workspace", trust_env=False).json()
    assert about == {
        "name": "burrow-workspace",
        "version": workspace.ready["version"],
        "mcp_url": workspace.ready["mcp_url"],
    }
    if sys.platform != "win32":
        assert runtime.stat().st_mode & 0o777 == 0o600
        assert database_of(workspace).stat().st_mode & 0o777 == 0o600
    stop(workspace)
    assert not runtime.exists()


def test_the_end_of_stdin_ends_the_process_with_a_stream_open(start_workspace: Start) -> None:
    workspace = start_workspace()
    with Lab(workspace) as lab:
        header = lab.sign_in().header
        tasks = lab.http.get("/api/projects/1/tasks/", params={"status": "not_started"}, headers=header).json()[
            "results"
        ]
        path = f"/api/projects/1/tasks/{tasks[0]['id']}/runs/{tasks[0]['latest_run']['id']}/stream/"
        with lab.http.stream("GET", path, headers=header) as stream:
            lines = stream.iter_lines()
            next(lines)
            began = time.monotonic()
            stop(workspace)
            assert time.monotonic() - began < 3


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to handle there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_with_a_request_in_flight(start_workspace: Start, number: signal.Signals) -> None:
    workspace = start_workspace()
    with Lab(workspace) as lab:
        lab.switch("path", path="/_workspace", delay=60)
        outcome: list[object] = []

        def ask() -> None:
            try:
                outcome.append(
                    httpx.get(f"{workspace.url}/_workspace", timeout=30, verify=False, trust_env=False).status_code
                )
            except httpx.TransportError as error:
                outcome.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        lab.wait_for_request("/_workspace")
        began = time.monotonic()
        workspace.process.send_signal(number)
        assert workspace.process.wait(5) == 0
        assert time.monotonic() - began < 3
        thread.join(5)
        assert len(outcome) == 1
        assert not (workspace.data / "runtime.json").exists()


# A workspace whose MCP server takes long to build, in a compiled extension that calls Python.
BUILDS = """
import app.workspace.mcp.mount
from app.workspace.__main__ import main
from pydantic import BaseModel, field_validator

class Model(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def check(cls, number):
        return sum(range(1000)) + number

def assemble(server):
    while True:
        Model(number=1)

app.workspace.mcp.mount._assemble = assemble
raise SystemExit(main(["--watch-stdin", "--data", "data"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_it_ends_cleanly_while_its_mcp_server_is_still_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "builds.py").write_text(BUILDS)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    for _ in range(3):
        with Forked("workspace", "builds", (), **pipes) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline()
            process.stdin.close()
            assert process.wait(5) == 0


@pytest.fixture(scope="module")
def used_folder(shared_workspace: RunningWorkspace) -> Path:
    """The data of a workspace that has stopped."""
    stop(shared_workspace)
    return shared_workspace.data


@pytest.fixture
def data(used_folder: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(used_folder, tmp_path / "used")


def test_a_damaged_database_is_set_aside_and_reported(start_workspace: Start, data: Path) -> None:
    damaged = b"not a database at all " * 500
    (data / "workspace.sqlite3").write_bytes(damaged)
    second = start_workspace(data=data)
    kept = set_aside(second, "damaged")
    assert kept.read_bytes() == damaged
    [notice] = second.ready["notices"]
    assert kept.name in notice
    with Lab(second) as lab:
        assert lab.me(lab.sign_in()).status_code == 200


def test_a_database_torn_in_the_middle_is_set_aside(start_workspace: Start, data: Path) -> None:
    whole = (data / "workspace.sqlite3").read_bytes()
    (data / "workspace.sqlite3").write_bytes(whole[: len(whole) // 2])
    second = start_workspace(data=data)
    assert set_aside(second, "damaged").exists()
    with Lab(second) as lab:
        assert lab.http.get("/api/projects/1/tasks/", headers=lab.sign_in().header).json()["count"] == 10


def test_a_database_of_a_newer_version_is_set_aside_unchanged(start_workspace: Start, data: Path) -> None:
    with sqlite3.connect(data / "workspace.sqlite3") as database:
        database.execute("UPDATE schema_versions SET version = 99 WHERE track = 'core'")
    database.close()
    second = start_workspace(data=data)
    assert "newer version" in second.ready["notices"][0]
    kept = sqlite3.connect(set_aside(second, "newer"))
    assert kept.execute("SELECT count(*) FROM tasks").fetchone() == (12,)
    kept.close()


def test_another_programs_database_is_set_aside(start_workspace: Start, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    other = sqlite3.connect(folder / "workspace.sqlite3")
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    workspace = start_workspace(data=folder)
    assert "another program" in workspace.ready["notices"][0]
    assert set_aside(workspace, "foreign").exists()


def test_two_processes_may_share_a_database(start_workspace: Start) -> None:
    first = start_workspace()
    second = start_workspace(data=first.data)
    with Lab(first) as here, Lab(second) as there:
        held = here.sign_in()
        assert there.me(held).status_code == 200
        there.refreshed(held)
        assert here.me(held).status_code == 401


def test_a_port_that_is_taken_is_an_error_not_a_trace(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "app", "workspace", "--port", port, "--data", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert ended.returncode == 1
    assert "is not free" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_token_reaches_the_log(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "app", "workspace", "--watch-stdin", "--data", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        from tests.conftest import RunningWorkspace

        with Lab(RunningWorkspace(ready["url"], ready, process, tmp_path)) as lab:
            held = lab.sign_in()
            lab.me(held)
            lab.refresh(held)
            lab.refresh(held)
            lab.http.get("/nowhere", headers=held.header)
        _, errors = process.communicate(timeout=10)
    assert "Traceback" not in errors
    for secret in (held.access, held.refresh, ready["secret"]):
        assert secret not in errors
