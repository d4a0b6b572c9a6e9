"""A copied call runs elsewhere, says exactly what was sent, and has no credential in it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.core.mcp.copied_calls import CopiedCall, NotCopied, as_command, as_curl, as_python
from app.core.mcp.json_text import parse_json
from app.core.mcp.servers.definitions import HttpServer, SseServer, StdioServer
from app.core.mcp.servers.server import Server
from tests.core._mcp_server import LEGACY, MODERN, Scripted

HOSTILE = [
    "'; touch owned; '",
    '"; $(touch owned) `touch owned` "',
    "$HOME ${PATH} \\ \\\\ %s !! ~ * ? [a]",
    "JSON",
    "\nJSON\ntouch owned\n",
    "a\r\nb\tc\x00\x1b[31m",
    "\u202e\u200b\ufeff é 漢字 🧑‍🚀 \u2028",
    "{braces} {0} {{}}",
    "",
]
ARGUMENTS: dict[str, Any] = {
    "texts": HOSTILE,
    "'$(touch owned)'": True,
    "none": None,
    "big": 123456789012345678901234567890,
    "fraction": Decimal("0.1"),
    "deep": {"a": [{"b": [1, 2.5, False]}]},
}
EXACT: dict[str, Any] = {"pi": Decimal("3.14159265358979323846"), "huge": Decimal("1e400")}


def server(url: str, protocol: str | None = None, kind: type[HttpServer] = HttpServer) -> Server:
    return Server(kind("own", "Own", url), protocol=protocol)


async def run(folder: Path, *command: str, text: str = "", token: str = "") -> str:
    environment = {**os.environ, "BURROW_TOKEN": token, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(text.encode())
    assert process.returncode == 0, err.decode()
    assert not (folder / "owned").exists()
    return out.decode()


def sent(to: Scripted) -> bytes:
    return next(seen.raw for seen in reversed(to.seen) if seen.method == "tools/call")


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize("token", ["", "a token's $value"])
async def test_curl_sends_the_call_in_both_eras(tmp_path: Path, shell: str, version: str, token: str) -> None:
    async with Scripted(legacy=version == LEGACY, sessions=version == LEGACY) as to:
        tool = "do it's $(touch owned) é"
        arguments = {**ARGUMENTS, **EXACT}
        script = as_curl(CopiedCall(server(to.url, version), to.url, tool, arguments))
        assert script.isascii()
        out = await run(tmp_path, shell, "-c", script, token=token)
        message = parse_json(sent(to).decode())
        assert message["params"]["name"] == tool
        assert message["params"]["arguments"] == arguments
        assert "3.14159265358979323846" in sent(to).decode()
        assert "touch owned" in out
        last = to.seen[-1]
        assert last.headers.get("authorization", "") == (f"Bearer {token}" if token else "")
        assert last.headers["mcp-protocol-version"] == version


async def test_the_python_program_sends_the_call(tmp_path: Path) -> None:
    async with Scripted(legacy=True) as to:
        program = as_python(CopiedCall(server(to.url), to.url, "do it's", ARGUMENTS))
        out = await run(tmp_path, sys.executable, "-c", program, token="a token")
        message = parse_json(sent(to).decode())
        assert message["params"]["name"] == "do it's"
        assert message["params"]["arguments"] == ARGUMENTS
        assert {seen.headers.get("authorization") for seen in to.seen} == {"Bearer a token"}
        assert json.loads(out)["content"]


async def test_the_python_program_starts_a_process(tmp_path: Path) -> None:
    script = Path(__file__).with_name("_stdio_server.py")
    record = tmp_path / "record it's"
    record.touch()
    own = StdioServer("own", "Own", (sys.executable, str(script), str(record)), environment=(("PATH", "secret"),))
    program = as_python(CopiedCall(Server(own), "", "run", {"text": HOSTILE}))
    assert "secret" not in program
    assert HOSTILE[0] in await run(tmp_path, sys.executable, "-c", program)
    assert "ran" in record.read_text()


@given(
    some.text(alphabet=some.characters(blacklist_categories=["Cc", "Cs"]), min_size=1),
    some.dictionaries(some.text(), some.text() | some.integers() | some.booleans() | some.none()),
)
def test_a_shell_gives_the_command_the_words_that_were_meant(tool: str, arguments: dict[str, Any]) -> None:
    words = shlex.split(as_command(CopiedCall(server("http://a.example"), "", tool, arguments)))
    assert words[:3] == ["burrow", "mcp", "call"]
    assert words[-2:] == ["own", tool]
    assert ("--" in words[:-2]) is tool.startswith("-")
    given_text = words[words.index("--args") + 1] if arguments else "{}"
    assert parse_json(given_text) == arguments


async def test_the_command_is_read_by_a_real_shell(tmp_path: Path) -> None:
    show = tmp_path / "burrow"
    show.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps([sys.argv[1:], sys.stdin.read()]))\n")
    show.chmod(0o755)
    for arguments in (ARGUMENTS, {"long": "x'" * 200_000}):
        command = as_command(CopiedCall(server("http://a.example"), "", "-it's", arguments))
        script = tmp_path / "script"
        script.write_text(f'PATH="{tmp_path}:$PATH"\n{command}')
        out = await run(tmp_path, "sh", str(script))
        words, text = json.loads(out)
        assert words[-3:] == ["--", "own", "-it's"]
        read = words[words.index("--args") + 1]
        assert parse_json(text if read == "-" else read) == arguments


@pytest.mark.parametrize("form", [as_curl, as_python, as_command])
def test_no_form_has_a_credential(form: Any) -> None:
    token = "phx_" + "a1B2" * 10
    url = f"https://a.example/mcp?api_key={token}"
    assert token not in form(CopiedCall(server(url), url, "t", {}))


def test_what_a_form_cannot_say_is_refused_with_the_reason() -> None:
    http = server("http://a.example")
    with pytest.raises(NotCopied, match="pipes"):
        as_curl(CopiedCall(Server(StdioServer("own", "Own", ("x",))), "", "t", {}))
    with pytest.raises(NotCopied, match="HTTP\\+SSE"):
        as_curl(CopiedCall(server("http://a.example", kind=SseServer), "", "t", {}))
    with pytest.raises(NotCopied, match="would round"):
        as_python(CopiedCall(http, "", "t", EXACT))
    with pytest.raises(NotCopied, match="control characters"):
        as_command(CopiedCall(http, "", "a\x1bb", {}))
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    for form in (as_curl, as_python, as_command):
        with pytest.raises(NotCopied):
            form(CopiedCall(http, "http://a.example", "t", {"a": deep}))
