"""The shim: an MCP server on standard input and output that passes every message on to the proxy over HTTP.

For programs that only start commands. `app/cli/shim.py` starts it, `session.py` carries the messages. There is one for
each server of each program, so it imports the standard library, llhttp and the storage, nothing else.
"""
