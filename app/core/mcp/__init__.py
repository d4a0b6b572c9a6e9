"""MCP servers: which there are, connections to them, their tools and calls, the forms of arguments, results.

Only `protocol/` imports the MCP SDK. The import takes 0.9 s, so it happens inside functions, in a worker thread.
"""
