"""Secrets in the arguments of a call are in no file of the data folder, also where the server quotes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests._command import DataFolder

SERVER = r"""
import json, sys
INFO = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "echo", "version": "1"}, "capabilities": {"tools": {}}}
SECRET = {"type": "string", "format": "password"}
SCHEMA = {"type": "object", "properties": {"pin": SECRET, "pins": {"type": "array", "items": SECRET},
          "once": {"type": "string", "writeOnly": True}}}
for line in sys.stdin:
    message = json.loads(line)
    given = (message.get("params") or {}).get("arguments")
    answer = {"error": {"code": -32601, "message": "No"}}
    if message.get("method") == "initialize":
        answer = {"result": INFO}
    elif message.get("method") == "tools/list":
        answer = {"result": {"tools": [{"name": "log_in", "inputSchema": SCHEMA}]}}
    elif message.get("method") == "tools/call" and given.get("refuse"):
        answer = {"error": {"code": -32000, "message": f"Refused: {given}", "data": given}}
    elif message.get("method") == "tools/call":
        answer = {"result": {"content": [{"type": "text", "text": f"Got {given}"}], "structuredContent": given}}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""
ARGUMENTS = {
    "pin": "CANARY-one-23",
    "pins": ["CANARY-two-34"],
    "once": "CANARY three 45",
    "api_key": "CANARYfour5678",
    "url": "https://files.example/a?X-Amz-Signature=CANARYfive6789",
    "header": "Bearer CANARYsix7890123456",
}


@pytest.mark.parametrize("refuse", [False, True])
def test_no_secret_of_a_call_is_kept_although_the_server_quotes_it(tmp_path: Path, refuse: bool) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    folder = DataFolder(tmp_path / "data")
    given = json.dumps({**ARGUMENTS, "refuse": refuse, "open": "SEEN"})
    stdio = ("--stdio", f"{sys.executable} {tmp_path / 'server.py'}")
    outcome = folder.run("mcp", "call", "log_in", "--args", given, *stdio)
    assert outcome.returncode == int(refuse), outcome.stderr
    files = [path.read_bytes() for path in folder.data.rglob("*") if path.is_file()]
    assert any(b"SEEN" in content for content in files)
    assert [content for content in files if b"CANARY" in content] == []
