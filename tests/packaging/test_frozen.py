"""The frozen application does what the source does: version, workspace, command line, and the window on a desktop."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

import app
from tests.packaging.conftest import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.packaged


def data_of(finished: subprocess.CompletedProcess[str]) -> Any:
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_the_build_says_which_version_it_is(run_burrow: Run) -> None:
    finished = run_burrow("--version")
    assert finished.returncode == 0, finished.stderr
    assert app.__version__ in finished.stdout


def test_it_finds_all_that_it_needs_on_this_machine_and_no_plugins_of_another_qt(
    run_burrow: Run, frozen_folder: Path, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    plain_environment["QT_PLUGIN_PATH"] = str(tmp_path)
    found = data_of(run_burrow("self-test"))
    folders = found["window"]["plugin_folders"]
    assert folders
    assert all(folder.startswith(str(frozen_folder)) for folder in folders)
    assert found["trouble"] == []
    assert found["installation"] == "folder"
    assert found["window"]["platform"] == "offscreen"
    assert found["openssl"]


def test_the_workspace_is_the_same_executable_and_ends_with_its_parent(
    burrow: Path, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [str(burrow), "workspace", "--watch-stdin", "--data", str(tmp_path / "workspace")]
    with running(command, plain_environment) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = json.loads(process.stdout.readline())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{ready['url']}/.well-known/oauth-authorization-server", timeout=10
        ) as answer:
            assert json.load(answer)["token_endpoint"].startswith(ready["url"])
        process.stdin.close()
        assert process.wait(10) == 0


def test_tasks_and_tools_are_listed_on_the_command_line(run_burrow: Run) -> None:
    tasks = data_of(run_burrow("tasks", "list", "--host", "workspace", "--json"))
    assert len(tasks) >= 10
    servers = data_of(run_burrow("mcp", "servers", "--host", "workspace", "--json"))
    assert len(servers) >= 3
    tools = data_of(run_burrow("mcp", "tools", "workspace", "--host", "workspace", "--json"))
    assert {"name", "inputSchema"} <= tools[0].keys()
