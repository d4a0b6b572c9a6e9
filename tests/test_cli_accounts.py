"""Several accounts in one data folder: each is named, listed, and ends by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests._command import DataFolder
from tests.conftest import RunningWorkspace
from tests.second_person import KEY, add_ben
from tests.workspace.conftest import shared_lab, shared_workspace  # noqa: F401 - fixtures
from tests.workspace.lab import Lab

ANA, BEN = "ana@example.org", "ben@example.org"


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
    shared_workspace: RunningWorkspace,  # noqa: F811
    shared_lab: Lab,  # noqa: F811
) -> DataFolder:
    """Ana is signed in, and Ben beside her."""
    folder = DataFolder(tmp_path_factory.mktemp("both"))
    ana, ben = str(shared_lab.state()["personal_api_key"]), add_ben(shared_workspace.data)
    login = ("login", "--host", shared_workspace.url, "--token", "-")
    assert folder.run(*login, "--store", "file", stdin=ana).returncode == 0
    outcome = folder.run(*login, "--account", "work", stdin=ben)
    assert outcome.returncode == 0, outcome.stderr
    return folder


@pytest.fixture
def ana_alone(both: DataFolder, shared_workspace: RunningWorkspace) -> Iterator[DataFolder]:  # noqa: F811
    """Ben is signed out, and in again after the test."""
    assert both.run("logout", "--account", "work").returncode == 0
    yield both
    login = ("login", "--host", shared_workspace.url, "--token", "-", "--account", "work")
    assert both.run(*login, stdin=KEY).returncode == 0


def accounts(folder: DataFolder) -> dict[str, Any]:
    told = json.loads(folder.run("status", "--json").stdout)
    return {account["account"]: account for account in told["accounts"]}


def test_the_account_signed_in_to_last_is_the_one_that_commands_are_for(both: DataFolder) -> None:
    assert both.read("status")["account"] == BEN
    assert both.read("status", "--account", ANA)["account"] == ANA


def test_status_tells_all_accounts_and_where_each_is_kept(both: DataFolder) -> None:
    found = accounts(both)
    assert {name: (one["state"], one["store"], one["slot"]) for name, one in found.items()} == {
        ANA: ("signed_in", "file", None),
        BEN: ("signed_in", "file", "work"),
    }
    told = both.run("status").stdout
    assert told.index(BEN) < told.index(ANA)
    assert told.count(BEN) == 1


def test_status_of_one_account_tells_no_other(both: DataFolder) -> None:
    record = both.read("status", "--account", "work")
    assert record["account"] == BEN
    assert "accounts" not in record
    assert ANA not in both.run("status", "--account", "WORK").stdout


def test_a_task_is_created_by_the_account_that_is_named(both: DataFolder) -> None:
    made = both.read("tasks", "create", "What is to be done", "--title", "Ana's", "--account", ANA)
    assert made["id"] in {task["id"] for task in both.read("tasks", "list", "--account", ANA)}


@pytest.mark.parametrize("command", [("status",), ("tasks", "list"), ("mcp", "servers"), ("logout",)])
def test_an_account_that_is_not_there_is_named_with_those_that_are(both: DataFolder, command: tuple[str, ...]) -> None:
    outcome = both.run(*command, "--account", "eve@example.org")
    assert outcome.returncode == 5
    assert "There is no account eve@example.org" in outcome.stderr
    assert ANA in outcome.stderr
    assert f"{BEN} (work)" in outcome.stderr


def test_signing_out_of_one_account_leaves_the_other(ana_alone: DataFolder) -> None:
    assert set(accounts(ana_alone)) == {ANA}
    # Commands without a name stay with the account used last, and say that it is signed out.
    assert ana_alone.run("tasks", "list").returncode == 3
    assert ana_alone.run("tasks", "list", "--account", ANA).returncode == 0
    assert ana_alone.run("tasks", "list", "--account", "work").returncode == 5


def test_a_folder_without_any_account_says_how_to_sign_in(tmp_path: Path) -> None:
    outcome = DataFolder(tmp_path).run("status")
    assert outcome.returncode == 3
    assert "burrow login" in outcome.stderr
