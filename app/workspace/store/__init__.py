"""The MCP store: servers on offer, installed servers, their tools, and the proxy that reaches them.

`views` has the REST routes, `proxy` the route agents use, `rows` the database. Towards vendors the store is an OAuth
client (`oauth_client`).
"""
