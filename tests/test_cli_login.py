"""`burrow login` where the browser is on another computer, and what is left of a login that met trouble."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests._command import SECONDS, DataFolder, command, environment
from tests.conftest import RunningWorkspace
from tests.workspace.conftest import lab, shared_lab, shared_workspace  # noqa: F401 - fixtures
from tests.workspace.lab import Lab

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")


class Terminal:
    """A login whose standard input is a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        import fcntl
        import pty
        import termios

        self._keyboard, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command("login", *arguments),
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        assert self.process.stderr is not None
        self.words: IO[str] = self.process.stderr

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        self.words.close()
        os.close(self._keyboard)

    def paste(self, line: str) -> None:
        os.write(self._keyboard, f"{line}\n".encode())

    def address(self) -> str:
        """The address that is told, after which the hints are read too."""
        assert self.words.readline() == "Open this address to sign in:\n"
        return self.words.readline().strip()


def redirect_of(lab: Lab, address: str) -> str:  # noqa: F811
    """Where a browser on another computer ends, which cannot open it."""
    answer = httpx.get(f"{address}&login_ticket={lab.ticket()}", trust_env=False)
    assert answer.status_code == 302
    return answer.headers["location"]


@POSIX
def test_the_redirect_address_can_be_pasted_and_is_checked_and_never_kept(lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    arguments = ("--host", lab.workspace.url, "--no-browser", "--store", "file", "--data", str(tmp_path))
    with Terminal(*arguments) as terminal:
        address = terminal.address()
        hints = "".join(terminal.words.readline() for _ in range(3))
        port = urlsplit(parse_qs(urlsplit(address).query)["redirect_uri"][0]).port
        assert f"ssh -L {port}:127.0.0.1:{port} " in hints
        assert "--token -" in hints
        back = redirect_of(lab, address)
        code = parse_qs(urlsplit(back).query)["code"][0]
        for wrong in ("not an address", back.replace("state=", "state=x"), back.replace("127.0.0.1", "127.0.0.2")):
            terminal.paste(wrong)
            refusal = terminal.words.readline()
            assert refusal.startswith("burrow: This is not the address")
            assert code not in refusal
        terminal.paste(f"  {back}  ")
        assert terminal.process.wait(SECONDS) == 0
        assert "Signed in to " in terminal.words.read()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert code.encode() not in kept
    assert DataFolder(tmp_path).read("status")["state"] == "signed_in"


@POSIX
def test_a_pasted_address_of_another_server_ends_the_login_at_once(lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    arguments = ("--host", lab.workspace.url, "--no-browser", "--store", "file", "--data", str(tmp_path))
    with Terminal(*arguments) as terminal:
        back = redirect_of(lab, terminal.address())
        terminal.paste(back.partition("&iss=")[0] + "&iss=https%3A%2F%2Fevil.example")
        assert terminal.process.wait(SECONDS) == 1
        assert "another server" in terminal.words.read()


@POSIX
def test_with_a_terminal_the_browser_may_still_come_first(lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    arguments = ("--host", lab.workspace.url, "--no-browser", "--store", "file", "--data", str(tmp_path))
    with Terminal(*arguments) as terminal:
        address = terminal.address()
        httpx.get(redirect_of(lab, address), trust_env=False)
        assert terminal.process.wait(SECONDS) == 0


@POSIX
def test_the_code_for_the_page_of_the_own_workspace_is_told(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path
) -> None:
    running = start_workspace(data=tmp_path / "workspace")
    arguments = ("--host", running.url, "--no-browser", "--store", "file", "--data", str(tmp_path))
    with Terminal(*arguments) as terminal, httpx.Client(trust_env=False) as browser:
        page = browser.get(terminal.address())
        told = terminal.words.readline()
        assert told.startswith("The page asks for this code: ")
        csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
        form = {"csrf": csrf, "person_code": told.rpartition(" ")[2]}
        assert "Approve" in browser.post(f"{running.url}/oauth/authorize/", data=form).text


def test_a_refusal_of_the_token_endpoint_has_words_of_its_own_and_is_no_wrong_usage(lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    folder = DataFolder(tmp_path)
    with folder.start("login", "--host", lab.workspace.url, "--no-browser", "--store", "file") as (process, _, words):
        words.readline()
        httpx.get(redirect_of(lab, words.readline().strip()), trust_env=False)
        assert process.wait(SECONDS) == 0
    for arguments in (("status",), ("tasks", "list")):
        lab.switch("kill-access-token")
        said = {"error": "invalid_scope", "error_description": "This\nclient may not \x1b[1mask."}
        lab.switch("token-endpoint", status=400, body=said, times=9)
        outcome = folder.run(*arguments)
        assert outcome.returncode == 4, outcome.stderr
        assert "This client may not [1mask." in outcome.stderr
        assert "Change the value" not in outcome.stderr
        lab.switch("reset")
        assert folder.run(*arguments).returncode == 0


def test_a_logout_that_the_server_was_not_told_of_says_so_and_what_to_do(lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    folder = DataFolder(tmp_path)
    with folder.start("login", "--host", lab.workspace.url, "--no-browser", "--store", "file") as (process, _, words):
        words.readline()
        httpx.get(redirect_of(lab, words.readline().strip()), trust_env=False)
        assert process.wait(SECONDS) == 0
    lab.switch("path", path="/oauth/revoke/", status=503, body={}, times=9)
    outcome = folder.run("logout")
    assert outcome.returncode == 0
    assert "could not be told" in outcome.stderr
    assert "connected applications" in outcome.stderr
    assert folder.run("status").returncode == 3
