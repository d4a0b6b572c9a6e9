"""A program with an OpenSSL of its own. Run it as a script: it writes what it loaded and its environment to a file.

Its argument is that file. With more arguments it is a browser; without, an MCP server on its pipes with no tools.
"""

import json
import os
import ssl
import sys

with open("/proc/self/maps") as maps:
    loaded = sorted({line.split()[-1] for line in maps if "/libcrypto" in line or "/libssl" in line})
told = {"openssl": ssl.OPENSSL_VERSION, "loaded": loaded, "environment": dict(os.environ)}
with open(f"{sys.argv[1]}.part", "w") as report:
    json.dump(told, report)
os.replace(report.name, sys.argv[1])

for line in sys.stdin if len(sys.argv) == 2 else ():
    message = json.loads(line)
    if "id" in message:
        info = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "linked", "version": "1"}}
        answers = {"initialize": info | {"capabilities": {"tools": {}}}, "tools/list": {"tools": []}}
        known = message["method"] in answers
        outcome = {"result": answers[message["method"]]} if known else {"error": {"code": -32601, "message": "no"}}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}) + "\n")
        sys.stdout.flush()
