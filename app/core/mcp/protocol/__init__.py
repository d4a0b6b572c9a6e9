"""One connection to one MCP server.

Door: `connection.Connection`. It opens sessions of the SDK, keeps every message as it was sent and received, maps
failures to Burrow's errors, and listens for changes of the tool list.
"""
