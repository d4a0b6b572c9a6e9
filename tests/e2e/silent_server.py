"""An MCP server of 2025-11-25 on its pipes whose only tool never answers. Run it as a script."""

import json
import sys

TOOL = {
    "name": "wait",
    "title": "Wait for ever",
    "inputSchema": {"type": "object", "properties": {}},
    "annotations": {"readOnlyHint": True},
}
ANSWERS = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "serverInfo": {"name": "silent", "version": "1"},
        "capabilities": {"tools": {}},
    },
    "tools/list": {"tools": [TOOL]},
    "ping": {},
}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or message.get("method") == "tools/call":
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    known = ANSWERS.get(message.get("method", ""))
    answer |= {"error": {"code": -32601, "message": "no such method"}} if known is None else {"result": known}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
