"""A process to speak with, in the standard library alone: each line names what it does.

`echo N`: answers with N characters. `ask N`: asks with N characters and says how many came back. `garbage`, `half`,
`twice`, `slow N`, `stderr N`, `child`, `deaf`: see below. What else arrives is answered with its method.
"""

import json
import os
import signal
import subprocess
import sys
import time


def say(message: dict) -> None:
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def hear() -> dict:
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def main() -> None:
    if "deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in sys.argv:
        # One in the group, one that left it, and one that left it and does not carry our pipes.
        for detached in (False, True):
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"],
                start_new_session=detached,
                stdin=subprocess.DEVNULL,
            )
            say({"method": "child", "params": {"pid": child.pid}})
    if "deaf" in sys.argv:
        say({"method": "ready"})
        while True:
            time.sleep(600)
    while True:
        message = hear()
        number, method, params = message.get("id"), message.get("method"), message.get("params", {})
        if method == "echo":
            say({"jsonrpc": "2.0", "id": number, "result": {"text": "x" * params["size"], "got": len(params["text"])}})
        elif method == "ask":
            say({"jsonrpc": "2.0", "id": "a-1", "method": "measure", "params": {"text": "y" * params["size"]}})
            say({"jsonrpc": "2.0", "id": number, "result": hear()["result"]})
        elif method == "slow":
            time.sleep(params["seconds"])
            say({"jsonrpc": "2.0", "id": number, "result": {}})
        elif method == "stderr":
            for each in range(params["lines"]):
                sys.stderr.write(f"line {each} {'z' * params['characters']}\n")
            sys.stderr.flush()
            say({"jsonrpc": "2.0", "id": number, "result": {}})
        elif method == "half":
            sys.stdout.write('{"jsonrpc": "2.0", "id": 1, "res')
            sys.stdout.flush()
            os._exit(3)
        elif method == "crash":
            sys.stderr.write("cannot find the model\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGABRT)
        else:
            say({"jsonrpc": "2.0", "id": number, "result": {"method": method}})


main()
