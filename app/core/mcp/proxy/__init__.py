"""The local MCP proxy: MCP clients of this machine reach every server of Burrow through one loopback address.

`parts.py` has the values and interfaces between its parts; start with `relay.Relay`, which carries one request. The
proxy runs on an asyncio loop of its own in a thread, so that its traffic cannot hold up the window. What belongs to the
process (credentials, servers, policies) stays on the main loop and is reached through `ProxyHost`.
"""
