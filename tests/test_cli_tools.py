"""`burrow mcp tools` and `burrow mcp call`: what a server says of its tools, and what goes out and comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests._command import SECONDS, DataFolder, command, environment
from tests.test_cli import POSIX

# It notes each execution, and answers with the arguments as they came in, byte for byte.
SERVER = r"""
import json, re, sys
INFO = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "odd", "version": "1"}, "capabilities": {"tools": {}}}
TOOLS = [
    {"name": "echo", "inputSchema": {"type": "object"}, "description": "Says it\nagain"},
    {"name": "delete_all", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": True}},
    {"name": "delete_\u202ella", "title": "x", "inputSchema": {"type": "object"}},
    {"name": "schemaless"},
    {"name": "typed", "inputSchema": {"type": "object"},
     "outputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    {"name": "mute", "inputSchema": {"type": "object"}},
]
def send(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
for line in sys.stdin:
    message = json.loads(line)
    head = '{"jsonrpc":"2.0","id":' + json.dumps(message.get("id")) + ',"result":'
    match message.get("method"):
        case "initialize":
            send(head + json.dumps(INFO) + "}")
        case "tools/list":
            send(head + json.dumps({"tools": TOOLS, "nextCursor": ""}) + "}")
        case "tools/call":
            name = message["params"]["name"]
            with open(sys.argv[1], "a") as record:
                record.write(name + "\n")
            sent = re.search(r'"arguments":(\{.*?\})[,}]', line)[1]
            if name == "typed":
                send(head + '{"content":[],"structuredContent":{"n":"seven"}}}')
            elif name == "mute":
                send(head + '{"content":[],"isError":true}}')
            else:
                send(head + '{"content":[{"type":"text","text":' + json.dumps(sent) + '}],"structuredContent":' + sent
                     + ',"nan":NaN}}')
        case _ if "id" in message:
            send('{"jsonrpc":"2.0","id":%d,"error":{"code":-32601,"message":"No"}}' % message["id"])
"""


class Odd:
    """The server, and commands on it."""

    def __init__(self, folder: Path) -> None:
        (folder / "server.py").write_text(SERVER)
        self.record = folder / "record"
        self.record.touch()
        self.folder = DataFolder(folder / "data")
        self.stdio = ("--stdio", f"{sys.executable} {folder / 'server.py'} {self.record}")

    @property
    def ran(self) -> list[str]:
        return self.record.read_text().splitlines()

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.folder.run("mcp", *arguments, *self.stdio, stdin=stdin)

    def on_a_terminal(self, *arguments: str, typed: str = "") -> str:
        """What a command shows on the terminal that it runs on, and that `typed` is typed into."""
        import pty

        leader, follower = pty.openpty()
        whole = command("mcp", *arguments, *self.stdio, "--data", str(self.folder.data))
        with subprocess.Popen(whole, env=environment(), preexec_fn=lambda: os.login_tty(follower)) as process:
            os.close(follower)
            os.write(leader, typed.encode())
            read: list[bytes] = []
            while True:
                try:
                    read.append(os.read(leader, 65536))
                except OSError:
                    break
            os.close(leader)
            process.wait(SECONDS)
        return b"".join(read).decode().replace("\r\n", "\n")


@pytest.fixture
def odd(tmp_path: Path) -> Odd:
    return Odd(tmp_path)


def test_the_list_says_what_is_wrong_with_a_tool_and_that_the_list_does_not_end(odd: Odd) -> None:
    outcome = odd.run("tools")
    assert outcome.returncode == 0, outcome.stderr
    assert "does not say what arguments this tool takes" in outcome.stdout
    assert [line.split()[0] for line in outcome.stdout.splitlines()].count("echo") == 1
    assert "does not end but repeats" in outcome.stderr


def test_a_name_with_a_direction_mark_cannot_pass_for_another(odd: Odd) -> None:
    assert "delete_‹U+202E›lla " in odd.run("tools").stdout
    assert "‮" not in odd.run("tools").stdout


def test_a_tool_that_is_not_listed_is_left_to_the_server(odd: Odd) -> None:
    outcome = odd.run("call", "unlisted", "--args", '{"a": 1}')
    assert (outcome.returncode, outcome.stdout) == (0, '{"a":1}\n')
    assert odd.ran == ["unlisted"]


@pytest.mark.parametrize("typed", ["no\n", "y\n", "\nno\n"])
@POSIX
def test_a_tool_that_may_destroy_is_not_called_without_a_yes(odd: Odd, typed: str) -> None:
    shown = odd.on_a_terminal("call", "delete_all", "--args", '{"path": "/"}', typed=typed)
    assert "says that it may destroy something" in shown
    assert '"path": "/"' in shown
    assert "was not called" in shown
    assert odd.ran == []


@POSIX
def test_a_tool_that_may_destroy_is_called_after_a_yes(odd: Odd) -> None:
    odd.on_a_terminal("call", "delete_all", typed="yes\n")
    assert odd.ran == ["delete_all"]


def test_without_a_terminal_a_tool_that_may_destroy_needs_an_option(odd: Odd) -> None:
    refused = odd.run("call", "delete_all")
    assert (refused.returncode, refused.stdout, odd.ran) == (2, "", [])
    assert "--yes" in refused.stderr
    assert odd.run("call", "delete_all", "--yes").returncode == 0
    assert odd.ran == ["delete_all"]


@pytest.mark.parametrize("number", ["3.14159265358979323846", "1e400", "-1e400", "0.1", "12345678901234567890123"])
def test_a_number_goes_out_and_comes_back_with_every_digit(odd: Odd, number: str) -> None:
    outcome = odd.run("call", "echo", "--args", f'{{"n": {number}}}')
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout, parse_float=Decimal, parse_int=Decimal) == {"n": Decimal(number)}
    raw = odd.run("call", "echo", "--args", f'{{"n": {number}}}', "--json")
    read = json.loads(raw.stdout, parse_float=Decimal, parse_int=Decimal)
    assert read["structuredContent"] == {"n": Decimal(number)}


def test_what_the_json_output_prints_is_json(odd: Odd) -> None:
    raw = odd.run("call", "echo", "--json")
    assert raw.returncode == 0

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(raw.stdout, parse_constant=refuse)["nan"] is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('{"a": 1, "a": 2}', "appears twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": }', "line 1, column 7"),
        ("[]", "one JSON object"),
        ('{"a": "\\ud800"}', "half a character"),
    ],
)
def test_arguments_that_are_no_json_object_are_refused_with_the_place(odd: Odd, given: str, words: str) -> None:
    outcome = odd.run("call", "echo", "--args", given)
    assert (outcome.returncode, outcome.stdout, odd.ran) == (2, "", [])
    assert words in outcome.stderr


def test_a_result_that_does_not_match_its_output_schema_is_mentioned(odd: Odd) -> None:
    outcome = odd.run("call", "typed")
    assert outcome.returncode == 0
    assert "does not match the tool's outputSchema, n:" in outcome.stderr


def test_a_failure_without_content_is_not_called_done(odd: Odd) -> None:
    outcome = odd.run("call", "mute")
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert "failed and gave no reason" in outcome.stderr
