"""One workspace process for the tests of a module, reset before each of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RunningWorkspace
from tests.workspace.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorkspace]:
    """A workspace process shared by the module."""
    data = tmp_path_factory.mktemp("workspace")
    with subprocess.Popen(
        [sys.executable, "-m", "app", "workspace", "--watch-stdin", "--data", str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = json.loads(process.stdout.readline())
        yield RunningWorkspace(ready["url"], ready, process, data)
        process.stdin.close()
        process.wait(5)


@pytest.fixture(scope="module")
def shared_lab(shared_workspace: RunningWorkspace) -> Iterator[Lab]:
    with Lab(shared_workspace) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The shared workspace with faults, counters and clock reset."""
    shared_lab.switch("reset")
    yield shared_lab
    shared_lab.switch("reset")
