"""One workspace process for the tests of a module, reset before each of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RunningWorkspace, start_workspace_process
from tests.workspace.lab import Lab
from tests.workspace.store_client import Store
from tests.workspace.store_upstream import scripted_upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workspace.store_upstream import Upstream


@pytest.fixture(scope="module")
def shared_workspace(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningWorkspace]:
    """A workspace process shared by the module, started with its `WORKSPACE_ARGUMENTS` if it has any."""
    data = tmp_path_factory.mktemp("workspace")
    with start_workspace_process(data, *getattr(request.module, "WORKSPACE_ARGUMENTS", ())) as process:
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


@pytest.fixture
def store(lab: Lab) -> Store:
    """The store of MCP servers, asked as the person who signs in."""
    return Store(lab)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A vendor's server that does as a test says."""
    with scripted_upstream() as script:
        yield script
