"""MCP servers: their lists of tools, connections to them, calls, and the form model of arguments.

Only `wire.py` imports the MCP SDK. It costs about 0.9 s, so it is itself imported inside functions, in a worker thread.
"""
