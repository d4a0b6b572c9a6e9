"""The list of MCP servers, their tools and their state.

Door: `registry.Servers`.
"""
