"""The first page: try the embedded workspace, or sign in to a server.

Door: `connector.HostConnector`, which makes the page and connects to the host that was chosen.
"""
