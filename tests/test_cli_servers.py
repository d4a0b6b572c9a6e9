"""`burrow mcp` on servers that are described on the command line, and on those that the user signed in to."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import httpx
import pytest

from app.workspace.vendors.names import CLOSED_CLIENT_ID, CLOSED_CLIENT_SECRET
from tests._command import SECONDS, STREAMS, DataFolder, started
from tests.workspace.conftest import lab, shared_lab, shared_workspace  # noqa: F401 - fixtures
from tests.workspace.lab import Lab
from tests.workspace.store_client import consent

PIPES = Path(__file__).parent / "core" / "_stdio_server.py"
AN_HOUR = 3700


@pytest.fixture
def nobody(tmp_path: Path) -> DataFolder:
    """A folder in which nobody ever signed in."""
    return DataFolder(tmp_path / "data")


@pytest.fixture
def stdio(tmp_path: Path) -> str:
    (tmp_path / "record").touch()
    return f"{sys.executable} {PIPES} {tmp_path / 'record'}"


@pytest.fixture(scope="module")
def ledger(shared_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[DataFolder, str]:  # noqa: F811
    """A folder in which somebody signed in to a vendor's server and to no host."""
    folder = DataFolder(tmp_path_factory.mktemp("ledger"))
    url = f"{shared_lab.workspace.url}/_vendor/ledger/mcp"
    sign_in(folder, shared_lab, url, "--title", "Ledger")
    return folder, url


def sign_in(folder: DataFolder, lab: Lab, url: str, *more: str, stdin: str = "") -> None:  # noqa: F811
    arguments = ("login", "--url", url, "--no-browser", "--store", "file", "--data", str(folder.data), *more)
    with started(*arguments, **STREAMS) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(stdin)
        process.stdin.close()
        assert process.stderr.readline() == "Open this address to sign in:\n"
        sent = consent(lab.http, process.stderr.readline().strip())
        assert httpx.get(sent.headers["location"], trust_env=False).status_code == 200
        assert process.wait(SECONDS) == 0, process.stderr.read()
        assert "Signed in to " in process.stderr.read()


def test_a_process_is_asked_for_its_tools_and_called(nobody: DataFolder, stdio: str) -> None:
    assert [tool["name"] for tool in nobody.read("mcp", "tools", "--stdio", stdio)] == ["run"]
    answer = nobody.read("mcp", "call", "run", "--stdio", stdio, "--args", '{"a": 1}')
    assert json.loads(answer["content"][0]["text"]) == {"a": 1}


def test_a_call_that_its_process_died_of_is_said_to_have_an_unknown_outcome(nobody: DataFolder, stdio: str) -> None:
    outcome = nobody.run("mcp", "call", "run", "--stdio", stdio, "--args", '{"do": "die"}')
    assert outcome.returncode == 6
    assert "Sent, outcome unknown" in outcome.stderr
    assert "fatal: no more disk" in outcome.stderr
    record = Path(stdio.split()[-1]).read_text().splitlines()
    assert len([line for line in record if line.startswith("ran")]) == 1


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (("--stdio", "/no/such/server"), 6, "cannot be started"),
        (("--stdio", "'"), 2, "not a command"),
        (("--stdio", ""), 2, "empty"),
        (("--url", "ftp://server.example"), 2, "must be https"),
        (("--url", "http://127.0.0.1:1/mcp"), 6, "cannot be reached"),
        (("--url", "http://127.0.0.1:1/mcp", "server"), 2, "usage: burrow"),
        (("--url", "http://127.0.0.1:1/mcp", "--stdio", "server"), 2, "usage: burrow"),
    ],
)
def test_what_cannot_be_reached_is_named(given: tuple[str, ...], code: int, words: str, nobody: DataFolder) -> None:
    outcome = nobody.run("mcp", "tools", *given)
    assert outcome.returncode == code, outcome.stderr
    assert words in outcome.stderr


def test_a_server_that_asks_for_a_sign_in_says_which_command_signs_in(nobody: DataFolder, lab: Lab) -> None:  # noqa: F811
    url = f"{lab.workspace.url}/_vendor/ledger/mcp"
    outcome = nobody.run("mcp", "tools", "--url", url)
    assert outcome.returncode == 3
    assert f"burrow login --url {url}" in outcome.stderr


def test_a_server_with_a_sign_in_is_called_by_its_address_and_by_its_title(
    ledger: tuple[DataFolder, str],
    lab: Lab,  # noqa: F811
) -> None:
    folder, url = ledger
    by_address = folder.read("mcp", "call", "list_invoices", "--url", url)
    assert folder.read("mcp", "call", "ledger", "list_invoices") == by_address
    assert [server["title"] for server in folder.read("mcp", "servers")] == ["Ledger"]


def test_its_token_that_has_run_out_is_refreshed_unseen(ledger: tuple[DataFolder, str], lab: Lab) -> None:  # noqa: F811
    folder, url = ledger
    lab.switch("advance-clock", seconds=AN_HOUR)
    outcome = folder.run("mcp", "call", "list_invoices", "--url", url)
    assert outcome.returncode == 0, outcome.stderr
    assert not outcome.stderr


def test_status_tells_the_sign_ins_of_own_servers(ledger: tuple[DataFolder, str]) -> None:
    folder, url = ledger
    [server] = folder.read("status")["servers"]
    assert (server["server"], server["url"], server["state"], server["store"]) == ("Ledger", url, "signed_in", "file")
    assert re.search(r"^server +Ledger$", folder.run("status").stdout, re.MULTILINE)


def test_a_client_that_was_registered_by_hand_is_given_with_its_secret(nobody: DataFolder, lab: Lab) -> None:  # noqa: F811
    url = f"{lab.workspace.url}/_vendor/timesheet/mcp"
    refused = nobody.run("login", "--url", url, "--no-browser", "--store", "file")
    assert refused.returncode == 2
    assert "--client-id" in refused.stderr
    client = ("--client-id", CLOSED_CLIENT_ID, "--client-secret", "-")
    sign_in(nobody, lab, url, *client, stdin=f"{CLOSED_CLIENT_SECRET}\n")
    assert nobody.read("mcp", "tools", "--url", url)


def test_signing_out_of_a_server_ends_its_sign_in(nobody: DataFolder, lab: Lab) -> None:  # noqa: F811
    url = f"{lab.workspace.url}/_vendor/ledger/mcp"
    sign_in(nobody, lab, url)
    assert nobody.run("logout", "--url", url).returncode == 0
    outcome = nobody.run("mcp", "tools", "--url", url)
    assert outcome.returncode == 3
    assert f"burrow login --url {url}" in outcome.stderr


def test_a_server_that_is_not_one_of_the_users_cannot_be_signed_out_of(nobody: DataFolder) -> None:
    outcome = nobody.run("logout", "--url", "https://mcp.example/mcp")
    assert outcome.returncode == 5
    assert "no server of your own" in outcome.stderr
