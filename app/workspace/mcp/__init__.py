"""The workspace's own MCP server, at /mcp.

`endpoint` has the route and its authentication; `build` puts together what the server offers. `mount.McpMount` serves
any MCP server built with the SDK, the vendors' too.
"""
