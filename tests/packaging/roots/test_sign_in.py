"""A sign-in of the installed command line is kept in the Secret Service of the system it is installed on."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root
    from tests.packaging.roots.session import RootSecretService

pytestmark = pytest.mark.packaged

SECONDS = 30.0


class CommandLine:
    """Commands of the root's person with the keyring of their session, on one data folder."""

    def __init__(self, root: Root, keyring: RootSecretService) -> None:
        self._root = root
        self._variables = keyring.variables
        self.data = root.shared / "data"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        asked = ("burrow", *arguments, "--data", str(self.data))
        return self._root.run(*asked, person=True, check=False, variables=self._variables)

    def read(self, *arguments: str) -> Any:
        outcome = self.run(*arguments, "--json")
        assert outcome.returncode == 0, outcome.stderr
        return json.loads(outcome.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = self._root.command("burrow", *arguments, person=True)
        environment = self._root.variables(person=True, **self._variables)
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def approve(address: str, ready: dict[str, Any]) -> None:
    """What a browser does that the person of the workspace is signed in with."""
    headers = {"X-Workspace-Secret": ready["secret"]}
    ticket = httpx.post(f"{ready['url']}/_tickets", json={}, headers=headers, trust_env=False).json()["ticket"]
    answer = httpx.get(f"{address}&login_ticket={ticket}", trust_env=False, follow_redirects=True)
    assert answer.status_code == 200


def test_a_login_is_kept_in_the_real_keyring_read_by_the_next_process_and_removed_by_a_logout(
    session_root: Root, keyring: RootSecretService
) -> None:
    line = CommandLine(session_root, keyring)
    workspace = line.start("workspace", "--watch-stdin", "--data", str(session_root.shared / "workspace"))
    with workspace:
        try:
            assert workspace.stdout is not None
            ready = json.loads(workspace.stdout.readline())
            assert keyring.items() == []
            sign_in(line, ready)
            assert len(keyring.items()) > 0
            account = line.read("status")
            assert (account["state"], account["store"]) == ("signed_in", "keyring")
            report = ("mcp", "call", "workspace", "slow_report", "--args", '{"seconds": 0.1, "steps": 1}')
            assert not line.read(*report).get("isError")

            keyring.lock()
            locked = json.loads(line.run("status", "--json").stdout)
            assert "locked" in locked["trouble"]
            keyring.unlock()
            assert line.read("status")["state"] == "signed_in"

            assert line.run("logout").returncode == 0
            assert keyring.items() == []
            assert line.run("status").returncode == 3
        finally:
            workspace.terminate()


def sign_in(line: CommandLine, ready: dict[str, Any]) -> None:
    with line.start("login", "--host", ready["url"], "--no-browser", "--data", str(line.data)) as login:
        assert login.stderr is not None
        login.stderr.readline()
        approve(login.stderr.readline().strip(), ready)
        assert login.wait(SECONDS) == 0, login.stderr.read()
