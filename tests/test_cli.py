"""The console script against a real workspace: data on stdout, words on stderr, and what each exit code means."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests._command import SECONDS, DataFolder, burrow, command, environment, started
from tests.conftest import RunningWorkspace
from tests.workspace.conftest import lab, shared_lab, shared_workspace  # noqa: F401 - fixtures
from tests.workspace.lab import Lab

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="terminals, signals and pipes of POSIX")


@dataclass(frozen=True)
class Account(DataFolder):
    """A data folder in which somebody is signed in to the shared workspace."""

    lab: Lab

    def create(self, title: str) -> dict[str, Any]:
        return dict(self.read("tasks", "create", "What is to be done", "--title", title))


@pytest.fixture(scope="module")
def key(shared_lab: Lab) -> str:  # noqa: F811
    return str(shared_lab.state()["personal_api_key"])


@pytest.fixture(scope="module")
def signed_in_folder(
    tmp_path_factory: pytest.TempPathFactory,
    shared_workspace: RunningWorkspace,  # noqa: F811
    key: str,
) -> Path:
    data = tmp_path_factory.mktemp("signed-in")
    outcome = burrow(
        *("login", "--host", shared_workspace.url, "--token", "-", "--store", "file", "--data", str(data)), stdin=key
    )
    assert outcome.returncode == 0, outcome.stderr
    return data


@pytest.fixture
def account(signed_in_folder: Path, lab: Lab) -> Account:  # noqa: F811
    return Account(signed_in_folder, lab)


@pytest.fixture
def own(account: Account, tmp_path: Path) -> Account:
    """The same in a copy that the test may sign out; the stored grant belongs to its folder, so it signs in again."""
    key = str(account.lab.state()["personal_api_key"])
    mine = Account(tmp_path / "own", account.lab)
    url = account.lab.workspace.url
    assert mine.run("login", "--host", url, "--token", "-", "--store", "file", stdin=key).returncode == 0
    return mine


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "arguments",
    [
        ("tasks",),
        ("mcp", "call", "server"),
        ("tasks", "list", "--limit", "0"),
        ("status", "--nonsense"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_what_is_no_command_is_answered_with_the_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    outcome = burrow(*arguments, BURROW_DATA=str(tmp_path))
    assert outcome.returncode == 2
    assert not outcome.stdout
    assert "usage: burrow" in outcome.stderr


@pytest.mark.parametrize("arguments", [("status",), ("tasks", "list"), ("mcp", "servers")], ids=" ".join)
def test_a_command_before_the_first_sign_in_says_how_to_sign_in(arguments: tuple[str, ...], tmp_path: Path) -> None:
    outcome = burrow(*arguments, BURROW_DATA=str(tmp_path))
    assert outcome.returncode == 3
    assert not outcome.stdout
    assert "burrow login" in outcome.stderr


@pytest.mark.parametrize(
    "arguments",
    [("status", "--json"), ("--json", "status"), ("tasks", "--json", "list"), ("mcp", "servers", "--json")],
    ids=" ".join,
)
def test_an_error_is_data_too_when_json_was_asked_for(arguments: tuple[str, ...], tmp_path: Path) -> None:
    outcome = burrow(*arguments, "--data", str(tmp_path))
    assert outcome.returncode == 3
    assert json.loads(outcome.stdout)["error"] == "SignInNeeded"


def test_an_option_means_the_same_before_an_action_and_after_it(tmp_path: Path) -> None:
    mine = ("--data", str(tmp_path), "--host", "ftp://nowhere")
    before = burrow("tasks", *mine, "list")
    after = burrow("tasks", "list", *mine)
    assert "ftp://nowhere" in after.stderr
    assert (before.returncode, before.stderr) == (after.returncode, after.stderr)


def test_without_a_keyring_a_login_says_what_to_choose_and_keeps_nothing(
    tmp_path: Path,
    shared_workspace: RunningWorkspace,  # noqa: F811
    key: str,
) -> None:
    mine = ("--data", str(tmp_path))
    outcome = burrow("login", "--host", shared_workspace.url, "--token", "-", *mine, stdin=key)
    assert outcome.returncode == 3
    assert "--store file" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 2
    assert key not in outcome.stdout + outcome.stderr
    assert burrow("status", *mine).returncode == 3
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(("typed", "code"), [("nonsense", 2), ("phx_öäü", 2), ("phx_wrong", 3)])
def test_a_key_that_is_none_or_is_refused_is_not_kept(
    tmp_path: Path,
    shared_workspace: RunningWorkspace,  # noqa: F811
    typed: str,
    code: int,
) -> None:
    login = ("login", "--host", shared_workspace.url, "--token", "-", "--store", "file", "--data", str(tmp_path))
    outcome = burrow(*login, stdin=typed)
    assert (outcome.returncode, outcome.stdout) == (code, "")
    assert not list((tmp_path / "sign-in-unencrypted").glob("*"))


@pytest.mark.parametrize("address", ["http://example.com", "https://a.example/path", "no address"])
def test_an_address_that_is_no_safe_origin_is_refused(tmp_path: Path, address: str) -> None:
    outcome = burrow("login", "--host", address, "--token", "-", "--data", str(tmp_path), stdin="phx_1")
    assert (outcome.returncode, outcome.stdout) == (2, "")


def test_a_server_that_is_not_there_is_exit_code_6(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    login = ("login", "--host", address, "--token", "-", "--store", "file", "--data", str(tmp_path))
    outcome = burrow(*login, stdin="phx_1")
    assert outcome.returncode == 6
    assert outcome.stderr.startswith("burrow: Offline:")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 403, "body": {"code": "permission_denied", "detail": "No."}}, 4),
        ({"status": 404, "body": {"code": "not_found", "detail": "Gone."}}, 5),
        ({"status": 400, "body": {"code": "invalid", "detail": "Bad."}}, 2),
        ({"status": 503, "body": {"detail": "Later."}, "times": 2}, 6),
        ({"status": 200, "body": "<html>hotel</html>", "content_type": "text/html"}, 6),
        ({"status": 200, "body": {"results": 5}}, 1),
        ({"drop": "before_commit", "times": 2}, 6),
    ],
    ids=lambda value: None if isinstance(value, int) else f"{value.get('status')}-{value.get('content_type', 'json')}",
)
def test_each_failure_of_the_server_has_its_exit_code(account: Account, fault: dict[str, Any], code: int) -> None:
    account.lab.switch("path", path="/api/projects/1/tasks/", **fault)
    outcome = account.run("tasks", "list")
    assert (outcome.returncode, outcome.stdout) == (code, "")
    assert outcome.stderr.startswith("burrow: ")
    assert "<html>" not in outcome.stderr


@pytest.mark.parametrize("where", ["before", "after", "variable"])
def test_the_data_folder_is_named_in_front_behind_or_by_the_environment(account: Account, where: str) -> None:
    folder = str(account.data)
    outcome = {
        "before": lambda: burrow("--json", "--data", folder, "status"),
        "after": lambda: burrow("status", "--json", "--data", folder),
        "variable": lambda: burrow("--json", "status", BURROW_DATA=folder),
    }[where]()
    assert outcome.returncode == 0, outcome.stderr
    assert not outcome.stderr
    status = json.loads(outcome.stdout)
    assert status["state"] == "signed_in"
    assert (status["store"], status["account"]) == ("file", "ana@example.org")
    assert status["origin"] == account.lab.workspace.url


def test_a_data_folder_that_cannot_be_used_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = burrow("status", "--data", str(tmp_path / "file"))
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("burrow: ")


def test_the_status_in_words_is_data(account: Account) -> None:
    outcome = account.run("status")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert re.search(r"^state +signed_in$", outcome.stdout, re.MULTILINE)
    assert re.search(r"^project +Hedgerow shop \(1\)$", outcome.stdout, re.MULTILINE)


def test_tasks_are_listed_with_what_is_left_out_said_aside(account: Account) -> None:
    words = account.run("tasks", "list", "--limit", "3")
    assert words.returncode == 0
    assert len(words.stdout.splitlines()) == 3
    assert words.stdout.startswith("HED-")
    assert re.fullmatch(r"3 of \d+; more with --limit\.\n", words.stderr)
    tasks = account.read("tasks", "list", "--limit", "200")
    assert len(tasks) > 3
    assert not any(task["archived"] for task in tasks)
    assert {"id", "slug", "title", "status", "created_at"} <= tasks[0].keys()
    named = account.read("tasks", "list", "--search", tasks[0]["title"])
    assert tasks[0]["id"] in {task["id"] for task in named}
    of_one = account.read("tasks", "list", "--repository", "hedgerow/api")
    assert of_one
    assert {task["repository"] for task in of_one} == {"hedgerow/api"}
    nothing = account.run("tasks", "list", "--search", "no task has these words in it")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "No tasks.\n")


def test_a_task_is_created_shown_archived_and_taken_back(account: Account) -> None:
    made = account.read("tasks", "create", "-", "--title", "From a pipe", "--repository", "a/b", stdin="Line 1\nLine 2")
    assert (made["title"], made["description"], made["repository"]) == ("From a pipe", "Line 1\nLine 2", "a/b")
    shown = account.run("tasks", "show", made["slug"].lower())
    assert shown.returncode == 0
    assert "From a pipe" in shown.stdout
    assert shown.stdout.endswith("Line 1\nLine 2\n")
    archived = account.run("tasks", "archive", made["slug"])
    assert archived.returncode == 0
    assert re.search(r"^archived +True$", archived.stdout, re.MULTILINE)
    assert made["id"] in {task["id"] for task in account.read("tasks", "list", "--archived")}
    assert account.read("tasks", "show", made["slug"])["archived"] is True
    assert account.read("tasks", "archive", "--undo", made["id"])["archived"] is False


@pytest.mark.parametrize("named", ["NOPE-1", "00000000-0000-4000-8000-000000000000"])
def test_a_task_that_does_not_exist_is_exit_code_5(account: Account, named: str) -> None:
    outcome = account.run("tasks", "show", named)
    assert (outcome.returncode, outcome.stdout) == (5, "")
    assert "Not found" in outcome.stderr


def test_a_task_without_a_description_is_not_sent(account: Account) -> None:
    outcome = account.run("tasks", "create", "-", stdin=" \n")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "description" in outcome.stderr


def test_servers_and_tools_are_listed(account: Account) -> None:
    servers = account.read("mcp", "servers")
    by_title = {server["title"]: server for server in servers}
    assert by_title["Postbox"]["state"] == "ready"
    words = account.run("mcp", "servers")
    assert (words.returncode, words.stderr) == (0, "")
    assert len(words.stdout.splitlines()) == len(servers)
    tools = account.read("mcp", "tools", "workspace")
    report = next(tool for tool in tools if tool["name"] == "slow_report")
    assert report["inputSchema"]["type"] == "object"
    policies = {tool["name"]: tool["policy"] for tool in account.read("mcp", "tools", "postbox")}
    assert policies["send_message"] == "needs_approval"
    line = account.run("mcp", "tools", by_title["Postbox"]["id"])
    assert line.returncode == 0
    assert re.search(r"^send_message +needs_approval ", line.stdout, re.MULTILINE)


def test_a_tool_tells_its_progress_aside_and_its_result_as_data(account: Account) -> None:
    arguments = '{"seconds": 0.3, "steps": 3}'
    outcome = account.run("mcp", "call", "workspace", "slow_report", "--args", arguments)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip()
    assert len([line for line in outcome.stderr.splitlines() if re.match(r"[\d.]+/3", line)]) >= 2
    raw = account.read("mcp", "call", "workspace", "slow_report", "--args", "-", stdin=arguments)
    assert raw["content"]


def test_a_tool_that_reports_an_error_is_exit_code_1_with_its_words(account: Account) -> None:
    call = ("mcp", "call", "workspace", "read_document", "--args", '{"document": "none"}')
    outcome = account.run(*call)
    assert outcome.returncode == 1
    assert outcome.stdout.strip()
    raw = account.run(*call, "--json")
    assert raw.returncode == 1
    assert json.loads(raw.stdout)["isError"] is True


def test_a_tool_that_waits_for_approval_is_exit_code_7(account: Account) -> None:
    outcome = account.run("mcp", "call", "Postbox", "send_message", "--yes")
    assert (outcome.returncode, outcome.stdout) == (7, "")
    assert "approval" in outcome.stderr


def test_a_server_that_waits_to_be_connected_has_an_exit_code_of_its_own(account: Account) -> None:
    outcome = account.run("mcp", "tools", "Ledger")
    assert (outcome.returncode, outcome.stdout) == (8, "")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("nobody", "tool"), 5),
        (("workspace", "list_tasks", "--args", "[]"), 2),
        (("workspace", "list_tasks", "--args", '{"a": NaN}'), 2),
        (("workspace", "list_tasks", "--args", "[" * 50_000), 2),
    ],
    ids=range(4),
)
def test_a_call_that_cannot_be_made_says_why(account: Account, call: tuple[str, ...], code: int) -> None:
    outcome = account.run("mcp", "call", *call)
    assert (outcome.returncode, outcome.stdout) == (code, "")
    assert outcome.stderr.startswith("burrow: ")


def test_a_tool_that_the_server_does_not_have_is_refused_in_its_words(account: Account) -> None:
    outcome = account.run("mcp", "call", "workspace", "no_such_tool")
    assert (outcome.returncode, outcome.stdout) == (1, "Unknown tool: no_such_tool\n")


@pytest.mark.parametrize("arguments", [("tasks", "list"), ("mcp", "tools", "workspace", "--json")], ids=" ".join)
@POSIX
def test_a_reader_that_goes_away_ends_it_quietly(account: Account, arguments: tuple[str, ...]) -> None:
    with account.start(*arguments) as (process, output, said):
        output.close()
        words = said.read()
        assert process.wait(SECONDS) == 1
    assert "Error" not in words
    assert "Exception" not in words


HOSTILE = "red \x1b[31m\x07\x9b31m\u202edone\r\x1b]0;title\x07"


@POSIX
def test_a_hostile_title_does_not_drive_the_terminal(account: Account) -> None:
    made = account.create(HOSTILE)
    assert made["title"] == HOSTILE
    account.lab.switch(
        "path", path="/api/projects/1/tasks/0", status=400, body={"code": "invalid", "detail": HOSTILE}, times=5
    )
    for arguments in (
        ("tasks", "list"),
        ("tasks", "list", "--json"),
        ("tasks", "show", made["id"]),
        ("tasks", "show", "00000000-0000-4000-8000-000000000000"),
    ):
        shown = on_a_terminal(*arguments, "--data", str(account.data))
        assert "red" in shown
        assert not set(shown) & set("\x1b\x07\x9b\u202e"), shown


def on_a_terminal(*arguments: str) -> str:
    """All that a command writes to the terminal that it runs on."""
    import pty

    leader, follower = pty.openpty()
    with started(*arguments, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        read: list[bytes] = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            if not chunk:
                break
            read.append(chunk)
        os.close(leader)
        process.wait(SECONDS)
    return b"".join(read).decode().replace("\r\n", "\n")


def test_output_that_cannot_hold_a_character_does_without_it(account: Account) -> None:
    made = account.create("Größe → ☃")
    words = account.run("tasks", "show", made["id"], PYTHONIOENCODING="ascii")
    assert words.returncode == 0, words.stderr
    assert "Gr??e ? ?" in words.stdout
    data = account.run("tasks", "show", made["id"], "--json", PYTHONIOENCODING="ascii")
    assert json.loads(data.stdout)["title"] == "Größe → ☃"


@POSIX
def test_an_interrupt_ends_a_call_and_tells_the_server(account: Account) -> None:
    call = ("mcp", "call", "workspace", "slow_report", "--args", '{"seconds": 600, "steps": 100}')
    with account.start(*call) as (process, output, said):
        assert said.readline()
        process.send_signal(signal.SIGINT)
        words = said.read()
        assert process.wait(SECONDS) == 130
        assert "Traceback" not in words
        assert not output.read()


def test_a_command_on_another_host_leaves_the_remembered_one(own: Account) -> None:
    assert own.run("tasks", "list", "--host", f"http://127.0.0.1:{closed_port()}").returncode == 3
    assert own.read("status")["state"] == "signed_in"


def test_after_signing_out_there_is_nobody(own: Account) -> None:
    outcome = own.run("logout")
    assert (outcome.returncode, outcome.stdout) == (0, "")
    assert outcome.stderr.startswith("Signed out of ")
    assert own.run("tasks", "list").returncode == 3
    assert own.read("logout")["state"] == "signed_out"
    status = own.run("status", "--json")
    assert status.returncode == 3
    assert json.loads(status.stdout)["state"] == "signed_out"
    assert not list((own.data / "sign-in-unencrypted").glob("*"))


def sign_in_by_browser(data: Path, lab: Lab) -> None:  # noqa: F811
    arguments = ("login", "--host", lab.workspace.url, "--no-browser", "--store", "file", "--data", str(data))
    with started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "Open this address to sign in:\n"
        address = process.stderr.readline().strip()
        assert address.startswith(f"{lab.workspace.url}/oauth/authorize/?")
        assert process.poll() is None
        with httpx.Client(trust_env=False, follow_redirects=True, verify=False) as browser:
            page = browser.get(f"{address}&login_ticket={lab.ticket()}")
        assert page.status_code == 200
        assert process.wait(SECONDS) == 0
        assert re.search(r"^Signed in to .* as ana@example.org\.$", process.stderr.read(), re.MULTILINE)
        assert not process.stdout.read()


@pytest.fixture(scope="module")
def browser_folder(
    tmp_path_factory: pytest.TempPathFactory,
    shared_lab: Lab,  # noqa: F811
) -> Path:
    """A data folder signed in through the address that `--no-browser` prints."""
    data = tmp_path_factory.mktemp("browser")
    sign_in_by_browser(data, shared_lab)
    return data


@pytest.fixture
def through_browser(browser_folder: Path, lab: Lab) -> Account:  # noqa: F811
    return Account(browser_folder, lab)


def test_a_dead_token_is_renewed_unseen_and_stored_for_the_next_command(through_browser: Account) -> None:
    accepted = through_browser.lab.counters()["refreshes_accepted"]
    through_browser.lab.switch("kill-access-token")
    for _ in range(2):
        outcome = through_browser.run("tasks", "list", "--limit", "1")
        assert outcome.returncode == 0, outcome.stderr
    assert through_browser.lab.counters()["refreshes_accepted"] == accepted + 1


def test_commands_at_the_same_time_renew_once(through_browser: Account) -> None:
    accepted = through_browser.lab.counters()["refreshes_accepted"]
    through_browser.lab.switch("kill-access-token")
    processes = [
        started("status", "--data", str(through_browser.data), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert through_browser.lab.counters()["refreshes_accepted"] == accepted + 1


def test_a_revoked_grant_is_exit_code_3(through_browser: Account, tmp_path: Path) -> None:
    through_browser.lab.switch("revoke-grant")
    for _ in range(2):
        outcome = through_browser.run("tasks", "list")
        assert (outcome.returncode, outcome.stdout) == (3, "")
        assert "Sign in again" in outcome.stderr


def test_a_login_that_has_to_register_anew_tells_the_other_address(tmp_path: Path, lab: Lab) -> None:  # noqa: F811
    lab.switch("token-endpoint", status=401, body={"error": "invalid_client"})
    arguments = ("login", "--host", lab.workspace.url, "--no-browser", "--store", "file", "--data", str(tmp_path))
    with (
        started(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process,
        httpx.Client(trust_env=False, follow_redirects=True, verify=False) as browser,
    ):
        assert process.stderr is not None
        addresses = []
        for words in ("Open this address to sign in:\n", "Burrow had to register again. The new address:\n"):
            assert process.stderr.readline() == words
            addresses.append(process.stderr.readline().strip())
            assert browser.get(f"{addresses[-1]}&login_ticket={lab.ticket()}").status_code == 200
        assert process.wait(SECONDS) == 0
        assert "Signed in to " in process.stderr.read()
    assert addresses[0].partition("redirect_uri")[0] != addresses[1].partition("redirect_uri")[0]


@POSIX
def test_a_login_that_waits_for_the_browser_can_be_interrupted(
    tmp_path: Path,
    shared_workspace: RunningWorkspace,  # noqa: F811
) -> None:
    arguments = ("login", "--host", shared_workspace.url, "--no-browser", "--store", "file", "--data", str(tmp_path))
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert not process.stderr.read()


def test_the_embedded_workspace_needs_no_sign_in(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    outcome = burrow("login", "--host", "workspace", *data)
    assert (outcome.returncode, outcome.stdout) == (0, "")
    assert outcome.stderr == "Signed in to Workspace as ana@example.org.\n"
    outcome = burrow("--json", *data, "mcp", "servers")
    assert outcome.returncode == 0
    assert "workspace" in {server["id"] for server in json.loads(outcome.stdout)}
    assert not (tmp_path / "workspace" / "runtime.json").exists()


ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


def secrets_in(folder: Path) -> set[str]:
    """Every token that is stored there."""
    found: set[str] = set()
    for path in (folder / "sign-in-unencrypted").glob("*.json"):
        grant = json.loads(path.read_text())
        found |= {grant["access_token"], grant.get("refresh_token") or grant["access_token"]}
    assert found
    return found


def test_the_verbose_status_tells_each_renewal_and_why_the_newest_last(
    tmp_path: Path,
    shared_workspace: RunningWorkspace,  # noqa: F811
    lab: Lab,  # noqa: F811
) -> None:
    mine = Account(tmp_path, lab)
    sign_in_by_browser(mine.data, lab)
    before = secrets_in(tmp_path)
    lab.switch("kill-access-token")
    assert mine.run("tasks", "list", "--limit", "1").returncode == 0
    outcome = mine.run("status", "-v")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    facts, _, timeline = outcome.stdout.partition("\n\n")
    assert re.search(r"^state +signed_in$", facts, re.MULTILINE)
    assert re.search(rf"^issued +{ISO}$", facts, re.MULTILINE)
    assert re.search(rf"^renews +{ISO}$", facts, re.MULTILINE)
    assert re.search(r"^token +[0-9a-f]{8}, generation 2$", facts, re.MULTILINE)
    assert re.search(r"^granted +.*task:write", facts, re.MULTILINE)
    heading, first, last = timeline.splitlines()
    assert heading.split("  ")[0] == "when"
    assert heading.endswith("next due                   why")
    assert re.match(rf"{ISO}  signed in +1 +command line \d+  {ISO}  browser$", first), first
    refused = r"refused by 127\.0\.0\.1:\d+ \(envelope-authentication-failed\)"
    assert re.match(rf"{ISO}  renewed +1 -> 2 +[0-9a-f]{{8}} +\d+ ms  command line \d+  {ISO}  {refused}$", last), last
    data = mine.read("status", "--verbose")
    assert [step["what"] for step in data["timeline"]] == ["signed in", "renewed"]
    assert data["timeline"][1]["accepted"] is True
    assert data["token"] == data["timeline"][1]["access_token"]
    assert "task:write" in data["scopes"]
    assert len(mine.run("status", "-v", "--limit", "1").stdout.partition("\n\n")[2].splitlines()) == 2
    assert mine.run("status", "-v", "--limit", "0").returncode == 2
    shown = outcome.stdout + json.dumps(data)
    assert not [secret for secret in before | secrets_in(tmp_path) if secret in shown]


def test_the_verbose_status_of_a_grant_that_is_over_says_how_it_ended_and_keeps_its_exit_code(
    tmp_path: Path,
    lab: Lab,  # noqa: F811
) -> None:
    mine = Account(tmp_path, lab)
    sign_in_by_browser(mine.data, lab)
    lab.switch("revoke-grant")
    outcome = mine.run("status", "--verbose")
    assert outcome.returncode == 3
    assert re.search(r"^state +needs_sign_in$", outcome.stdout, re.MULTILINE)
    assert [words for words in ("refused for good", "sign-in ended") if words not in outcome.stdout] == []
    assert "Sign in again" in outcome.stderr
    assert mine.run("status").returncode == 3


@POSIX
def test_a_hostile_name_of_a_process_does_not_drive_the_terminal(own: Account) -> None:
    from contextlib import closing
    from sqlite3 import connect

    with closing(connect(own.data / "burrow.sqlite3", timeout=5)) as database, database:
        database.execute("UPDATE grant_log SET process = ?, cause = ?", (HOSTILE, HOSTILE))
    for arguments in (("status", "-v"), ("status", "-v", "--json")):
        shown = on_a_terminal(*arguments, "--data", str(own.data))
        assert "red" in shown
        assert not set(shown) & set("\x1b\x07\x9b\u202e"), shown
