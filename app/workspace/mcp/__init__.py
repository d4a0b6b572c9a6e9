"""The workspace's own MCP server, at /mcp.

`endpoint` has the route and its authentication, `server` and the `*_tools` modules what the server offers.
`mount.McpMount` serves any MCP server built with the SDK; the vendors use it too.
"""
