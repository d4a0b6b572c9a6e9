"""The connection to one MCP server.

Door: `connection.Connection`. It opens sessions of the SDK over a transport, records every message as it was sent and
received, maps failures to Burrow's errors, and subscribes to changes of the tool list.
"""
