"""An MCP server on its pipes that does what each call tells it to. Run it as a script.

Its argument is a file: each execution of the tool and each notification of a cancelled request is a line there. It is
of the legacy era, with a second argument `modern` of 2026-07-28, and with `fragile` it ends when anything comes before
`initialize`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

RECORD = sys.argv[1]
ERA = sys.argv[2] if len(sys.argv) > 2 else ""
INFO = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "pipes", "version": "1"}, "capabilities": {"tools": {}}}
TOOL = {"name": "run", "inputSchema": {"type": "object"}}


def note(text: str) -> None:
    with open(RECORD, "a") as record:
        record.write(f"{text}\n")


def send(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(identity: object, result: object) -> None:
    send({"jsonrpc": "2.0", "id": identity, "result": result})


held: list[object] = []


def notify(method: str, **params: object) -> None:
    send({"jsonrpc": "2.0", "method": method, "params": params})


def ask(method: str, identity: object, **params: object) -> object:
    """Ask the client, and wait for its answer."""
    send({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
    while line := sys.stdin.readline():
        message = json.loads(line)
        if "method" not in message and message.get("id") == identity:
            return message.get("result", message.get("error"))
        note(f"meanwhile {message.get('method')}")
    return None


def call(identity: object, arguments: dict[str, object], token: object = None) -> None:
    note(f"ran {os.getpid()}")
    text = json.dumps(arguments)
    match arguments.get("do"):
        case "progress":
            for step in range(int(str(arguments["steps"]))):
                notify("notifications/progress", progressToken=token, progress=step)
        case "ask":
            text = json.dumps(ask(str(arguments["method"]), arguments.get("id", "q1"), maxTokens=7))
        case "change":
            notify("notifications/tools/list_changed")
            notify("notifications/message", level="info", data=arguments.get("data"))
        case "hold":
            held.append(identity)
            note(f"held {json.dumps(identity)} {json.dumps(token)}")
            return
        case "release":
            for each in held:
                answer(each, {"content": [{"type": "text", "text": "released"}]})
            held.clear()
        case "tell the process":
            text = str(os.getpid())
        case "refuse":
            send({"jsonrpc": "2.0", "id": identity, "error": {"code": -32603, "message": "It broke."}})
            return
        case "die" | "die once":
            if arguments["do"] == "die" or Path(RECORD).read_text().count("ran") == 1:
                sys.stderr.write("fatal: no more disk\n")
                sys.stderr.flush()
                os._exit(3)
        case "close the output":
            os.close(1)
            time.sleep(60)
        case "be noisy":
            sys.stdout.write("Starting up…\n\n{not json\n")
            send(["a list"])
        case "say":
            line = str(arguments["line"]).replace('"%ID%"', json.dumps(identity))
            sys.stdout.buffer.write(line.encode("latin-1") + b"\n")
            sys.stdout.buffer.flush()
            return
        case "flood":
            text = "x" * int(str(arguments["size"]))
        case "leave a child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            note(f"child {child.pid}")
        case "hang":
            return
        case "tell the environment":
            text = json.dumps(dict(os.environ))
        case "answer by text":
            identity = str(identity)
    answer(identity, {"content": [{"type": "text", "text": text}]})


def listen(identity: object) -> None:
    meta = {"io.modelcontextprotocol/subscriptionId": identity}
    notify("notifications/subscriptions/acknowledged", _meta=meta, notifications={})
    notify("notifications/tools/list_changed", _meta=meta)


for line in sys.stdin:
    message = json.loads(line)
    match message.get("method"):
        case other if ERA == "fragile" and other != "initialize":
            sys.exit("what is this?")
        case "server/discover" if ERA == "modern":
            note(f"discovered {os.getpid()}")
            answer(message["id"], {"supportedVersions": ["2026-07-28"]})
        case "subscriptions/listen" if ERA == "modern":
            listen(message["id"])
        case "initialize":
            ERA = ""
            answer(message["id"], INFO)
        case "tools/list":
            answer(message["id"], {"tools": [TOOL]})
        case "tools/call":
            call(message["id"], message["params"]["arguments"], message["params"].get("_meta", {}).get("progressToken"))
        case "notifications/cancelled":
            note("cancelled")
            note(f"unwanted {json.dumps(message['params'].get('requestId'))}")
        case "notifications/initialized":
            note(f"greeted {os.getpid()}")
        case _ if "id" in message:
            send({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
note("left")
