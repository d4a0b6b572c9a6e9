"""The shim: an MCP server on standard input and output that passes every message on to the proxy over HTTP.

For programs that only start commands. `app/cli/shim.py` starts it, `session.py` carries the messages. It is started once
for each server of each program, so it imports the standard library, llhttp and the storage, nothing else.
"""
