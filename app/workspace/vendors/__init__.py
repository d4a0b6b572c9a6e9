"""Three independent MCP servers with credentials of their own, as third parties would run them.

Their own authorization servers and API keys know nothing of the workspace's tokens. `endpoints` has all their routes.
"""
